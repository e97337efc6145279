"""Decompress frames with permessage-deflate (RFC 7692), with bounded memory."""

import zlib

from listenctl.protocol.frames.raw_frame_reader import MAX_FRAME_BYTES, RawFrame

RSV1 = 4
_CONTROL = 8
_TAIL = b"\x00\x00\xff\xff"


class FrameInflater:
    """
    Decompress the frames of one side. After a missing message, each is decompressed as if it were the first:
    references to missing data are an error, never wrong data, and messages without references are readable.
    """

    def __init__(self, *, keeps_context: bool) -> None:
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
        room = MAX_FRAME_BYTES - self._size
        data = frame.payload + _TAIL if frame.fin else frame.payload
        try:
            payload = self._inflate.decompress(data, room + 1)
        except zlib.error as exc:
            self._fail(f"can't decompress messages ({exc}); skipped")
            return None
        if len(payload) > room:
            self._fail(f"a compressed message has more than {MAX_FRAME_BYTES} bytes; skipped")
            return None
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
