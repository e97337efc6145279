"""What was said in a call, drawn over time: keys, marks, clips and orders, and what was wrong; a lane for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from listenctl.inspection.call_report import CallReport
from listenctl.inspection.message_checks.jambonz_message_checks import DtmfRecord
from listenctl.inspection.message_checks.mark_and_clip_records import ClipRecord, MarkRecord
from listenctl.inspection.plot.plot_style import CLIP, GRID, INK, KEY, MARK, ORDER, SEVERITY, SMALL, LabelPlacement
from listenctl.inspection.plot.plotted_call import PlottedCommand
from listenctl.inspection.rule_catalogue import Severity
from listenctl.inspection.rule_violations import Violation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_DRAWN = 2000
"""Of one kind in one plot; with more nothing can be told apart."""
_MOST_LEVELS = 8
_STEP = 0.3
# Seconds within which things have labels that touch, in a call of average length.
_CLOSE = 0.5


@dataclass(frozen=True, slots=True)
class EventLane:
    """``draw`` draws it, given where there is room for labels."""

    name: str
    levels: int
    draw: "Callable[[Axes, LabelPlacement], None]"

    @property
    def height(self) -> float:
        """What it takes, in inches."""
        return 0.19 * (self.levels + 0.7)


def lanes_of(report: CallReport, orders: Sequence[PlottedCommand]) -> list[EventLane]:
    """Return the lanes that have anything on them, the lowest first."""
    violations = report.violations[:MAX_DRAWN]
    clips, marks, keys = report.clips[:MAX_DRAWN], report.marks[:MAX_DRAWN], report.keys[:MAX_DRAWN]
    lanes = (
        EventLane("rules", _levels([(one.at, one.at) for one in violations]), partial(_draw_violations, violations)),
        EventLane("clips", _levels([(clip.at, _end_of_clip(clip)) for clip in clips]), partial(_draw_clips, clips)),
        EventLane("orders", _levels([(order.at, order.at) for order in orders]), partial(_draw_orders, orders)),
        EventLane("marks", _levels([(mark.at, _end_of_mark(mark)) for mark in marks]), partial(_draw_marks, marks)),
        EventLane("keys", min(1, len(keys)), partial(_draw_keys, keys)),
    )
    return [lane for lane in lanes if lane.levels]


def draw_lanes(axes: "Axes", lanes: Sequence[EventLane], *, width: float) -> None:
    """Draw lanes one above the other in a picture so many inches wide; the limits of time are set already."""
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
    """Return how many levels are worth their room: one more than spans that overlap."""
    if not spans:
        return 0
    steps = sorted([(begin, 1) for begin, _ in spans] + [(end + _CLOSE, -1) for _, end in spans])
    return min(_MOST_LEVELS, max(accumulate(step for _, step in steps)))


def _draw_keys(keys: Sequence[DtmfRecord], axes: "Axes", labels: LabelPlacement) -> None:
    for key in keys:
        heard = key.channel is not None
        level = labels.put(key.at, key.at, f"{key.digit}{' (tone)' if heard else ''}", size=SMALL)
        axes.plot(
            key.at, level, "D" if heard else "s", color=KEY, markersize=7, markeredgecolor=INK, markeredgewidth=0.6
        )


def _draw_marks(marks: Sequence[MarkRecord], axes: "Axes", labels: LabelPlacement) -> None:
    for mark in marks:
        end = _end_of_mark(mark)
        how = "" if mark.result == "playout" else f" ({mark.result or 'no answer'})"
        level = labels.put(mark.at, end, f"{mark.name}{how}")
        axes.plot([mark.at, end], [level, level], "-", color=MARK, linewidth=1.2)
        axes.plot(mark.at, level, "|", color=MARK, markersize=9, markeredgewidth=1.6)
        shape, fill = {"playout": ("o", MARK), "cleared": ("o", "white")}.get(mark.result or "", ("x", MARK))
        axes.plot(end, level, shape, color=MARK, markerfacecolor=fill, markersize=6, markeredgewidth=1.4)


def _draw_clips(clips: Sequence[ClipRecord], axes: "Axes", labels: LabelPlacement) -> None:
    for clip in clips:
        end = _end_of_clip(clip)
        seconds = "unreadable" if clip.seconds is None else f"{clip.seconds:.1f} s"
        done = "" if clip.done is not None else " (no playDone)"
        level = labels.put(clip.at, end, f"{clip.id or 'clip'} {seconds}{done}")
        axes.plot([clip.at, end], [level, level], "-", color=CLIP, linewidth=3, solid_capstyle="butt", alpha=0.6)
        axes.plot(clip.at, level, "|", color=CLIP, markersize=9, markeredgewidth=1.6)
        axes.plot(end, level, "x" if clip.done is None else "s", color=CLIP, markersize=5)


def _draw_orders(orders: Sequence[PlottedCommand], axes: "Axes", labels: LabelPlacement) -> None:
    for order in orders:
        axes.plot(order.at, labels.put(order.at, order.at, order.name), "v", color=ORDER, markersize=7)


def _draw_violations(violations: Sequence[Violation], axes: "Axes", labels: LabelPlacement) -> None:
    for violation in violations:
        colour, shape = SEVERITY[violation.severity]
        level = labels.put(violation.at, violation.at, violation.rule)
        axes.plot(violation.at, level, shape, color=colour, markersize=8, markeredgecolor=INK, markeredgewidth=0.5)


def _end_of_mark(mark: MarkRecord) -> float:
    return mark.at if mark.answered is None else mark.answered


def _end_of_clip(clip: ClipRecord) -> float:
    return clip.at + (clip.seconds or 0.0) if clip.done is None else clip.done


def worth_a_line(violations: Sequence[Violation]) -> list[Violation]:
    """Return the violations that are drawn through all sound."""
    return [one for one in violations[:MAX_DRAWN] if one.severity is not Severity.INFO]
