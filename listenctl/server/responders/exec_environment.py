"""The environment of programs of ``--exec``: values from whoever claims to be jambonz, never on a command line."""

from collections.abc import Mapping
from pathlib import Path

from listenctl.protocol import peer_json
from listenctl.protocol.audio import AudioFormat
from listenctl.server.calls.live_call_log import LiveCallLog

PREFIX = "LISTENCTL_"
MAX_VALUE = 64 * 1024
"""Bytes of a value; longer ones are left out. Linux allows 128 KiB for one, and jambonz sends 8 KiB."""


def child_environment(
    inherited: Mapping[str, str], log: LiveCallLog, *, audio: AudioFormat, stream_rate: int | None, control: Path | None
) -> dict[str, str | bytes]:
    """
    Return the environment for a call, whose program reads ``audio``; ``stream_rate`` is 0 if the call takes no stream.
    Our own settings, such as credentials, are neither for the program nor for a listenctl that it runs.
    """
    metadata = log.metadata
    values: dict[str, object] = {
        "CALL": log.id,
        "CALL_SID": metadata.call_sid,
        "ACCOUNT_SID": metadata.account_sid,
        "FROM": metadata.caller,
        "TO": metadata.callee,
        "DIRECTION": metadata.direction,
        "SAMPLE_RATE": audio.sample_rate,
        "CHANNELS": audio.channels,
        "MIX_TYPE": metadata.mix_type,
        "STREAM_RATE": stream_rate,
        "METADATA": peer_json.read_text(metadata.raw),
    }
    if control is not None:
        values |= {"CONTROL": control, "NAME": control.stem}
    return own_environment(inherited, values)


def own_environment(inherited: Mapping[str, str], values: Mapping[str, object]) -> dict[str, str | bytes]:
    """Return an environment without our own settings, and with these values; None is an empty one."""
    own = {f"{PREFIX}{name}": _value(value) for name, value in values.items()}
    return {name: value for name, value in inherited.items() if not name.startswith(PREFIX)} | own


def _value(value: object) -> bytes:
    text = "" if value is None else str(value)
    data = text.replace("\0", "").encode(errors="surrogateescape" if isinstance(value, Path) else "replace")
    return data if len(data) <= MAX_VALUE else b""
