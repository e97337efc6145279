"""When each sample of a recording came, by its place and the gaps of the sidecar (`listenctl-recording(5)`)."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from listenctl.protocol import peer_json
from listenctl.protocol.peer_json import JsonFields

MAX_SECONDS = 1e9

_FILLED = frozenset({"hole", "pause"})


@dataclass(frozen=True, slots=True)
class RecordingGap:
    """
    A place in a file where time and audio part.

    Args:
        position: samples before it.
        skipped: samples of silence from there on that never were on the wire.
        shift: seconds by which what follows came later than its place says, all breaks before it included.
        not_before: time before which nothing that follows came.
        unrecorded: samples that came here and aren't in the file.
    """

    position: int
    skipped: int = 0
    shift: float = 0.0
    not_before: float = 0.0
    unrecorded: int = 0


class RecordedTimes:
    """
    The times of a recording, in seconds since the call began.

    Args:
        gaps: those of the sidecar.
        filled: silence was put in where audio is missing.
    """

    def __init__(self, gaps: Iterable[JsonFields], sample_rate: int, *, filled: bool) -> None:
        self._rate = sample_rate
        self.breaks: list[RecordingGap] = []
        shift = not_before = 0.0
        for gap in sorted(gaps, key=lambda gap: _count(gap, "position")):
            kind, position = str(gap.get("kind")), _count(gap, "position")
            missing, length = _number(gap, "missing"), _number(gap, "length")
            # Whatever a sidecar says, time doesn't go back.
            not_before = max(not_before, position / sample_rate + shift)
            is_filled = filled and kind in _FILLED and missing > 0
            if kind == "late-start":
                shift += max(0.0, length)
            elif not is_filled:
                shift += missing / sample_rate
            if kind == "burst":
                not_before = max(not_before, position / sample_rate + shift + length)
            self.breaks.append(
                RecordingGap(
                    position,
                    skipped=int(missing) if is_filled else 0,
                    shift=shift,
                    not_before=not_before,
                    unrecorded=int(missing) if kind == "unrecorded" else 0,
                )
            )

    def at(self, position: int) -> float:
        """Return when the sample before ``position`` had come."""
        time = position / self._rate
        last = self._last_before(position)
        return max(time + last.shift, last.not_before, 0.0) if last else time

    def filling(self, position: int) -> bool:
        """Tell whether the sample before ``position`` only stands for one that is missing."""
        last = self._last_before(position)
        return last is not None and position <= last.position + last.skipped

    def _last_before(self, position: int) -> RecordingGap | None:
        index = bisect_right(self.breaks, position - 1, key=attrgetter("position"))
        return self.breaks[index - 1] if index else None


def _number(gap: JsonFields, name: str) -> float:
    value = peer_json.number(gap.get(name)) or 0.0
    return value if abs(value) < MAX_SECONDS else 0.0


def _count(gap: JsonFields, name: str) -> int:
    return max(0, int(_number(gap, name)))
