"""Logs of calls that never were, for what works on a log alone."""

from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.gaps.gap_ledger import GapLedger
from listenctl.server.calls.live_call_log import LiveCallLog

STARTED_AT = 1_795_000_000.5  # 2026-11-18T11:06:40.500Z


def call_log(metadata: str | bytes = b"{}") -> LiveCallLog:
    """Return the log of a call that has just begun with this first text."""
    parsed = CallMetadata.parse(metadata.encode() if isinstance(metadata, str) else metadata)
    audio_format = AudioFormat(parsed.sample_rate or 8000, MIX_CHANNELS[parsed.mix_type or "mono"])
    return LiveCallLog(
        id=parsed.call_sid or "unknown-1",
        remote="127.0.0.1:1",
        target="/",
        subprotocol="audio.jambonz.org",
        started_at=STARTED_AT,
        metadata=parsed,
        audio_format=audio_format,
        ledger=GapLedger(audio_format, 0.0),
    )
