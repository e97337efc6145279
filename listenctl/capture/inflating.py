"""Decompress the frames of a connection that agreed on permessage-deflate (RFC 7692), without becoming huge."""

import zlib

from listenctl.protocol.frame_reader import MAX_FRAME_BYTES, RawFrame

RSV1 = 4
_CONTROL = 8
_TAIL = b"\x00\x00\xff\xff"


class Inflater:
    """
    Decompress what one side sends, frame by frame.

    Args:
        keeps_context: whether a message may refer to those before it.
        max_message: bytes to which a message may grow.
    """

    def __init__(self, *, keeps_context: bool, max_message: int = MAX_FRAME_BYTES) -> None:
        self._keeps_context = keeps_context
        self._max_message = max_message
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._within = False
        self._size = 0
        self.fault = ""
        """Why frames stay compressed from here on; empty while they don't."""

    def lose(self) -> None:
        """Take note that frames are missing."""
        if self._keeps_context:
            self.fault = "compressed messages after a loss refer to what was lost"
        self._begin()
        self._within = False

    def frame(self, frame: RawFrame) -> RawFrame:
        """Return a frame with its payload decompressed; one that can't be is returned as it is."""
        if frame.opcode >= _CONTROL:
            return frame
        if frame.opcode:
            self._within = bool(frame.rsv & RSV1)
            self._size = 0
        if not self._within or self.fault:
            return frame
        payload = self._inflated(frame)
        if payload is None:
            return frame
        if frame.fin:
            self._within = False
            if not self._keeps_context:
                self._begin()
        return frame._replace(rsv=frame.rsv & ~RSV1, payload=payload)

    def _inflated(self, frame: RawFrame) -> bytes | None:
        room = self._max_message - self._size
        data = frame.payload + _TAIL if frame.fin else frame.payload
        try:
            payload = self._inflate.decompress(data, room + 1)
        except zlib.error as exc:
            self.fault = f"a compressed message can't be decompressed ({exc})"
            return None
        if len(payload) > room:
            self.fault = f"a compressed message has more than {self._max_message} bytes"
            return None
        self._size += len(payload)
        return payload

    def _begin(self) -> None:
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
