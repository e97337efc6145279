"""What is wrong with the first text of a call, its metadata (protocol.md 2)."""

from collections.abc import Iterator

from listenctl.inspection.message_checks.handshake_checks import FoundFault
from listenctl.inspection.rule_catalogue import Culprit
from listenctl.protocol.call_metadata import MAX_FIRST_TEXT_BYTES, CallMetadata

_RATE_STEP = 8000
_JAMBONZ = Culprit.JAMBONZ


def check_first_text(metadata: CallMetadata) -> Iterator[FoundFault]:
    """Give what is wrong with metadata that came."""
    fields = metadata.fields
    if not metadata.valid:
        yield _rule_of_damage(metadata), _JAMBONZ, "; ".join(metadata.repairs)
    if isinstance(fields.get("sampleRate"), str):
        yield "sample-rate-string", _JAMBONZ, "sampleRate is a string"
    if metadata.sample_rate is None:
        yield "sample-rate-missing", _JAMBONZ, "there is no sampleRate that can be used"
    elif metadata.sample_rate % _RATE_STEP:
        yield "sample-rate-odd", _JAMBONZ, f"a sampleRate of {metadata.sample_rate}"
    if metadata.mix_type is None:
        yield "mix-type-missing", _JAMBONZ, "there is no mixType that can be used"
    if metadata.call_sid is None:
        yield "call-sid-missing", _JAMBONZ, "there is no callSid"
    if metadata.rest:
        yield "texts-glued", _JAMBONZ, "another text follows in the first one"


def _rule_of_damage(metadata: CallMetadata) -> str:
    return "first-text-cut" if len(metadata.raw) >= MAX_FIRST_TEXT_BYTES else "first-text-invalid"
