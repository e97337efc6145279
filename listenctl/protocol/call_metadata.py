"""The metadata of a call: its first text (listenctl-protocol(7) 2); parsing never raises, and reports its repairs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from listenctl.protocol import peer_json
from listenctl.protocol.audio import MAX_RATE, MIN_RATE, MIX_CHANNELS

if TYPE_CHECKING:
    from listenctl.protocol.json_repair import ObjectRepair

MAX_FIRST_TEXT_BYTES = 8192
"""jambonz cuts the first text here (listenctl-protocol(7) 13)."""

MAX_REPAIR = 65_536
"""Characters of a broken text that are repaired; jambonz sends far fewer."""

_ALIASES = (
    ("fsSipAddress", "localSipAddress"),
    ("fsPublicIp", "publicIp"),
    ("customerData", "_customerData"),
    ("headers", "_sipHeaders"),
)
KNOWN_FIELDS = frozenset((
    "sampleRate", "mixType", "callSid", "direction", "from", "to", "callId", "sbcCallid", "sipStatus",
    "sipReason", "callStatus", "callerId", "accountSid", "applicationSid", "traceId", "fsSipAddress",
    "fsPublicIp", "apiBaseUrl", "parentCallSid", "originatingSipIp", "originatingSipTrunkName",
    "callTerminationBy", "duration", "customerData", "headers", "localSipAddress", "publicIp",
    "_customerData", "_sipHeaders",
))  # fmt: skip
"""Fields that jambonz itself sends (listenctl-protocol(7) 2); a verb can add others."""
_ALIAS = dict(_ALIASES) | {nested: name for name, nested in _ALIASES}
_CALL_FIELDS = frozenset(("callSid", "sampleRate", "mixType"))
_MESSAGE_TYPES = ("dtmf", "mark", "playDone", "session:summary")
_VALUE_IN_NOTE = 40


@dataclass(frozen=True, slots=True)
class CallMetadata:
    """The fields of the first text, under their names on the wire."""

    raw: bytes
    fields: Mapping[str, object]
    repairs: tuple[str, ...]
    valid: bool  # whether the text was exactly one JSON object
    rest: bytes  # messages that were glued to it
    sample_rate: int | None  # None if the text has no usable one; so is ``mix_type``
    mix_type: str | None

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        encoding = _encoding_faults(raw)
        fields, tail, syntax = _read_fields(peer_json.read_text(raw).strip(), len(raw))
        rest, trailing = _split_tail(tail)
        sample_rate, rate_notes = _sample_rate(fields)
        mix_type, mix_notes = _mix_type(fields)
        faults = encoding + syntax + trailing
        return cls(
            raw=raw,
            fields=fields,
            repairs=(*faults, *rate_notes, *mix_notes),
            valid=not faults,
            rest=rest.encode(),
            sample_rate=sample_rate,
            mix_type=mix_type,
        )

    @classmethod
    def missing(cls) -> Self:
        return cls(b"", {}, (), valid=False, rest=b"", sample_rate=None, mix_type=None)

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> Self:
        return cls.parse(peer_json.encode(dict(fields)).encode())

    def serialize(self) -> str:
        return self.raw.decode("utf-8", "replace")

    def get_field(self, name: str) -> object:
        """Return a field, or a field of a field, as in ``customerData.tenant``."""
        value = field_or_alias(self.fields, name)
        if value is not None:
            return value
        outer, dot, inner = name.partition(".")
        return _inner_field(field_or_alias(self.fields, outer), inner) if dot else None

    @property
    def call_sid(self) -> str | None:
        """The call's id; in a listen nested in ``dial`` that of the called leg."""
        return self._text("callSid")

    @property
    def parent_call_sid(self) -> str | None:
        """The caller's call id on a dialled leg."""
        return self._text("parentCallSid")

    @property
    def account_sid(self) -> str | None:
        return self._text("accountSid")

    @property
    def trace_id(self) -> str | None:
        return self._text("traceId")

    @property
    def caller(self) -> str | None:
        return self._text("from")

    @property
    def callee(self) -> str | None:
        return self._text("to")

    @property
    def direction(self) -> str | None:
        return self._text("direction")

    @property
    def describes_call(self) -> bool:
        """Whether the text has any of the fields that only metadata has."""
        return not _CALL_FIELDS.isdisjoint(self.fields)

    @property
    def is_member_tap(self) -> bool:
        """Whether this is the tap of a room member: one channel and no mix type (listenctl-protocol(7) 2.5)."""
        return self.mix_type is None and "memberId" in self.fields and "room" in self.fields

    @property
    def is_message(self) -> bool:
        """Whether the text is a message instead; bare drachtio clients send no metadata (listenctl-protocol(7) 2)."""
        if self.describes_call:
            return False
        return self.fields.get("event") == "dtmf" or self.fields.get("type") in _MESSAGE_TYPES

    def _text(self, name: str) -> str | None:
        value = self.fields.get(name)
        return value if isinstance(value, str) and value else None


def _inner_field(value: object, name: str) -> object:
    if not isinstance(value, dict):
        return None
    if name in value:
        return value[name]
    outer, dot, inner = name.partition(".")
    return _inner_field(value.get(outer), inner) if dot else None


def field_or_alias(fields: Mapping[str, object], name: str) -> object:
    """Return a field by its usual name or by its name in a nested listen (listenctl-protocol(7) 2.3)."""
    return fields.get(name, fields.get(_ALIAS.get(name, name)))


def _encoding_faults(raw: bytes) -> list[str]:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return [f"invalid UTF-8 at byte {error.start} was replaced"]
    return []


def _read_fields(text: str, size: int) -> tuple[dict[str, object], str, list[str]]:
    if not text.startswith("{"):
        return {}, "", ["the first text is not a JSON object" if text else "the first text is empty"]
    for strict in (True, False):
        value, end = peer_json.decode(text, strict=strict) or (None, 0)
        if isinstance(value, dict):
            return value, text[end:], [] if strict else ["a string contains raw control characters"]
    from listenctl.protocol.json_repair import ObjectRepair  # Hardly any text needs it.

    repaired = ObjectRepair(text[:MAX_REPAIR])
    bounded = repaired.cut and len(text) > MAX_REPAIR
    return repaired.fields, text[repaired.end :] if not bounded else "", _faults(repaired, size, bounded=bounded)


def _faults(repaired: "ObjectRepair", size: int, *, bounded: bool) -> list[str]:
    faults = list(repaired.faults)
    if bounded:
        faults.append(f"only the first {MAX_REPAIR} characters of broken JSON were read")
    elif repaired.cut:
        cut = (
            f"the first text was cut at {size} bytes"
            if size == MAX_FIRST_TEXT_BYTES
            else "the end of the JSON is missing"
        )
        faults.append(cut + (f"; the last field `{repaired.incomplete}` is incomplete" if repaired.incomplete else ""))
    return faults or ["the JSON was malformed"]


def _split_tail(tail: str) -> tuple[str, list[str]]:
    faults = []
    tail = tail.strip()
    # The shell-like command line leaves an odd apostrophe of the data there (listenctl-protocol(7) 2.6).
    if tail.startswith("'"):
        faults.append("removed a stray ' after the JSON")
        tail = tail[1:].lstrip()
    if tail and not tail.startswith("{"):
        faults.append("ignored what followed the JSON")
        tail = ""
    return tail, faults


def _sample_rate(fields: Mapping[str, object]) -> tuple[int | None, list[str]]:
    if "sampleRate" not in fields:
        return None, []
    value = fields["sampleRate"]
    rate = peer_json.parse_number(value)
    if rate is None or rate != int(rate) or not MIN_RATE <= rate <= MAX_RATE:
        return None, [f"sampleRate {_brief(value)} is unusable"]
    return int(rate), ["sampleRate was a string"] if isinstance(value, str) else []


def _mix_type(fields: Mapping[str, object]) -> tuple[str | None, list[str]]:
    if "mixType" not in fields:
        return None, []
    value = fields["mixType"]
    mix_type = value.strip().lower() if isinstance(value, str) else ""
    if mix_type not in MIX_CHANNELS:
        return None, [f"mixType {_brief(value)} is unusable"]
    return mix_type, [] if mix_type == value else [f"mixType {_brief(value)} was taken as {mix_type}"]


def _brief(value: object) -> str:
    return peer_json.encode(value)[:_VALUE_IN_NOTE]
