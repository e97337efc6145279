"""Draw the events of a call over time in lanes: keys, marks, commands, clips and violations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from listenctl.inspection.call_report import CallReport
from listenctl.inspection.message_checks.jambonz_message_checks import DtmfRecord
from listenctl.inspection.message_checks.mark_and_clip_records import ClipRecord, MarkRecord
from listenctl.inspection.plot.plot_style import CLIP, COMMAND, GRID, INK, KEY, MARK, SEVERITY, SMALL, TINY, drawable
from listenctl.inspection.plot.plotted_call import PlottedCommand
from listenctl.inspection.rule_violations import Violation
from listenctl.protocol.jambonz_model.rule_catalogue import Severity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_ITEMS = 2000
"""Items in a lane; more can't be distinguished."""
_MAX_LEVELS = 8
_STEP = 0.3
# Seconds within which labels touch, in a call of average length.
_CLOSE = 0.5
# Width of a character per point of font size, and distance of a label from its shape, in points.
_CHARACTER = 0.58
_DISTANCE = 6.0
_POINTS_PER_INCH = 72


class LabelPlacement:
    """
    Place labelled items, in order of time, on one of several levels, given as heights in order of preference. A label
    without room is omitted. ``width`` is that of the figure, in inches.
    """

    def __init__(self, axes: "Axes", levels: Sequence[float], *, width: float) -> None:
        self._axes = axes
        self._ends = dict.fromkeys(levels, float("-inf"))
        left, self._right = axes.get_xlim()
        self._second = axes.get_position().width * width * _POINTS_PER_INCH / (self._right - left)

    def place_item(self, begin: float, end: float, text: str, *, size: int = TINY) -> float:
        """Return the height of an item from ``begin`` to ``end``, and draw its label beside it."""
        shown = drawable(text)
        width = (len(shown) * _CHARACTER * size + 2 * _DISTANCE) / self._second
        reach = _DISTANCE / self._second
        at_left = end + reach + width > self._right
        needed = begin - reach - (width if at_left else 0.0)
        level = next((level for level, taken in self._ends.items() if taken <= needed), None)
        if level is None:
            level = min(self._ends, key=self._ends.__getitem__)
            shown, width = "", 0.0
        self._ends[level] = max(self._ends[level], end + reach + (0.0 if at_left else width))
        if shown:
            at, side = (begin - reach, "right") if at_left else (end + reach, "left")
            self._axes.text(at, level, shown, fontsize=size, color=INK, va="center", ha=side, parse_math=False)
        return level


@dataclass(frozen=True, slots=True)
class EventLane:
    name: str
    levels: int
    draw: "Callable[[Axes, LabelPlacement], None]"

    @property
    def height(self) -> float:
        """Height in inches."""
        return 0.19 * (self.levels + 0.7)


def lanes_of(report: CallReport, commands: Sequence[PlottedCommand]) -> list[EventLane]:
    """Return the lanes that are not empty, the lowest first."""
    violations = report.violations[:_MAX_ITEMS]
    clips, marks, keys = report.clips[:_MAX_ITEMS], report.marks[:_MAX_ITEMS], report.keys[:_MAX_ITEMS]
    ends = partial(_end_of_clip, report.seconds)
    lanes = (
        EventLane("rules", _levels([(one.at, one.at) for one in violations]), partial(_draw_violations, violations)),
        EventLane("clips", _levels([(clip.at, ends(clip)) for clip in clips]), partial(_draw_clips, clips, ends)),
        EventLane("commands", _levels([(one.at, one.at) for one in commands]), partial(_draw_commands, commands)),
        EventLane("marks", _levels([(mark.at, _end_of_mark(mark)) for mark in marks]), partial(_draw_marks, marks)),
        EventLane("keys", min(1, len(keys)), partial(_draw_keys, keys)),
    )
    return [lane for lane in lanes if lane.levels]


def draw_lanes(axes: "Axes", lanes: Sequence[EventLane], *, width: float) -> None:
    """Draw lanes one above the other in a figure ``width`` inches wide, whose time axis is already set."""
    height, ticks = 0.0, []
    for lane in lanes:
        axes.axhline(height - _STEP, color=GRID, linewidth=0.6)
        levels = [height + level * _STEP for level in reversed(range(lane.levels))]
        lane.draw(axes, LabelPlacement(axes, levels, width=width))
        ticks.append(((levels[0] + levels[-1]) / 2, lane.name))
        height += (lane.levels + 0.7) * _STEP
    axes.set_ylim(-_STEP, height)
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks], fontsize=SMALL)
    axes.tick_params(axis="y", length=0)


def _levels(spans: Sequence[tuple[float, float]]) -> int:
    """Return the number of levels that overlapping spans need."""
    if not spans:
        return 0
    steps = sorted([(begin, 1) for begin, _ in spans] + [(end + _CLOSE, -1) for _, end in spans])
    return min(_MAX_LEVELS, max(accumulate(step for _, step in steps)))


def _draw_keys(keys: Sequence[DtmfRecord], axes: "Axes", labels: LabelPlacement) -> None:
    for key in keys:
        heard = key.channel is not None
        level = labels.place_item(key.at, key.at, f"{key.digit}{' (tone)' if heard else ''}", size=SMALL)
        axes.plot(
            key.at, level, "D" if heard else "s", color=KEY, markersize=7, markeredgecolor=INK, markeredgewidth=0.6
        )


def _draw_marks(marks: Sequence[MarkRecord], axes: "Axes", labels: LabelPlacement) -> None:
    for mark in marks:
        end = _end_of_mark(mark)
        how = "" if mark.result == "playout" else f" ({mark.result or 'no answer'})"
        level = labels.place_item(mark.at, end, f"{mark.name}{how}")
        axes.plot([mark.at, end], [level, level], "-", color=MARK, linewidth=1.2)
        axes.plot(mark.at, level, "|", color=MARK, markersize=9, markeredgewidth=1.6)
        shape, fill = {"playout": ("o", MARK), "cleared": ("o", "white")}.get(mark.result or "", ("x", MARK))
        axes.plot(end, level, shape, color=MARK, markerfacecolor=fill, markersize=6, markeredgewidth=1.4)


def _draw_clips(
    clips: Sequence[ClipRecord], ends: Callable[[ClipRecord], float], axes: "Axes", labels: LabelPlacement
) -> None:
    for clip in clips:
        end = ends(clip)
        seconds = "unreadable" if clip.seconds is None else f"{clip.seconds:.1f} s"
        how = "" if clip.result == "done" else f" ({clip.result or 'no playDone'})"
        level = labels.place_item(clip.at, end, f"{clip.id or 'clip'} {seconds}{how}")
        line = ":" if clip.result is None else "-"
        axes.plot([clip.at, end], [level, level], line, color=CLIP, linewidth=3, solid_capstyle="butt", alpha=0.6)
        axes.plot(clip.at, level, "|", color=CLIP, markersize=9, markeredgewidth=1.6)
        shape, fill = {"done": ("s", CLIP), "killed": ("s", "white")}.get(clip.result or "", ("x", CLIP))
        axes.plot(end, level, shape, color=CLIP, markerfacecolor=fill, markersize=5)


def _draw_commands(commands: Sequence[PlottedCommand], axes: "Axes", labels: LabelPlacement) -> None:
    for command in commands:
        level = labels.place_item(command.at, command.at, command.name)
        axes.plot(command.at, level, "v", color=COMMAND, markersize=7)


def _draw_violations(violations: Sequence[Violation], axes: "Axes", labels: LabelPlacement) -> None:
    for violation in violations:
        colour, shape = SEVERITY[violation.severity]
        level = labels.place_item(violation.at, violation.at, violation.rule)
        axes.plot(violation.at, level, shape, color=colour, markersize=8, markeredgecolor=INK, markeredgewidth=0.5)


def _end_of_mark(mark: MarkRecord) -> float:
    return mark.at if mark.answered is None else mark.answered


def _end_of_clip(call_ends: float, clip: ClipRecord) -> float:
    if clip.done is not None:
        return clip.done
    return max(clip.at, min(clip.at + (clip.seconds or 0.0), call_ends))


def line_violations(violations: Sequence[Violation]) -> list[Violation]:
    return [one for one in violations[:_MAX_ITEMS] if one.severity is not Severity.INFO]
