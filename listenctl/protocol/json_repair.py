"""
Repair of a JSON object that lost escapes or its end on the way (listenctl-protocol(7) 2.6).

A quote ends a string only if what follows looks like more JSON. Everything complete is kept; unreadable parts are left
out and named. The work is linear in the text: each unreadable part may cost one more pass, and there are at most
``MAX_SKIPS`` of those. Possessive quantifiers keep the lookaheads from backtracking.
"""

import re
from collections.abc import Callable

from listenctl.protocol import peer_json

MAX_SKIPS = 16
MAX_FAULTS = 32
_PATH_IN_FAULT = 80

# What can follow a string: the next member or item, or closing brackets and then one of those, a glued document, or the
# end. The text may be cut anywhere in it, and an apostrophe may precede the end.
_KEY = r'"(?:[^"\\]|\\.|\\\Z){0,1024}+'
_END = r"'?+\s*+\Z"
_NEXT_MEMBER = rf',\s*+(?:\Z|{_KEY}(?:\Z|"\s*+(?::|\Z)))'
_NEXT_ITEM = r',\s*+(?:\Z|["{\[0-9tfn-])'
_CLOSED = rf"(?:[}}\]]\s*+)++(?:'?+\s*+(?:\Z|{{)|{_NEXT_ITEM})"

_COLON = re.compile(r"\s*+:\s*+")
_MEMBER_END = re.compile(rf"\s*+(?:{_END}|{_NEXT_MEMBER}|{_CLOSED})", re.DOTALL)
_ITEM_END = re.compile(rf"\s*+(?:{_END}|{_NEXT_ITEM}|{_CLOSED})", re.DOTALL)
_RESUME = re.compile(rf',(?=\s*+{_KEY}"\s*+:)|[}}\]]', re.DOTALL)

_BETWEEN = re.compile(r"[\s,]*+")
_QUOTE_OR_ESCAPE = re.compile(r'\\.|"', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f]")
# A number at the very end may have lost digits; a word is complete.
_SCALAR = re.compile(
    r"(?:true|false|null|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)(?=[\s,}\]])|(?:true|false|null)\Z"
)


class _Unreadable(Exception):
    """There is no readable value here; the text is the path of its member."""


class ObjectRepair:
    """The readable part of a broken object."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._path: list[str] = []
        self._depth = 0
        self._skips = 0
        self.end = 0  # index after it
        self.faults: list[str] = []
        self.cut = False  # whether the end of the object is missing
        self.incomplete = ""  # path of the member in which the text was cut, if any
        self.fields = self._read_object()

    def _read_object(self) -> dict[str, object]:
        fields: dict[str, object] = {}
        self.end += 1
        while not self._closed():
            try:
                self._read_member(fields)
            except _Unreadable as unreadable:
                self._skip(str(unreadable))
        return fields

    def _read_member(self, fields: dict[str, object]) -> None:
        name = self._read_string(_COLON)
        self._pass(_COLON)
        self._path.append(name)
        try:
            fields[name] = self._read_value(_MEMBER_END)
        finally:
            self._path.pop()

    def _read_array(self) -> list[object]:
        items: list[object] = []
        self.end += 1
        while not self._closed():
            try:
                items.append(self._read_value(_ITEM_END))
            except _Unreadable as unreadable:
                self._skip(str(unreadable))
        return items

    def _read_value(self, string_end: re.Pattern[str]) -> object:
        match self._text[self.end : self.end + 1]:
            case '"':
                return self._read_string(string_end)
            case "{":
                return self._read_nested(self._read_object)
            case "[":
                return self._read_nested(self._read_array)
        return self._read_scalar()

    def _read_nested(self, read: Callable[[], object]) -> object:
        if self._depth == peer_json.MAX_DEPTH - 1:
            raise self._unreadable()
        self._depth += 1
        value = read()
        self._depth -= 1
        return value

    def _read_scalar(self) -> object:
        scalar = _SCALAR.match(self._text, self.end)
        decoded = scalar and peer_json.decode(scalar[0])
        if not scalar or not decoded:
            raise self._unreadable()
        self.end = scalar.end()
        return decoded[0]

    def _read_string(self, end: re.Pattern[str]) -> str:
        start = self.end + 1
        if self._text[self.end : start] != '"':
            raise self._unreadable()
        for token in _QUOTE_OR_ESCAPE.finditer(self._text, start):
            if token[0] == '"' and end.match(self._text, token.end()):
                self.end = token.end()
                return self._unescape(self._text[start : token.start()])
        raise self._unreadable()

    def _unescape(self, body: str) -> str:
        escaped = _QUOTE_OR_ESCAPE.sub(lambda token: r"\"" if token[0] == '"' else token[0], body)
        if escaped != body:
            self._fault(f"quotes inside {self._place()} were not escaped")
        if _CONTROL.search(body):
            self._fault(f"{self._place()} contains raw control characters")
        decoded = peer_json.decode(f'"{escaped}"')
        if decoded:
            return str(decoded[0])
        self._fault(f"backslashes inside {self._place()} were not escaped")
        return body

    def _closed(self) -> bool:
        self._pass(_BETWEEN)
        if self.end == len(self._text):
            self.cut = True
            self.incomplete = self.incomplete or self._where()
            return True
        if self._text[self.end] not in "}]":
            return False
        self.end += 1
        return True

    def _skip(self, path: str) -> None:
        self._skips += 1
        resume = _RESUME.search(self._text, self.end) if self._skips <= MAX_SKIPS else None
        if resume:
            self.end = resume.start()
            self._fault(f"`{path}` is unreadable and left out" if path else "something unreadable is left out")
        else:
            self.end = len(self._text)
            self.incomplete = path

    def _pass(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self.end)
        self.end = found.end() if found else self.end

    def _where(self) -> str:
        return ".".join(self._path)[:_PATH_IN_FAULT]

    def _place(self) -> str:
        """Return the field being read for a sentence; a name at the top, or an empty one, has no field."""
        where = self._where()
        return f"`{where}`" if where.strip(".") else "a name"

    def _unreadable(self) -> _Unreadable:
        return _Unreadable(self._where())

    def _fault(self, sentence: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(sentence)
