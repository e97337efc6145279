"""The buffer between a call's audio and jambonz's socket, and what it loses (listenctl-protocol(7) 3.3, 13)."""

from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat

BUFFER_SECONDS = 2.0
HEADER_SLIP = 16
"""Bytes of the first frame that are lost after an overrun: jambonz writes it into the room for the header (LWS_PRE)."""

TAP_BYTES = 512 * 1024
"""Bytes of one channel at the call's rate that FreeSWITCH holds where the fork resamples."""


class SendBuffer:
    """
    Queue the frames of a call until the socket takes them as one message. A frame that doesn't fit throws away the
    whole buffer; with resampling, the newest audio waits in FreeSWITCH, and only what doesn't fit there is lost.
    """

    __slots__ = ("_audio_format", "_limit", "_max_message_bytes", "_queue", "_resampled")

    def __init__(
        self,
        audio_format: AudioFormat,
        *,
        seconds: float = BUFFER_SECONDS,
        resampled: bool,
        call_rate: int = 8000,
    ) -> None:
        self._audio_format = audio_format
        self._resampled = resampled  # whether the listen has a different rate than the call
        self._queue = bytearray()
        self._max_message_bytes = int(seconds * audio_format.sample_rate) * audio_format.frame_bytes
        behind = TAP_BYTES // SAMPLE_BYTES * audio_format.sample_rate // call_rate * audio_format.frame_bytes
        self._limit = self._max_message_bytes + behind * resampled

    @property
    def waiting_bytes(self) -> int:
        return len(self._queue)

    def add_frame(self, frame: bytes) -> int:
        if len(self._queue) + len(frame) <= self._limit:
            self._queue += frame
            return 0
        if self._resampled:
            return self._audio_format.samples_in(len(frame))
        lost = len(self._queue) + len(frame[:HEADER_SLIP])
        self._queue[:] = frame[HEADER_SLIP:]
        return self._audio_format.samples_in(lost)

    def take_message(self) -> bytes:
        message = bytes(self._queue[: self._max_message_bytes])
        del self._queue[: self._max_message_bytes]
        return message
