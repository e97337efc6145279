"""The stream of one call that many tools want to send: whose turn it is, and what a killAudio leaves of it."""

from collections.abc import Callable

from listenctl.protocol.attached import ControlType, Refusal, RefusalReason
from listenctl.protocol.playout_clock import PlayoutClock
from listenctl.protocol.shared_actions import Actions, AudioToJambonz, Refuse, ToTool
from listenctl.protocol.stream_rates import StreamRates
from listenctl.protocol.stream_tail import StreamTail
from listenctl.protocol.stream_turns import StreamTurns

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
    def left(self) -> float | None:
        """Seconds of audio that are still to be played, by the clock; None if that depends on an unknown rate."""
        return self._playout.left(self.rates.playing, self._clock())

    def audio(self, tool: int, data: bytes) -> Actions:
        """Take audio of a tool."""
        # Empty messages are nothing to jambonz (protocol.md 6.1).
        if not data:
            return ()
        passed = self._turns.audio(tool, data, free=not self._is_deaf_to(tool))
        if passed is not None:
            self._playout.stream(len(passed), self.rates.playing, self._clock())
            self._tail.stream(passed)
            return (AudioToJambonz(passed),) if passed else ()
        if tool in self._refused:
            return ()
        self._refused.add(tool)
        detail = (
            f"another tool streams to this call; audio is dropped until it's done, send {ControlType.ACQUIRE} to wait"
        )
        return (Refuse(tool, Refusal(RefusalReason.STREAM_BUSY, detail)),)

    def note_streamed(self, size: int) -> None:
        """Take notice of audio of an application beside the tools, in bytes."""
        self._playout.stream(size, self.rates.playing, self._clock())
        # What jambonz holds back is the application's now, and so is what follows it.
        self._tail.forget()

    def ask(self, tool: int, rate: int | None) -> Actions:
        """Have a tool take the stream, or wait for it; ``rate`` is what it says of the call, None if nothing."""
        self.rates.tool = self.rates.tool if rate is None else rate
        self._killed.pop(tool, None)
        return (_granted(tool),) if self._turns.ask(tool) else ()

    def leave(self, tool: int) -> Actions:
        """End a tool's turn, or its waiting."""
        self._killed.pop(tool, None)
        if self._turns.holder == tool:
            self._refused.clear()
        self._refused.discard(tool)
        end = self._turns.leave(tool)
        padding = [AudioToJambonz(end.padding)] if end.padding else []
        return [*padding, *([] if end.next is None else [_granted(end.next)])]

    def kill(self, killer: int | None) -> Actions:
        """Return what to do before a killAudio of a tool, None for an application, which ends the turn of another."""
        ended = self._end_turn(killer)
        zeros = b"" if self._turns.is_within_sample else self._tail.zeros(self.rates.playing)
        self._tail.forget()
        self._playout.kill(self._clock())
        return [*ended, *([AudioToJambonz(zeros)] if zeros else [])]

    def _end_turn(self, killer: int | None) -> Actions:
        holder = self._turns.holder
        if holder is None or holder == killer:
            return ()
        detail = (
            "what was streamed and hasn't been played is dropped by a killAudio, and the turn to stream is over; "
            f"send {ControlType.ACQUIRE} for another"
        )
        ended = self.leave(holder)
        self._killed[holder] = self._clock() + DEAF
        self._refused.add(holder)
        return [Refuse(holder, Refusal(RefusalReason.KILLED, detail)), *ended]

    def _is_deaf_to(self, tool: int) -> bool:
        if self._clock() >= self._killed.get(tool, self._clock()):
            self._killed.pop(tool, None)
        return tool in self._killed


def _granted(tool: int) -> ToTool:
    return ToTool(tool, ControlType.GRANTED.serialize().encode())
