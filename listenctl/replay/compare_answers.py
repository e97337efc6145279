"""Compare a live server's answers to a replayed call with those of the application in the capture."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from listenctl.net.client_connection import ConnectionEnd
from listenctl.protocol.frames.frame_format import close_code
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.frames.websocket_messages import BinaryMessages, MessageAssembler, TextMessage
from listenctl.replay.compare_audio import StreamedAudio, compare_audio
from listenctl.replay.compare_texts import (
    MAX_TEXTS,
    AnswerDifference,
    AnswerText,
    AnswerTiming,
    compare_texts,
    parse_answer_text,
)

IGNORED_AUDIO = "audio"
_CLOSE = 8
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """How to compare answers."""

    tolerance: float  # seconds by which an answer may be late
    ignored: tuple[str, ...] = ()
    """Members of texts that may differ, as in ``without_members``, or ``audio`` for all streamed audio."""


@dataclass(frozen=True, slots=True)
class AnswerComparison:
    """How the answers of a call compare."""

    texts: tuple[int, int]
    audio: tuple[int, int]
    differences: tuple[AnswerDifference, ...]  # the first ``MAX_LISTED``
    count: int

    def as_json(self) -> dict[str, object]:
        return {
            "texts": dict(zip(("captured", "live"), self.texts, strict=True)),
            "audio_bytes": dict(zip(("captured", "live"), self.audio, strict=True)),
            "differences": self.count,
            "listed": [difference.as_json() for difference in self.differences],
        }


class AnswerCollector:
    """Collect and compare the answers of the capture and of the live server; times count from each handshake."""

    def __init__(self, settings: CompareSettings, speed: float | None) -> None:
        self._compares_audio = IGNORED_AUDIO not in settings.ignored
        self._timing = AnswerTiming(settings.tolerance, speed)
        self._ignored = frozenset(settings.ignored)
        self._joiner = MessageAssembler(masked=False)
        self._captured, self._live = _AnswersOfSide(), _AnswersOfSide()
        self._close: tuple[float, int | None] | None = None
        self.names: tuple[bytes, bytes] | None = None
        """The callSids of the live call and of the capture; the first in an answer counts as the second."""

    @property
    def is_incomplete(self) -> bool:
        before, now = self._captured, self._live
        return now.count < before.count or (self._compares_audio and now.audio.bytes < before.audio.bytes)

    def add_captured_frame(self, at: float, frame: RawFrame) -> None:
        if frame.opcode == _CLOSE:
            self._close = self._close or (at, close_code(frame.payload))
            return
        for message in self._joiner.feed_frame(frame):
            if isinstance(message, TextMessage):
                self._captured.add_text(at, message.data, self._ignored)
            elif isinstance(message, BinaryMessages):
                self._captured.audio.add_audio(at, message.data)

    def add_live_text(self, at: float, data: bytes) -> None:
        self._live.add_text(at, data.replace(*self.names) if self.names else data, self._ignored)

    def add_live_audio(self, at: float, data: bytes) -> None:
        self._live.audio.add_audio(at, data)

    def compare(self, end: ConnectionEnd | None, at: float, *, closed_first: bool) -> AnswerComparison:
        """Compare; ``end`` is None without a connection, ``closed_first`` says that the application closed first."""
        captured, live = self._captured, self._live
        found = list(compare_texts(captured.texts, live.texts, self._timing))
        if max(captured.count, live.count) > MAX_TEXTS:
            found.append(AnswerDifference("different", "text", f"only the first {MAX_TEXTS} texts were compared"))
        if self._compares_audio:
            found += compare_audio(captured.audio, live.audio, self._timing)
        found += self._compare_close(end, at, closed_first=closed_first)
        return AnswerComparison(
            (captured.count, live.count),
            (captured.audio.bytes, live.audio.bytes),
            tuple(found[:MAX_LISTED]),
            len(found),
        )

    def _compare_close(self, end: ConnectionEnd | None, at: float, *, closed_first: bool) -> Sequence[AnswerDifference]:
        by_server = end is not None and end.by != "jambonz"
        if not closed_first or self._close is None:
            how = f"ended by the server with {_code(end.code)} {end.detail}".rstrip() if by_server and end else ""
            return [AnswerDifference("extra", "close", how, None, at)] if how else []
        before, code = self._close
        if end is None or not by_server:
            return [AnswerDifference("missing", "close", f"not closed by the server, as with {_code(code)}", before)]
        if end.code != code:
            return [AnswerDifference("different", "close", f"{_code(code)} → {_code(end.code)}", before, at)]
        if late := self._timing.lateness(before, at):
            return [AnswerDifference("later", "close", f"{late * 1000:.0f} ms later", before, at)]
        return []


class _AnswersOfSide:
    def __init__(self) -> None:
        self.texts: list[AnswerText] = []
        self.count = 0
        self.audio = StreamedAudio()

    def add_text(self, at: float, data: bytes, ignored: Collection[str]) -> None:
        self.count += 1
        if self.count <= MAX_TEXTS:
            self.texts.append(parse_answer_text(at, data, ignored))


def _code(code: int | None) -> str:
    return "no code" if code is None else str(code)
