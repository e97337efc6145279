"""Decompress the frames of a connection that agreed on permessage-deflate (RFC 7692), without becoming huge."""

import zlib

from listenctl.protocol.frames.raw_frame_reader import MAX_FRAME_BYTES, RawFrame

RSV1 = 4
_CONTROL = 8
_TAIL = b"\x00\x00\xff\xff"


class FrameInflater:
    """
    Decompress what one side sends, frame by frame.

    Messages may refer to those before them. Where one of those is missing, each is tried as if it were the first: what
    refers to more than is there is an error and never wrong data, so that those that don't are read all the same.

    Args:
        keeps_context: whether a message may refer to those before it.
        max_message: bytes to which a message may grow.
    """

    def __init__(self, *, keeps_context: bool, max_message: int = MAX_FRAME_BYTES) -> None:
        self._keeps_context = keeps_context
        self._max_message = max_message
        self._within = False
        self._broken = False
        self._failing = False
        self._fault = ""
        self._begin()

    def lose(self) -> None:
        """Take note that frames are missing."""
        self._begin()
        self._within = False

    def take_fault(self) -> str:
        """Return why frames were left out since the last call, once for all in a row; empty if there is nothing new."""
        fault, self._fault = self._fault, ""
        return fault

    def frame(self, frame: RawFrame) -> RawFrame | None:
        """Return a frame with its payload decompressed, None for one that can't be."""
        if frame.opcode >= _CONTROL:
            return frame
        if frame.opcode:
            self._within = bool(frame.rsv & RSV1)
            self._size, self._broken = 0, False
        if not self._within:
            return frame
        payload = None if self._broken else self._inflated(frame)
        if frame.fin:
            self._within = False
            # A message may end the stream of compressed data, and the next one begins another (RFC 7692 7.2.3.4).
            if not self._keeps_context or self._broken or self._inflate.eof:
                self._begin()
        if payload is None:
            return None
        self._failing = False
        return frame._replace(rsv=frame.rsv & ~RSV1, payload=payload)

    def _inflated(self, frame: RawFrame) -> bytes | None:
        room = self._max_message - self._size
        data = frame.payload + _TAIL if frame.fin else frame.payload
        try:
            payload = self._inflate.decompress(data, room + 1)
        except zlib.error as exc:
            self._fail(f"compressed messages can't be decompressed ({exc}); they are left out")
            return None
        if len(payload) > room:
            self._fail(f"a compressed message has more than {self._max_message} bytes; it is left out")
            return None
        self._size += len(payload)
        return payload

    def _fail(self, fault: str) -> None:
        self._fault = "" if self._failing else fault
        self._broken = self._failing = True
        # What it would have become may be held inside, and is never asked for.
        self._begin()

    def _begin(self) -> None:
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._size = 0
