"""
Audio that is read as soon as it arrives, because a dump or a relay needs it then, and is processed in batches.

A dump has the time of each frame, and the kernel keeps none for data that waits in a socket; a relay passes each frame
on. Both read the call at once. A pass through all layers takes eight times as long as the read; it is made a few times
a second for all audio since the last one, as for any other call.
"""

from listenctl.protocol.frames.client_frame_reader import MAX_RUN, ClientFrameReader
from listenctl.protocol.listen_session import AudioRead

_HEAD_BYTES = 4
"""Of a frame, before its mask; the frames of a run have the same."""
_FLOWS_WITHIN = 0.03
"""Seconds between two reads of audio that flows; where it doesn't, what is missing must be looked at soon."""
_LONGEST_WAIT = 0.4
"""Seconds; a dump has its frames within the last second."""


class AudioArrivals:
    """Reads of whole audio frames that wait; together they are one run for the reader of frames."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._reads: list[AudioRead] = []
        self._frames = 0
        self._head = b""
        self._frame_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._reads)

    def can_wait(self, now: float) -> bool:
        """Return whether there is audio that need not be processed now, because more follows it."""
        if not self._reads:
            return False
        (first_at, _), (last_at, _) = self._reads[0], self._reads[-1]
        return now - last_at < _FLOWS_WITHIN and now - first_at < _LONGEST_WAIT

    def add_read(self, data: bytes, at: float, reader: ClientFrameReader) -> int:
        """
        Keep what was read if it continues the run, or begins one, and return how many frames it is. Otherwise return 0;
        the run must go to ``reader`` first.
        """
        if self._reads and len(data) == self._frame_bytes and data.startswith(self._head):
            count = 1  # Nearly every read is like the one before.
        else:
            count = reader.count_audio_frames(data)
            if not count or (self._reads and not data.startswith(self._head)):
                return 0
            self._head, self._frame_bytes = data[:_HEAD_BYTES], len(data) // count
        if self._frames + count > MAX_RUN:
            return 0
        self._data.append(data)
        self._reads.append((at, count))
        self._frames += count
        return count

    def take_reads(self) -> tuple[bytes, list[AudioRead]]:
        """Return the run, and its reads."""
        data, reads = b"".join(self._data), self._reads
        self._data, self._reads, self._frames = [], [], 0
        return data, reads
