"""What sidecars say of a call's audio, wherever the audio came from (`listenctl-recording(5)`)."""

import base64

from listenctl.events import Report
from listenctl.media.channel_layout import ChannelLayout
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata

_RECEIVED = "received from the tapped party"
_SENT = "sent to the tapped party"
_MIXED = "both directions, summed"


def channel_meanings(metadata: CallMetadata, audio_format: AudioFormat, layout: ChannelLayout) -> list[str]:
    """Return what each channel of a recording holds, file by file (protocol.md 3.1)."""
    if metadata.mix_type == "mixed":
        return [_MIXED]
    if audio_format.channels == 1:
        return [_RECEIVED]
    match layout:
        case ChannelLayout.LEFT:
            return [_RECEIVED]
        case ChannelLayout.RIGHT:
            return [_SENT]
        case ChannelLayout.MIX:
            return [_MIXED]
    return [_RECEIVED, _SENT]


def tapped_party(metadata: CallMetadata) -> str:
    """Return whose leg is tapped, as far as the metadata tells."""
    if metadata.parent_call_sid:
        return "caller, or callee where the listen has channel 2"
    return {"inbound": "caller", "outbound": "callee"}.get(metadata.direction or "", "unknown")


def raw_metadata(metadata: CallMetadata) -> Report:
    """Return the metadata as it came, and whether that was valid."""
    if not metadata.raw:
        return {"metadata_valid": None, "metadata_raw": None}
    described: Report = {"metadata_valid": metadata.valid, "metadata_raw": metadata.serialize()}
    if metadata.serialize().encode() != metadata.raw:
        described["metadata_raw_base64"] = base64.b64encode(metadata.raw).decode()
    return described
