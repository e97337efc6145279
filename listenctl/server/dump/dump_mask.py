"""
Mask the digits of a call on their way into its dump, in texts and in the audio of jambonz.

Frames keep their times, sizes and order: what follows audio that is held back waits with it. What the application sends
stays as it is.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from websockets.frames import Opcode

from listenctl.capture.formats.dump_line_format import DumpAudio
from listenctl.media.dtmf_mask import DtmfMask
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.privacy.mask_digits import mask_digits
from listenctl.protocol.timeline import TimedFrame
from listenctl.server.dump.dump_file import Item

MAX_FRAGMENTED_TEXT = 64 * 1024
"""Bytes of a text in several frames, which jambonz never sends; the rest of a longer one is left out."""


class DumpMask:
    """Mask the items of one call."""

    def __init__(self, default_format: AudioFormat) -> None:
        self._default_format = default_format  # of a call that ends before its format is known
        self._waiting: deque[tuple[Item, bool]] = deque()  # with whether its payload is audio
        self._masked = bytearray()  # audio of the items that wait
        self._odd = b""  # bytes of an incomplete sample frame
        self._format: AudioFormat | None = None
        self._mask: DtmfMask | None = None
        self._message = 0  # the opcode of the message that continuation frames belong to
        self._text = bytearray()  # of a text in several frames

    @property
    def oldest(self) -> Item | None:
        """The first item that waits, None if none does."""
        return self._waiting[0][0] if self._waiting else None

    def feed(self, items: Iterable[Item], audio_format: AudioFormat | None) -> list[Item]:
        """Take items of a call that has this format, and return those that can be written."""
        audio_format = audio_format or self._default_format
        if audio_format != self._format:
            self._release_audio()
            self._format, self._mask = audio_format, DtmfMask.of_format(audio_format)
        for item in _single_frames(items):
            self._waiting.append(self._take_item(item, audio_format))
        return self._take_ready()

    def _take_item(self, item: Item, audio_format: AudioFormat) -> tuple[Item, bool]:
        if not isinstance(item, TimedFrame) or item.sender is not Sender.JAMBONZ:
            return item, False
        frame = item.frame
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._message = frame.opcode
        if frame.opcode in (Opcode.CONT, Opcode.BINARY) and self._message == Opcode.BINARY:
            self._add_audio(frame.payload, audio_format.frame_bytes)
            return item, True
        return TimedFrame(item.at, item.sender, self._mask_text(frame)), False

    def flush(self) -> list[Item]:
        """Return the items that wait, because no more audio follows soon."""
        self._release_audio()
        return self._take_ready()

    def _add_audio(self, payload: bytes, frame_bytes: int) -> None:
        data = self._odd + payload
        whole = len(data) // frame_bytes * frame_bytes
        self._odd = data[whole:]
        self._masked += data[:whole] if self._mask is None else self._mask.feed(data[:whole])

    def _release_audio(self) -> None:
        if self._mask is not None:
            self._masked += self._mask.flush()
        self._masked += self._odd
        self._odd = b""

    def _take_ready(self) -> list[Item]:
        ready: list[Item] = []
        while self._waiting:
            item, is_audio = self._waiting[0]
            if is_audio and isinstance(item, TimedFrame):
                size = len(item.frame.payload)
                if len(self._masked) < size:
                    break
                payload = bytes(self._masked[:size])
                del self._masked[:size]
                item = TimedFrame(item.at, item.sender, item.frame._replace(payload=payload))
            ready.append(item)
            self._waiting.popleft()
        return ready

    def _mask_text(self, frame: RawFrame) -> RawFrame:
        """Return a frame of a text; one in several frames is all in the last of them, because a digit may be split."""
        if frame.opcode == Opcode.TEXT and frame.fin:
            return frame._replace(payload=mask_digits(frame.payload))
        if frame.opcode not in (Opcode.TEXT, Opcode.CONT):
            return frame
        self._text += frame.payload[: MAX_FRAGMENTED_TEXT - len(self._text)]
        if not frame.fin:
            return frame._replace(payload=b"")
        text = mask_digits(bytes(self._text))
        self._text.clear()
        return frame._replace(payload=text)


def _single_frames(items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        if isinstance(item, DumpAudio):
            yield from item.frames()
        else:
            yield item
