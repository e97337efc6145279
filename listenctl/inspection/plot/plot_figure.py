"""Plot a call into an image file with matplotlib: waveform and spectrogram of each direction, below lanes of events."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from listenctl.errors import ListenctlError, UsageError
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.plot.event_lanes import draw_lanes, lanes_of, line_violations
from listenctl.inspection.plot.plot_style import (
    ABSENT,
    APPLICATION,
    FAINT,
    GRID,
    INK,
    JAMBONZ,
    SEVERITY,
    SMALL,
    TINY,
    drawable,
)
from listenctl.inspection.plot.plotted_call import PlottedCall
from listenctl.inspection.plot.waveform_and_spectrogram import (
    PlottedChannel,
    draw_spectrogram,
    draw_waveform,
    played_channel,
    received_channel,
)
from listenctl.json_lines import timestamp
from listenctl.protocol.gaps.gap import Gap, GapKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_EXTENSIONS = (".png", ".svg", ".pdf")

_DPI = 100
_WIDTH = 16.0
_COLUMNS = 1500
_TITLE, _FOOT = 0.75, 0.55
_WAVE, _SPECTRUM = 1.25, 1.15
_LEFT, _RIGHT = 0.085, 0.99
_MIN_SECONDS = 0.1
_GAPS = {GapKind.HOLE: "lost", GapKind.PAUSE: "paused", GapKind.UNCAPTURED: "not captured"}


class PlotWriter:
    """Plot each call to FILE.png, FILE-2.png and so on; raises UsageError if that fails at once."""

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in _EXTENSIONS:
            raise UsageError(f"{path}: unknown format; use the extension .png, .svg or .pdf")
        try:
            import matplotlib  # noqa: F401 - whether it is there
        except ImportError as exc:
            raise UsageError("--plot needs the package matplotlib: pip install matplotlib") from exc
        self._path = path
        self.made: list[Path] = []  # the files that are complete

    def plot_call(self, plotted: PlottedCall, report: CallReport) -> None:
        """Plot one call; raises ListenctlError if the file can't be written."""
        number = len(self.made) + 1
        path = self._path if number == 1 else self._path.with_stem(f"{self._path.stem}-{number}")
        part = path.with_name(f".{path.name}.part")
        try:
            # Private, because speech can be recognised from a spectrogram.
            with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                draw_figure(plotted, report).savefig(file, dpi=_DPI, format=path.suffix[1:].lower())
            part.replace(path)
        except OSError as exc:
            part.unlink(missing_ok=True)
            raise ListenctlError(f"{path}: can't be written: {exc.strerror or exc}; name another file") from exc
        self.made.append(path)


def draw_figure(plotted: PlottedCall, report: CallReport) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    begin = plotted.start_time()
    end = max(report.seconds, plotted.times.end, begin + _MIN_SECONDS)
    edges = np.linspace(begin, end, _COLUMNS + 1)
    lanes = lanes_of(report, plotted.commands)
    sides = list(_sides(plotted, edges))
    heights = [*([sum(lane.height for lane in lanes)] if lanes else []), *[_WAVE, _SPECTRUM] * len(sides)] or [_WAVE]
    total = sum(heights) + _TITLE + _FOOT
    figure = Figure(figsize=(_WIDTH, total), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    rows = figure.subplots(
        len(heights), 1, squeeze=False,
        gridspec_kw={
            "height_ratios": heights, "hspace": 0.08, "left": _LEFT, "right": _RIGHT,
            "top": 1 - _TITLE / total, "bottom": _FOOT / total,
        },
    )[:, 0]  # fmt: skip
    for axes in rows:
        _prepare(axes, begin, end)
    if lanes:
        draw_lanes(rows[0], lanes, width=_WIDTH)
    for number, side in enumerate(sides):
        wave, spectrum = rows[bool(lanes) + 2 * number : bool(lanes) + 2 * number + 2]
        draw_waveform(wave, side, edges)
        draw_spectrogram(spectrum, side)
        if side.colour == JAMBONZ:
            _draw_gaps(wave, plotted, report.gaps)
    for axes in rows[bool(lanes) :]:
        for violation in line_violations(report.violations):
            axes.axvline(violation.at, color=SEVERITY[violation.severity][0], linewidth=1, linestyle=":", alpha=0.9)
    _finish(figure, rows[-1], report, total)
    return figure


def _sides(plotted: PlottedCall, edges: NDArray[np.float64]) -> Iterator[PlottedChannel]:
    names = ("jambonz",) if len(plotted.received) == 1 else ("jambonz\nleft: says", "jambonz\nright: hears")
    for channel, name in enumerate(names[: len(plotted.received)]):
        yield received_channel(plotted, channel, name, JAMBONZ, edges)
    if plotted.played:
        yield played_channel(plotted, plotted.played, "application\nas heard", APPLICATION, edges)


def _prepare(axes: "Axes", begin: float, end: float) -> None:
    axes.set_xlim(begin, end)
    axes.tick_params(axis="x", labelbottom=False, length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(GRID)


def _draw_gaps(axes: "Axes", plotted: PlottedCall, gaps: Sequence[Gap]) -> None:
    rate = plotted.format.sample_rate
    for gap in gaps:
        if gap.kind not in _GAPS or gap.missing <= 0:
            continue
        ends = plotted.times.time_of(gap.position)
        begins = ends - gap.missing / rate
        axes.axvspan(begins, ends, facecolor=ABSENT, edgecolor=FAINT, hatch="//", linewidth=0)
        label = f"{_GAPS[gap.kind]} {gap.missing / rate:.1f} s"
        axes.text(
            (begins + ends) / 2, 0.9, label, transform=axes.get_xaxis_transform(), ha="center", va="top",
            fontsize=SMALL, color=INK, clip_on=True, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip


def _finish(figure: "Figure", lowest: "Axes", report: CallReport, height: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    lowest.tick_params(axis="x", labelbottom=True, length=3, labelsize=SMALL)
    lowest.xaxis.set_major_locator(MaxNLocator(nbins=16, steps=[1, 2, 3, 5, 6, 10]))
    lowest.xaxis.set_major_formatter(FuncFormatter(lambda at, _: _clock(at, report.seconds)))
    figure.text(
        _LEFT, 1 - 0.16 / height, drawable(report.call, 80), fontsize=13, weight="bold", va="top", parse_math=False
    )
    figure.text(_LEFT, 1 - 0.44 / height, _subtitle(report), fontsize=SMALL, color=FAINT, va="top", parse_math=False)
    legend = (
        "seconds since the handshake    marks: | sent, ● reached, ○ cleared, x not answered    "
        "clips: | sent, ■ playDone    rules: X error, ▲ warning, • info"
    )
    figure.text(_LEFT, 0.12 / height, legend, fontsize=TINY, color=FAINT, va="bottom")


def _subtitle(report: CallReport) -> str:
    metadata = report.metadata
    audio_format = report.audio_format
    mix = (metadata.mix_type if metadata else None) or f"{audio_format.channels} channels"
    words = [
        timestamp(report.session.began),
        f"{drawable(metadata.caller)} → {drawable(metadata.callee)}"
        if metadata and metadata.caller and metadata.callee
        else "",
        f"{report.seconds:.1f} s",
        f"{audio_format.sample_rate} Hz {mix}",
        "" if (share := report.completeness.share) is None else f"{share:.2%} complete",
        drawable(report.session.source, 60),
    ]
    return "   ".join(word for word in words if word)


def _clock(at: float, seconds: float) -> str:
    if seconds < 120:
        return f"{at:g}"
    minutes, rest = divmod(abs(at), 60)
    return f"{'-' if at < 0 else ''}{minutes:.0f}:{rest:02.0f}"
