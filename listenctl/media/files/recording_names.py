"""Where recordings go: DEST, and the file name of each call. Its values are hostile and must not escape the folder."""

import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path, PurePosixPath

from listenctl.errors import UsageError
from listenctl.json_lines import moment
from listenctl.media.files.new_files import check_writable
from listenctl.protocol.call_metadata import KNOWN_FIELDS
from listenctl.protocol.privacy.shorten_numbers import shorten_numbers

FORMATS_BY_EXTENSION = {".wav": "wav", ".flac": "flac", ".ogg": "ogg", ".opus": "ogg", ".mp3": "mp3", ".raw": "raw"}
ENCRYPTED_EXTENSION = ".age"
"""What the names of encrypted files end with, after the extension of what is in them."""
UNKNOWN = "unknown"

_DEFAULT_NAME = "{callSid}.wav"
_TOKEN = re.compile(r"{{|}}|{(?P<field>[^{}]*)}|(?P<stray>[{}])|[^{}]+")
_FIELD = re.compile(r"[\w.-]+( [\w.-]+)*")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}")
_FILE_EXTENSION = re.compile(r"\.[a-z][a-z0-9]{1,4}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_TIME_FIELDS = {
    "date": "%Y-%m-%d",
    "time": "%H%M%S",
    "year": "%Y",
    "month": "%m",
    "day": "%d",
    "hour": "%H",
}
_END = "end."
"""Begins the fields that are of the end of the call, instead of its start."""
_KNOWN_FIELDS = KNOWN_FIELDS | _TIME_FIELDS.keys() | {"end"}
# The share of letters in common from which a name is taken for a misspelled one.
_SIMILAR = 0.8
# Separators, and characters that Windows, network shares or shells don't accept in names.
_UNSAFE = frozenset('/\\<>:"|?*')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# Refused, because they would be taken for names of folders.
_OTHER_AUDIO = frozenset((".aac", ".aif", ".aiff", ".amr", ".au", ".m4a", ".mp4", ".oga", ".wma", ".webm"))
# A name may have 255 bytes; the rest is for `-left`, `-2`, `.recovered` and the extension.
_NAME_BYTES = 200
_VALUE_BYTES = 100
_FOLDER_BYTES = 255

Lookup = Callable[[str], object]
"""Returns the value of a metadata field by its wire name, or None."""


@dataclass(frozen=True, slots=True)
class TemplateField:
    name: str

    @property
    def needs_end(self) -> bool:
        return self.name.removeprefix(_END) in _TIME_FIELDS and self.name.startswith(_END)


@dataclass(frozen=True, slots=True)
class CallTimes:
    """When a call began and ended, in Unix time; the end is None while it isn't known."""

    started: float
    ended: float | None = None

    def text_of(self, field: str, zone: tzinfo) -> str | None:
        """Return the value of a field of date or time, None for another field."""
        layout = _TIME_FIELDS.get(field.removeprefix(_END))
        at = self.ended if field.startswith(_END) else self.started
        return None if layout is None or at is None else moment(at).astimezone(zone).strftime(layout)


@dataclass(frozen=True, slots=True)
class RecordingDestination:
    pieces: tuple[str | TemplateField, ...]
    extension: str
    zone: tzinfo = UTC
    redact: bool = False  # whether phone numbers in names are shortened

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        kind: str | None = None,
        zone: tzinfo = UTC,
        named_at_end: bool = False,
        redact: bool = False,
    ) -> "RecordingDestination":
        """
        Parse DEST; ``kind`` is the value of ``--format``, which overrides the extension in ``text``.

        Args:
            zone: of dates and times in names.
            named_at_end: whether names are made when the call has ended; otherwise they are made when it begins.
            redact: whether phone numbers in names are shortened.
        """
        if kind is not None and kind not in FORMATS_BY_EXTENSION.values():
            raise UsageError(
                f"format {kind!r} is unknown; use one of {', '.join(sorted(set(FORMATS_BY_EXTENSION.values())))}"
            )
        if text == "-":
            if kind not in (None, "wav", "raw"):
                raise UsageError(f"only wav and raw can be written to stdout, not {kind}; give a file name")
            return cls((), f".{kind or 'wav'}")
        if not text or "\0" in text:
            raise UsageError("the destination is empty or contains a NUL; give a folder, a name template or -")
        check_no_url(text)
        pieces = parse_template(_with_file_name(text))
        early = [piece.name for piece in pieces if isinstance(piece, TemplateField) and piece.needs_end]
        if early and not named_at_end:
            raise UsageError(
                f"name template {text!r}: a file is named when its call begins, so there is no {{{early[0]}}}; use "
                f"{{{early[0].removeprefix(_END)}}}, or record to object storage such as s3://BUCKET/"
            )
        name, extension = _cut_extension(pieces[-1])
        if kind not in (None, FORMATS_BY_EXTENSION[extension]):
            extension = f".{kind}"
        return cls((*pieces[:-1], name), extension, zone, redact)

    @property
    def is_stdout(self) -> bool:
        return not self.pieces

    @property
    def kind(self) -> str:
        return FORMATS_BY_EXTENSION[self.extension]

    @property
    def unknown_fields(self) -> list[str]:
        """The placeholders that jambonz doesn't fill, but the metadata of a verb can."""
        names = [piece.name for piece in self.pieces if isinstance(piece, TemplateField)]
        return [name for name in names if name.partition(".")[0] not in _KNOWN_FIELDS]

    @property
    def fixed_folder(self) -> Path | None:
        """The folder, as far as it is the same for all recordings; None for stdout."""
        if self.is_stdout:
            return None
        fixed = self.pieces[0]
        assert isinstance(fixed, str)
        return Path(fixed[: fixed.rfind("/") + 1] or ".")

    @property
    def folder_depth(self) -> int:
        """How many folders are between ``fixed_folder`` and the recordings."""
        text = "".join(piece if isinstance(piece, str) else "{}" for piece in self.pieces)
        folders = text[: text.rfind("/") + 1].removeprefix(text[: text.split("{}")[0].rfind("/") + 1])
        return sum(bool(name) for name in folders.split("/"))

    def check_folder(self) -> None:
        """Create the folder, as far as it is fixed; raises UsageError if files can't be created there."""
        fixed = self.fixed_folder
        if fixed is None:
            return
        folder = fixed
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise UsageError(f"{folder}: is not a folder, so recordings can't be written there")
        if not os.access(folder, os.W_OK | os.X_OK):
            reason = "the file system is read-only" if os.statvfs(folder).f_flag & os.ST_RDONLY else "permission denied"
            raise UsageError(f"{folder}: recordings can't be written there: {reason}")
        try:
            check_writable(fixed)
        except OSError as exc:
            raise UsageError(f"{folder}: recordings can't be written there: {exc.strerror}") from exc

    def wav_path(self, lookup: Lookup, times: CallTimes) -> Path:
        return Path(f"{self.name(lookup, times)}.wav")

    def name(self, lookup: Lookup, times: CallTimes) -> str:
        """Return the path of the recording of a call without its extension."""
        text = "".join(
            piece
            if isinstance(piece, str)
            else times.text_of(piece.name, self.zone)
            or clean_for_file_name(self._shown(piece.name, lookup(piece.name)))
            for piece in self.pieces
        )
        folder, slash, name = text.rpartition("/")
        folders = folder
        if len(folder.encode(errors="surrogateescape")) > _FOLDER_BYTES:
            folders = "/".join(_shorten(part, _FOLDER_BYTES) for part in folder.split("/"))
        return f"{folders}{slash}{_shorten(name, _NAME_BYTES)}"

    def _shown(self, field: str, value: object) -> object:
        return shorten_numbers(value, field.rpartition(".")[2]) if self.redact else value


def parse_template(text: str) -> list[str | TemplateField]:
    """Split a name template at its placeholders; the last piece is always text."""
    pieces: list[str | TemplateField] = []
    literal = ""
    for token in _TOKEN.finditer(text):
        if token["stray"]:
            raise _template_error(text, token.start(), f"{token['stray']!r} stands alone")
        if token["field"] is None:
            literal += {"{{": "{", "}}": "}"}.get(token[0], token[0])
            continue
        if not _FIELD.fullmatch(token["field"]):
            raise _template_error(text, token.start(), f"{token[0]!r} names no metadata field")
        if (meant := _meant_field(token["field"])) is not None:
            raise UsageError(f"name template {text!r}: did you mean {{{meant}}} instead of {token[0]}?")
        pieces += [literal, TemplateField(token["field"])]
        literal = ""
    return [*pieces, literal]


def check_no_url(text: str) -> None:
    """Raise UsageError for `s3://bucket` and the like, which would become a folder named `s3:`."""
    if scheme := _SCHEME.match(text):
        raise UsageError(f"{text}: can't write to {scheme[0]}; give a local path, and copy finished files from there")


def _meant_field(name: str) -> str | None:
    """Return the field that ``name`` means but for capitals and underscores, None if it is one, or unlike all."""
    outer, dot, inner = name.partition(".")
    if outer in _KNOWN_FIELDS:
        return None
    field = _fields_by_plain_name().get(_plain(outer))
    return f"{field}{dot}{inner}" if field else None


def similar_field(name: str) -> str | None:
    """Return the field of jambonz whose name is most like ``name``, which may be misspelled; None if none is."""
    from difflib import get_close_matches

    outer, dot, inner = name.partition(".")
    known = _fields_by_plain_name()
    close = get_close_matches(_plain(outer), known, n=1, cutoff=_SIMILAR)
    return f"{known[close[0]]}{dot}{inner}" if close else None


def _fields_by_plain_name() -> dict[str, str]:
    """Return the known fields by their names without capitals and underscores; of two, that without an underscore."""
    return {_plain(field): field for field in sorted(_KNOWN_FIELDS, key=lambda field: not field.startswith("_"))}


def _plain(name: str) -> str:
    return re.sub(r"[_ -]", "", name).lower()


def clean_for_file_name(value: object) -> str:
    """Return a value from the wire as a harmless part of a file name, ``unknown`` if that is impossible."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            text = value
        case float():
            text = str(value)
        case int() if abs(value) < 10**_VALUE_BYTES:  # str() of thousands of digits is slow, and then raises.
            text = str(value)
        case _:
            return UNKNOWN
    # Slicing first bounds the work, because the peer decides how long a value is.
    text = text[:_VALUE_BYTES].strip()
    # Nothing is replaced in text that Python can print, where a space is the only separator.
    plain = text.isprintable() and _UNSAFE.isdisjoint(text)
    safe = text if plain else "".join(map(_safe, text))
    leading = len(safe) - len(safe.lstrip(".-"))
    visible = "_" * leading + safe[leading:]
    return _shorten(f"_{visible}" if _RESERVED.match(visible) else visible, _VALUE_BYTES) or UNKNOWN


def _safe(character: str) -> str:
    """Replace separators, control characters, bidi and zero-width marks, lone surrogates and line breaks."""
    category = unicodedata.category(character)
    return "_" if character in _UNSAFE or category[0] == "C" or category in ("Zl", "Zp") else character


def _shorten(text: str, limit: int) -> str:
    encoded = text.encode(errors="surrogateescape")
    return text if len(encoded) <= limit else encoded[:limit].decode(errors="ignore")


def _with_file_name(text: str) -> str:
    if text.endswith("/"):
        return text + _DEFAULT_NAME
    extension = PurePosixPath(text).suffix.lower()
    if "{" in text or "}" in text or extension in FORMATS_BY_EXTENSION or extension in _OTHER_AUDIO:
        return text
    if _FILE_EXTENSION.fullmatch(extension) and not Path(text).is_dir():
        return text  # It is refused with its extension, rather than made a folder.
    return f"{text}/{_DEFAULT_NAME}"


def _cut_extension(last: str | TemplateField) -> tuple[str, str]:
    name = last if isinstance(last, str) else ""
    start = name.rfind(".")
    extension = name[start:].lower() if start >= 0 else ""
    if extension in FORMATS_BY_EXTENSION:
        return name[:start], extension
    if _EXTENSION.fullmatch(extension):
        raise UsageError(
            f"can't record to {extension} files; end the name with one of {', '.join(FORMATS_BY_EXTENSION)}, "
            "or with / if it is a folder"
        )
    return name, ".wav"


def _template_error(text: str, index: int, problem: str) -> UsageError:
    return UsageError(f"name template {text!r}, column {index + 1}: {problem}; write {{{{ or }}}} for a literal brace")
