"""
Times of the WebSocket messages in a HAR file, as Unix times in seconds.

The format has no rule for them: tools write Unix times in seconds, milliseconds, micro- or nanoseconds or as ISO 8601,
and times that count from the beginning of the connection, of the page or of the program, in each unit.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import log10
from statistics import median

from listenctl.json_lines import parse_timestamp

MAX_SKEW = 86_400.0
"""Seconds. A larger difference between an entry and its messages means another clock, one between two messages a wrong
time."""

_UNITS = (1.0, 1e3, 1e6, 1e9)  # per second
# Of Unix times in seconds: the years 2001 to 2096.
_EARLIEST, _LATEST = 1e9, 4e9
_LARGEST = 1e20
_LONGEST_TIME = 40
_STARTS_AT_ONCE = 2.0
# The share of a connection in which messages are sent, by which a unit is told.
_SHORTEST_FIT, _LONGEST_FIT = 0.3, 1.5

TimedAudio = tuple[object, float]
"""The time of a binary message as in the file, and the seconds of audio in it."""


class HarTimes:
    """
    Args:
        began: Unix time of the entry, 0 if unknown.
        duration: seconds of the entry, 0 if unknown; with some tools that of the handshake.
        values: the times of all messages, as in the file.
        audio: those of one side's audio.
    """

    def __init__(
        self, began: float, duration: float, values: Sequence[object], audio: Sequence[TimedAudio] = ()
    ) -> None:
        self.wrong = 0  # number of impossible times
        numbers = [number for value in values if (number := _number(value)) is not None]
        self._per_second, self._shift = 1.0, 0.0
        self._last = began
        if not numbers:
            return
        first = numbers[0]
        self._per_second = _per_second(began, duration, numbers, audio)
        at = first / self._per_second
        if not began:
            began = at if _EARLIEST < at < _LATEST else 0.0
        elif abs(at - began) >= MAX_SKEW:
            last = max(numbers) / self._per_second
            counts_from_entry = 0 <= at < _STARTS_AT_ONCE or (at >= 0 and last <= duration)
            self._shift = began if counts_from_entry else began - at
        self._last = began or at

    def parse_time(self, value: object) -> float:
        """Return the Unix time of a value, that of the message before if it is invalid."""
        number = _number(value)
        if number is None:
            return self._last
        at = number / self._per_second + self._shift
        if self._is_possible(at):
            self._last = at
        else:
            self.wrong += 1
        return self._last

    def parse_close_time(self, value: object) -> float:
        """Return the Unix time of the end, which may have another unit than messages; at least that of the last one."""
        number = _number(value)
        if number is not None:
            times = (number / self._per_second + self._shift, *(number / unit for unit in _UNITS))
            self._last = max(self._last, next(filter(self._is_possible, times), 0.0))
        return self._last

    def _is_possible(self, at: float) -> bool:
        return 0 <= at < _LATEST and not (self._last and abs(at - self._last) > MAX_SKEW)


def _number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = parse_timestamp(value) if isinstance(value, str) and len(value) < _LONGEST_TIME else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        return None
    return float(value)


def _per_second(began: float, duration: float, numbers: Sequence[float], audio: Sequence[TimedAudio]) -> float:
    """Return the unit, as the number of its units in a second."""
    first, span = numbers[0], max(numbers) - min(numbers)
    if began:
        for unit in _UNITS:
            if abs(first / unit - began) < MAX_SKEW:
                return unit
    if pace := _pace(audio):
        return min(_UNITS, key=lambda unit: abs(log10(pace / unit)))
    for unit in _UNITS:
        if duration and _SHORTEST_FIT < span / unit / duration < _LONGEST_FIT:
            return unit
    return next((unit for unit in _UNITS if _EARLIEST < first / unit < _LATEST), 1.0)


def _pace(audio: Sequence[TimedAudio]) -> float:
    """Return the usual number of units in which a second of audio is sent, 0 if unknown; pauses don't count."""
    timed = [(number, seconds) for value, seconds in audio if (number := _number(value)) is not None and seconds > 0]
    steps = [(at - before) / seconds for (before, _), (at, seconds) in pairwise(timed) if at > before]
    return median(steps) if len(steps) >= 3 else 0.0
