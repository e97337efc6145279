"""The first text of a call as jambonz sends it, damaged by a command line and a buffer (listenctl-protocol(7) 2.6)."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from types import MappingProxyType

from listenctl.protocol import peer_json
from listenctl.protocol.call_metadata import MAX_FIRST_TEXT_BYTES
from listenctl.protocol.jambonz_model.profiles import CURRENT, OLD, Profile

_TOKEN = re.compile(r"\\.|[^\\'|]+|.", re.DOTALL)
_UNESCAPED = {
    r"\"": '"',
    r"\'": "'",
    r"\\": "\\",
    r"\|": "|",
    r"\n": "\n",
    r"\r": "\r",
    r"\t": "\t",
    r"\s": " ",
}
_EXACT_FLOATS = 1e21
"""JavaScript writes whole numbers below this without a fraction and without an exponent."""


def pass_argument(text: str) -> str:
    """Return what arrives of ``text``: the first argument that FreeSWITCH's command line parser finds in it."""
    command = f"'{text}'|"
    last_apostrophe = command.rindex("'")
    quoted = False
    arrived: list[str] = []
    # Spaces at the end are stripped unless quoted or escaped.
    kept = 0
    for token in _TOKEN.finditer(command):
        piece = token[0]
        # An apostrophe without another one after it is an ordinary character.
        if piece == "'" and (quoted or token.start() < last_apostrophe):
            quoted = not quoted
        elif piece == "|" and not quoted:
            break
        else:
            arrived.append(_UNESCAPED.get(piece, piece))
        if quoted or piece in _UNESCAPED:
            kept = len(arrived)
    return "".join(arrived[:kept]) + "".join(arrived[kept:]).rstrip(" ")


class CallKind(StrEnum):
    """What starts a listen; each kind has a different first text."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    DIAL = "dial"
    CONFIG = "config"
    RECORD = "record"
    ROOM = "room"  # the mix of a room
    MEMBER = "member"  # what one member of a room says


def first_text_fields(
    kind: CallKind,
    *,
    sample_rate: int,
    mix_type: str,
    metadata: Mapping[str, object],
    new_id: Callable[[], str],
    caller: str,
    callee: str,
) -> dict[str, object]:
    """Return the fields of a call just answered, in jambonz's order; the verb's ``metadata`` overwrites most."""
    audio: dict[str, object] = {"sampleRate": sample_rate, "mixType": mix_type}
    match kind:
        case CallKind.INBOUND | CallKind.CONFIG:
            return audio | _call("inbound", new_id, caller, callee) | dict(metadata)
        case CallKind.OUTBOUND:
            return audio | _call("outbound", new_id, caller, callee) | dict(metadata)
        case CallKind.DIAL:
            return audio | _dialled_leg(new_id, caller, callee) | dict(metadata)
        case CallKind.RECORD:
            return audio | {"mixType": "stereo"} | _call("inbound", new_id, caller, callee)
        case CallKind.ROOM:
            return dict(metadata)
        case CallKind.MEMBER:
            return dict(metadata) | _room_member(new_id, sample_rate)


def first_text(fields: Mapping[str, object], profile: Profile) -> bytes:
    """
    Return the text as it arrives from jambonz. CURRENT escapes metadata and ``customerData`` twice, so that they
    survive the command line; a string counts as metadata if its name is not jambonz's own (listenctl-protocol(7) 2.6).
    """
    if profile.name not in (CURRENT.name, OLD.name):
        return _stringify(fields).encode()
    protected = fields if profile.name == OLD.name else _protect(fields)
    return pass_argument(_stringify(protected)).encode()[:MAX_FIRST_TEXT_BYTES]


def describe_damage(raw: bytes) -> str | None:
    if _is_object(raw):
        return None
    if len(raw) >= MAX_FIRST_TEXT_BYTES:
        return f"the first text is cut at {MAX_FIRST_TEXT_BYTES} bytes, which makes it invalid JSON; send less metadata"
    if raw.endswith(b"'"):
        return "an apostrophe moved to the end of the first text, which makes it invalid JSON; keep it out of metadata"
    if raw.startswith(b"{") and raw.endswith(b"}"):
        return "values lost their escapes, which makes the first text invalid JSON; keep quotes and line breaks out"
    return "the first text is not a JSON object"


def _call(direction: str, new_id: Callable[[], str], caller: str, callee: str) -> dict[str, object]:
    origin = {"originatingSipIp": "192.0.2.20", "originatingSipTrunkName": "example"} if direction == "inbound" else {}
    return {
        "callSid": new_id(),
        "direction": direction,
        "from": caller,
        "to": callee,
        "callId": new_id(),
        "sbcCallid": new_id(),
        "sipStatus": 200,
        "sipReason": "OK",
        "callStatus": "in-progress",
        "accountSid": new_id(),
        "traceId": new_id().replace("-", ""),
        "applicationSid": new_id(),
        "fsSipAddress": "192.0.2.10:5060",
        **origin,
        "fsPublicIp": "192.0.2.10",
    }


def _dialled_leg(new_id: Callable[[], str], caller: str, callee: str) -> dict[str, object]:
    """Return the fields of the called leg, under jambonz's internal names (listenctl-protocol(7) 2.3)."""
    return {
        "direction": "outbound",
        "traceId": new_id().replace("-", ""),
        "hasRecording": False,
        "callerName": caller,
        "callSid": new_id(),
        "parentCallSid": new_id(),
        "accountSid": new_id(),
        "applicationSid": new_id(),
        "from": caller,
        "to": callee,
        "callerId": caller,
        "callId": new_id(),
        "callStatus": "in-progress",
        "sipStatus": 200,
        "sipReason": "OK",
        "localSipAddress": "192.0.2.10:5060",
        "publicIp": "192.0.2.10",
        "sbcCallid": new_id(),
    }


def _room_member(new_id: Callable[[], str], sample_rate: int) -> dict[str, object]:
    """
    Return the fields that the tap of a room member adds to the metadata (listenctl-protocol(7) 2.5). The tag of a
    member is set after it has joined, so it is empty if the tap is there first.
    """
    return {
        "room": "room-1",
        "memberId": 1,
        "callSid": new_id(),
        "accountSid": new_id(),
        "tag": "",
        "sampleRate": sample_rate,
    }


_CALL_ATTRIBUTES = {
    *_call("inbound", str, "", ""),
    *_dialled_leg(str, "", ""),
    "mixType",
    "apiBaseUrl",
    "callTerminationBy",
}


def _protect(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value if name in _CALL_ATTRIBUTES else _escape(name, value) for name, value in fields.items()}


def _escape(name: str, value: object) -> object:
    match value:
        case str():
            return peer_json.encode(value)[1:-1]
        case dict() if name == "customerData":
            return {key: _escape("", child) for key, child in value.items()}
    return value


def _stringify(fields: Mapping[str, object]) -> str:
    return peer_json.encode(_as_javascript(dict(fields)))


def _as_javascript(value: object) -> object:
    match value:
        case dict():
            return {key: _as_javascript(child) for key, child in value.items()}
        case list():
            return [_as_javascript(child) for child in value]
        case float() if value.is_integer() and abs(value) < _EXACT_FLOATS:
            return int(value)
    return value


def _is_object(raw: bytes) -> bool:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return False
    value, end = peer_json.decode(text, strict=True) or (None, 0)
    return isinstance(value, dict) and end == len(text)


def _add_member(text: bytes, member: bytes, *, stray: bytes = b"") -> bytes:
    head = text[:-1]
    comma = b"" if head == b"{" else b","
    return head + comma + member + b"}" + stray


def _cut(text: bytes) -> bytes:
    """Make ``text`` too long and cut it where jambonz does, inside a character if possible."""
    head = _add_member(text, b'"padding":"')[:-1]
    odd = b"x" * ((MAX_FIRST_TEXT_BYTES - len(head) + 1) % 2)
    padding = "ä".encode() * MAX_FIRST_TEXT_BYTES
    return (head + odd + padding)[:MAX_FIRST_TEXT_BYTES]


BROKEN_FIRST_TEXTS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {
        "apostrophe": partial(_add_member, member=b'"agent":"OBrien"', stray=b"'"),
        "quotes": partial(_add_member, member=b'"x":{"q":"say "hi""}'),
        "newline": partial(_add_member, member=b'"x":{"q":"two\nlines"}'),
        "cut": _cut,
        "empty": lambda _: b"{}",
        "not-json": lambda _: b"not json",
    }
)
"""Functions that break a valid first text, by name; ``empty`` is valid JSON without any field."""
