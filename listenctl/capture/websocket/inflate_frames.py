"""Decompress frames with permessage-deflate (RFC 7692), with bounded memory."""

import zlib

from listenctl.protocol.frames.raw_frame_reader import MAX_FRAME_BYTES, RawFrame

MAX_INFLATED = 1 << 28
"""Bytes that all compressed messages of a capture may become, in addition to ``MAX_GROWTH`` times their size."""
MAX_GROWTH = 32
"""Audio is compressed to a third, silence to a hundredth, and a bomb to a thousandth."""

RSV1 = 4
_CONTROL = 8
_TAIL = b"\x00\x00\xff\xff"


class InflationBudget:
    """The bytes that the compressed messages of a capture may still become."""

    def __init__(self) -> None:
        self.left = MAX_INFLATED

    def add_compressed(self, size: int) -> None:
        self.left += MAX_GROWTH * size


class FrameInflater:
    """
    Decompress the frames of one side. After a missing message, each is decompressed as if it were the first:
    references to missing data are an error, never wrong data, and messages without references are readable.
    """

    def __init__(self, budget: InflationBudget, *, keeps_context: bool) -> None:
        self._budget = budget  # of the capture
        self._keeps_context = keeps_context  # whether a message can refer to earlier ones
        self._within = False
        self._broken = False
        self._failing = False
        self._fault = ""
        self._reset()

    def skip_missing(self) -> None:
        self._reset()
        self._within = False

    def take_fault(self) -> str:
        """Return why frames were skipped since the last call, once for all in a row; empty if there is nothing new."""
        fault, self._fault = self._fault, ""
        return fault

    def inflate_frame(self, frame: RawFrame) -> RawFrame | None:
        if frame.opcode >= _CONTROL:
            return frame
        if frame.opcode:
            self._within = bool(frame.rsv & RSV1)
            self._size, self._broken = 0, False
        if not self._within:
            return frame
        payload = None if self._broken else self._inflate_payload(frame)
        if frame.fin:
            self._within = False
            # A message may end the compressed stream, and the next one starts another (RFC 7692 7.2.3.4).
            if not self._keeps_context or self._broken or self._inflate.eof:
                self._reset()
        if payload is None:
            return None
        self._failing = False
        return frame._replace(rsv=frame.rsv & ~RSV1, payload=payload)

    def _inflate_payload(self, frame: RawFrame) -> bytes | None:
        self._budget.add_compressed(len(frame.payload))
        room = min(MAX_FRAME_BYTES - self._size, self._budget.left)
        data = frame.payload + _TAIL if frame.fin else frame.payload
        try:
            payload = self._inflate.decompress(data, room + 1)
        except zlib.error as exc:
            self._fail(f"can't decompress messages ({exc}); skipped")
            return None
        if len(payload) > room:
            limit = f"has more than {MAX_FRAME_BYTES} bytes"
            if room == self._budget.left:
                limit = f"would need more than the {MAX_INFLATED >> 20} MiB that a capture may grow by"
            self._fail(f"a compressed message {limit}; skipped")
            return None
        self._budget.left -= len(payload)
        self._size += len(payload)
        return payload

    def _fail(self, fault: str) -> None:
        self._fault = "" if self._failing else fault
        self._broken = self._failing = True
        # Free the output that the decompressor holds.
        self._reset()

    def _reset(self) -> None:
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._size = 0
