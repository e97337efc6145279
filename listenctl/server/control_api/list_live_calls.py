"""The live calls of a server as its control socket lists them."""

from typing import TYPE_CHECKING

from listenctl.call_listing import ListedCall
from listenctl.protocol.call_sharing.stream_rate import metadata_stream_rate
from listenctl.protocol.jambonz_messages import Dtmf
from listenctl.protocol.listen_session import MessageReceived
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.calls.live_call_log import LiveCallLog

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer


def list_live_calls(server: "ListenServer") -> list[ListedCall]:
    """Return the calls, oldest first."""
    now, rate = server.unix_clock(), server.settings.stream_rate
    return [_list_call(call, call.log, now, rate) for call in server.live if call.log is not None]


def _list_call(call: LiveCall, log: LiveCallLog, now: float, server_rate: int | None) -> ListedCall:
    metadata, audio_format, recording = log.metadata, log.audio_format, call.recording
    return ListedCall(
        id=log.id,
        call_sid=metadata.call_sid,
        started=log.started_at,
        duration=max(0.0, now - log.started_at),
        caller=metadata.get_field("from"),
        callee=metadata.get_field("to"),
        direction=metadata.get_field("direction"),
        sample_rate=audio_format.sample_rate,
        channels=audio_format.channels,
        mix_type=metadata.mix_type,
        remote=log.remote,
        target=log.target,
        recording=(recording and recording.path) or None,
        digits="".join(_digits(log)),
        gap_seconds=log.gap_seconds,
        unwritten_seconds=0.0 if recording is None else audio_format.duration_of(recording.unwritten_samples),
        attached=0 if call.tools is None else len(call.tools),
        stream_rate=_stream_rate(call, log, server_rate),
    )


def _stream_rate(call: LiveCall, log: LiveCallLog, server_rate: int | None) -> int | None:
    if call.tools is not None:
        return call.tools.stream_rate.hertz
    rate = metadata_stream_rate(log.metadata.fields)
    return server_rate if rate is None else rate


def _digits(log: LiveCallLog) -> list[str]:
    messages = (entry.message for entry in log.entries if isinstance(entry, MessageReceived))
    return [message.digit for message in messages if isinstance(message, Dtmf)]
