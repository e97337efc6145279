"""The audio that several tools stream to one call: whose turn it is, and what a killAudio drops."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.call_sharing.sharing_actions import Actions, AudioToJambonz, RefuseTool, TextToTool
from listenctl.protocol.call_sharing.stream_rate import StreamRates
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ToolMessageType, ToolRefusal


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The end of a turn: bytes that complete the last sample, and the tool whose turn begins."""

    padding: bytes = b""
    next: int | None = None


class StreamTurns:
    def __init__(self) -> None:
        self.holder: int | None = None
        self._waiting: deque[int] = deque()
        # Tools that have sent half a sample, even if their audio is dropped.
        self._within_sample: set[int] = set()

    @property
    def is_within_sample(self) -> bool:
        return self.holder in self._within_sample

    def take_audio(self, tool: int, data: bytes, *, free: bool = True) -> bytes | None:
        """Return what to stream of a tool's audio, None if it isn't its turn; if ``free``, it may begin one."""
        if self.holder is None and free:
            self.holder = tool
            data = self._from_whole_sample(tool, data)
        if len(data) % SAMPLE_BYTES:
            self._within_sample ^= {tool}
        return data if self.holder == tool else None

    def request_turn(self, tool: int) -> bool:
        if self.holder is None:
            self._begin(tool)
        elif self.holder != tool and tool not in self._waiting:
            self._waiting.append(tool)
        return self.holder == tool

    def end_turn(self, tool: int) -> TurnEnd:
        if tool in self._waiting:
            self._waiting.remove(tool)
        padding = bytes(tool in self._within_sample)
        self._within_sample.discard(tool)
        if self.holder != tool:
            return TurnEnd()
        self.holder = None
        if self._waiting:
            self._begin(self._waiting.popleft())
        return TurnEnd(padding, self.holder)

    def _begin(self, tool: int) -> None:
        self.holder = tool
        # Its audio so far was dropped.
        self._within_sample.discard(tool)

    def _from_whole_sample(self, tool: int, data: bytes) -> bytes:
        if tool not in self._within_sample:
            return data
        self._within_sample.discard(tool)
        return data[1:]


FLUSH = 0.16
"""Seconds of audio that flush the pre-buffer at any rate (listenctl-protocol(7) 6.2)."""
_WIDEST_RATE = 24_000


class StreamTail:
    """
    The end of the streamed audio, which killAudio leaves in the pre-buffer, to be heard before the next sound
    (listenctl-protocol(7) 6.3). Zeros flush it, and a killAudio right after them clears everything.
    """

    def __init__(self) -> None:
        self._sounds = False
        self._zeros = 0

    def add_audio(self, data: bytes) -> None:
        zeros = len(data) - len(data.rstrip(b"\0"))
        if zeros < len(data):
            self._sounds = True
            self._zeros = 0
        self._zeros += zeros

    def forget_audio(self) -> None:
        self._sounds = False

    def flushing_zeros(self, rate: int | None) -> bytes:
        """Return the zeros to send before a killAudio, none if at most silence is held back."""
        size = round(FLUSH * (rate or _WIDEST_RATE)) * SAMPLE_BYTES
        # Unneeded zeros would delay marks and swallow the answers to later ones (listenctl-protocol(7) 6.4).
        return bytes(size) if self._sounds and self._zeros < size else b""


class PlayoutClock:
    """How much streamed audio is left to play, by the clock, without the 160 ms that jambonz may hold back."""

    def __init__(self) -> None:
        self._waiting = 0.0
        # The time of ``_waiting``, which isn't updated while the rate is unknown.
        self._at = 0.0

    def add_bytes(self, size: int, rate: int | None, now: float) -> None:
        if not self._waiting:
            self._at = now
        self._play(rate, now)
        self._waiting += size

    def drop_audio(self, now: float) -> None:
        self._waiting, self._at = 0.0, now

    def seconds_left(self, rate: int | None, now: float) -> float | None:
        """Return how long the audio still plays; None if that depends on an unknown rate."""
        if not self._waiting:
            return 0.0
        self._play(rate, now)
        return None if rate is None else self._waiting / (rate * SAMPLE_BYTES)

    def _play(self, rate: int | None, now: float) -> None:
        if rate is not None:
            self._waiting = max(0.0, self._waiting - (now - self._at) * rate * SAMPLE_BYTES)
            self._at = now


Speaker = Literal["application", "tool"]


class SampleBoundaries:
    """Join the audio of an application and of its tools at whole samples; audio of only one stays unchanged."""

    def __init__(self) -> None:
        self._speaker: Speaker = "application"
        self._within_sample = False
        # Speakers whose last sample was completed for them.
        self._owing: set[Speaker] = set()

    def align_audio(self, speaker: Speaker, data: bytes) -> bytes:
        padding = b""
        if speaker != self._speaker:
            if self._within_sample:
                self._owing.add(self._speaker)
                padding = b"\0"
            self._speaker, self._within_sample = speaker, False
        if speaker in self._owing and data:
            self._owing.discard(speaker)
            data = data[1:]
        if len(data) % SAMPLE_BYTES:
            self._within_sample = not self._within_sample
        return padding + data if padding else data


IGNORED_AFTER_KILL = 1.0
"""Seconds in which audio of a killed tool counts as sent before it knew, unless it requests a turn."""


class SharedStream:
    """The stream of one call; ``server_rate`` is 0 for clips, None for unknown."""

    def __init__(self, server_rate: int | None, clock: Callable[[], float]) -> None:
        self.rates = StreamRates(server_rate)
        self._clock = clock
        self.turns = StreamTurns()
        self._playout = PlayoutClock()
        self._tail = StreamTail()
        # Tools that were told already why their audio is dropped.
        self._refused: set[int] = set()
        # Tools whose turn a killAudio ended, with the time until which their audio belongs to that turn.
        self._killed: dict[int, float] = {}

    @property
    def seconds_left(self) -> float | None:
        return self._playout.seconds_left(self.rates.streaming, self._clock())

    def take_audio(self, tool: int, data: bytes) -> Actions:
        # jambonz ignores empty messages (listenctl-protocol(7) 6.1).
        if not data:
            return ()
        passed = self.turns.take_audio(tool, data, free=not self._ignores(tool))
        if passed is not None:
            self._playout.add_bytes(len(passed), self.rates.streaming, self._clock())
            self._tail.add_audio(passed)
            return (AudioToJambonz(passed),) if passed else ()
        if tool in self._refused:
            return ()
        self._refused.add(tool)
        detail = f"another tool streams to this call; audio is dropped; send {ToolMessageType.ACQUIRE} to wait"
        return (RefuseTool(tool, ToolRefusal(RefusalReason.STREAM_BUSY, detail)),)

    def take_application_audio(self, size: int) -> None:
        self._playout.add_bytes(size, self.rates.streaming, self._clock())
        # What jambonz holds back, and what follows, is the application's now.
        self._tail.forget_audio()

    def request_turn(self, tool: int) -> Actions:
        """Begin or queue a turn of a tool."""
        self._killed.pop(tool, None)
        return (_granted(tool),) if self.turns.request_turn(tool) else ()

    def end_turn(self, tool: int) -> Actions:
        self._killed.pop(tool, None)
        if self.turns.holder == tool:
            self._refused.clear()
        self._refused.discard(tool)
        end = self.turns.end_turn(tool)
        padding = [AudioToJambonz(end.padding)] if end.padding else []
        return [*padding, *([] if end.next is None else [_granted(end.next)])]

    def take_kill(self, killer: int | None) -> Actions:
        """Return the actions before a killAudio of a tool (None: the application), which ends the turn of another."""
        ended = self._end_turn(killer)
        zeros = b"" if self.turns.is_within_sample else self._tail.flushing_zeros(self.rates.streaming)
        self._tail.forget_audio()
        self._playout.drop_audio(self._clock())
        return [*ended, *([AudioToJambonz(zeros)] if zeros else [])]

    def _end_turn(self, killer: int | None) -> Actions:
        holder = self.turns.holder
        if holder is None or holder == killer:
            return ()
        detail = (
            "a killAudio dropped the unplayed audio and ended the turn to stream; "
            f"send {ToolMessageType.ACQUIRE} for another"
        )
        ended = self.end_turn(holder)
        self._killed[holder] = self._clock() + IGNORED_AFTER_KILL
        self._refused.add(holder)
        return [RefuseTool(holder, ToolRefusal(RefusalReason.KILLED, detail)), *ended]

    def _ignores(self, tool: int) -> bool:
        if self._clock() >= self._killed.get(tool, self._clock()):
            self._killed.pop(tool, None)
        return tool in self._killed


def _granted(tool: int) -> TextToTool:
    return TextToTool(tool, ToolMessageType.GRANTED.serialize().encode())
