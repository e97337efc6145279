"""The stream of one call that many tools want to send: whose turn it is, and what a killAudio leaves of it."""

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
    """What the end of a turn brings: bytes that complete the last sample, and the tool whose turn it is now."""

    padding: bytes = b""
    next: int | None = None


class StreamTurns:
    """Keep the turns of one call."""

    def __init__(self) -> None:
        self.holder: int | None = None
        self._waiting: deque[int] = deque()
        # The tools that have sent half a sample, also those whose audio is dropped.
        self._within_sample: set[int] = set()

    @property
    def is_within_sample(self) -> bool:
        """Whether jambonz has half a sample, and its tool goes on with the other half."""
        return self.holder in self._within_sample

    def take_audio(self, tool: int, data: bytes, *, free: bool = True) -> bytes | None:
        """
        Return what may be streamed of a tool's audio; None if it isn't its turn.

        Args:
            free: whether the audio takes the stream where nobody has it.
        """
        if self.holder is None and free:
            self.holder = tool
            data = self._from_whole_sample(tool, data)
        if len(data) % SAMPLE_BYTES:
            self._within_sample ^= {tool}
        return data if self.holder == tool else None

    def request_turn(self, tool: int) -> bool:
        """Have a tool take the stream, or wait for it; tell whether it has it."""
        if self.holder is None:
            self._begin(tool)
        elif self.holder != tool and tool not in self._waiting:
            self._waiting.append(tool)
        return self.holder == tool

    def end_turn(self, tool: int) -> TurnEnd:
        """End a tool's turn, or its waiting."""
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
        # What it sent before was dropped, and it begins anew.
        self._within_sample.discard(tool)

    def _from_whole_sample(self, tool: int, data: bytes) -> bytes:
        if tool not in self._within_sample:
            return data
        self._within_sample.discard(tool)
        return data[1:]


FLUSH = 0.16
"""Seconds of audio that push out all that the pre-buffer holds, whatever the rates (protocol.md 6.2)."""
_WIDEST_RATE = 24_000


class StreamTail:
    """
    Follow the end of what was streamed.

    killAudio clears what plays but not the pre-buffer, whose rest would be heard before the next sound (protocol.md
    6.3). Zeros behind it push it out, and a killAudio directly behind them clears it with them.
    """

    def __init__(self) -> None:
        self._sounds = False
        self._zeros = 0

    def add_audio(self, data: bytes) -> None:
        """Take notice of audio that is sent."""
        zeros = len(data) - len(data.rstrip(b"\0"))
        if zeros < len(data):
            self._sounds = True
            self._zeros = 0
        self._zeros += zeros

    def forget_audio(self) -> None:
        """Take notice that nothing of it is to be pushed out any more."""
        self._sounds = False

    def flushing_zeros(self, rate: int | None) -> bytes:
        """Return the zeros to send before a killAudio, none if only silence can be held back."""
        size = round(FLUSH * (rate or _WIDEST_RATE)) * SAMPLE_BYTES
        # Without need they would make marks wait for them that are cleared else, and cost others (protocol.md 6.4).
        return bytes(size) if self._sounds and self._zeros < size else b""


class PlayoutClock:
    """
    Compare the bytes that were streamed with the time that has passed; all times are seconds on one clock.

    Playing begins when audio comes and goes on while there is any. What jambonz holds back until more comes (up to
    160 ms, protocol.md 6.2) isn't known here.
    """

    def __init__(self) -> None:
        self._waiting = 0.0
        # When ``_waiting`` was true; it isn't brought up to date while the rate is unknown.
        self._at = 0.0

    def add_bytes(self, size: int, rate: int | None, now: float) -> None:
        """Take notice of ``size`` bytes that are sent."""
        if not self._waiting:
            self._at = now
        self._play(rate, now)
        self._waiting += size

    def drop_audio(self, now: float) -> None:
        """Take notice that all that waits is dropped."""
        self._waiting, self._at = 0.0, now

    def seconds_left(self, rate: int | None, now: float) -> float | None:
        """Return the seconds of audio that are still to be played; None if that depends on a rate that is unknown."""
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
    """Join what an application and the tools beside it stream; what only one of them streams stays as it is."""

    def __init__(self) -> None:
        self._speaker: Speaker = "application"
        self._within_sample = False
        # Those whose sample was completed without them.
        self._owing: set[Speaker] = set()

    def align_audio(self, speaker: Speaker, data: bytes) -> bytes:
        """Return what is to be sent when ``speaker`` sends ``data``; it may be empty."""
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


DEAF = 1.0
"""Seconds in which a killed tool's audio is taken for what it sent before it knew, unless it asks for a turn."""


class SharedStream:
    """
    Keep the stream of one call.

    Args:
        server_rate: of streamed audio where neither metadata nor a tool say it; 0 for clips, None for unknown.
        clock: returns the time in seconds.

    Attributes:
        rates: at which it is played.
    """

    def __init__(self, server_rate: int | None, clock: Callable[[], float]) -> None:
        self.rates = StreamRates(server_rate)
        self._clock = clock
        self._turns = StreamTurns()
        self._playout = PlayoutClock()
        self._tail = StreamTail()
        # Those that know already why their audio is dropped.
        self._refused: set[int] = set()
        # Those whose turn a killAudio has ended, each with the time until which its audio belongs to that turn.
        self._killed: dict[int, float] = {}

    @property
    def holder(self) -> int | None:
        """The tool whose audio is streamed, None if the stream is free."""
        return self._turns.holder

    @property
    def seconds_left(self) -> float | None:
        """Seconds of audio that are still to be played, by the clock; None if that depends on an unknown rate."""
        return self._playout.seconds_left(self.rates.streaming, self._clock())

    def take_audio(self, tool: int, data: bytes) -> Actions:
        """Take audio of a tool."""
        # Empty messages are nothing to jambonz (protocol.md 6.1).
        if not data:
            return ()
        passed = self._turns.take_audio(tool, data, free=not self._is_deaf_to(tool))
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
        """Take notice of audio of an application beside the tools, in bytes."""
        self._playout.add_bytes(size, self.rates.streaming, self._clock())
        # What jambonz holds back is the application's now, and so is what follows it.
        self._tail.forget_audio()

    def request_turn(self, tool: int, rate: int | None) -> Actions:
        """Have a tool take the stream, or wait for it; ``rate`` is what it says of the call, None if nothing."""
        self.rates.tool = self.rates.tool if rate is None else rate
        self._killed.pop(tool, None)
        return (_granted(tool),) if self._turns.request_turn(tool) else ()

    def end_turn(self, tool: int) -> Actions:
        """End a tool's turn, or its waiting."""
        self._killed.pop(tool, None)
        if self._turns.holder == tool:
            self._refused.clear()
        self._refused.discard(tool)
        end = self._turns.end_turn(tool)
        padding = [AudioToJambonz(end.padding)] if end.padding else []
        return [*padding, *([] if end.next is None else [_granted(end.next)])]

    def take_kill(self, killer: int | None) -> Actions:
        """Return what to do before a killAudio of a tool, None for an application, which ends the turn of another."""
        ended = self._end_turn(killer)
        zeros = b"" if self._turns.is_within_sample else self._tail.flushing_zeros(self.rates.streaming)
        self._tail.forget_audio()
        self._playout.drop_audio(self._clock())
        return [*ended, *([AudioToJambonz(zeros)] if zeros else [])]

    def _end_turn(self, killer: int | None) -> Actions:
        holder = self._turns.holder
        if holder is None or holder == killer:
            return ()
        detail = (
            "what was streamed and hasn't been played is dropped by a killAudio, and the turn to stream is over; "
            f"send {ToolMessageType.ACQUIRE} for another"
        )
        ended = self.end_turn(holder)
        self._killed[holder] = self._clock() + DEAF
        self._refused.add(holder)
        return [RefuseTool(holder, ToolRefusal(RefusalReason.KILLED, detail)), *ended]

    def _is_deaf_to(self, tool: int) -> bool:
        if self._clock() >= self._killed.get(tool, self._clock()):
            self._killed.pop(tool, None)
        return tool in self._killed


def _granted(tool: int) -> TextToTool:
    return TextToTool(tool, ToolMessageType.GRANTED.serialize().encode())
