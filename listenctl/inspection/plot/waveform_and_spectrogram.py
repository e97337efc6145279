"""Draw the waveform and the spectrogram of one channel."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from listenctl.inspection.plot.envelope_and_spectrum import Envelope
from listenctl.inspection.plot.plot_style import ABSENT, FAINT, FAINTEST, GRID, INK, SMALL, SPECTRUM_COLOURS, TINY
from listenctl.inspection.plot.plotted_call import AmplitudeRange, PlottedCall
from listenctl.media.measure_levels import FLOOR_DB, FULL_SCALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_FAINTEST_DB, _LOUDEST_DB = -95.0, -20.0
# Quiet audio is enlarged, but noise must not look like speech.
_MIN_SCALE = 0.05


@dataclass(frozen=True, slots=True)
class PlottedChannel:
    title: str
    colour: str
    envelope: Envelope
    amplitudes: AmplitudeRange
    pieces: tuple[tuple[float, int, int], ...]  # time, and first and last column of each piece of the spectrogram
    background: str  # colour of the spectrogram between pieces


def received_channel(
    plotted: PlottedCall, channel: int, title: str, colour: str, edges: NDArray[np.float64]
) -> PlottedChannel:
    envelope = plotted.received[channel]
    amplitudes = plotted.received_range(channel, edges)
    return PlottedChannel(title, colour, envelope, amplitudes, tuple(_pieces(plotted, envelope)), ABSENT)


def played_channel(
    plotted: PlottedCall, envelope: Envelope, title: str, colour: str, edges: NDArray[np.float64]
) -> PlottedChannel:
    spectrum = envelope.spectrum
    columns = int(envelope.samples / envelope.sample_rate / spectrum.column_seconds) if spectrum else 0
    return PlottedChannel(title, colour, envelope, plotted.played_range(edges), ((0.0, 0, columns),), FAINTEST)


def draw_waveform(axes: "Axes", channel: PlottedChannel, edges: NDArray[np.float64]) -> None:
    low, high = (values.astype(np.float32) / FULL_SCALE for values in channel.amplitudes[:2])
    peak = float(max(high.max(initial=0.0), -low.min(initial=0.0)))
    middle = (edges[:-1] + edges[1:]) / 2
    # At least a line, so that silence differs from a gap.
    axes.fill_between(
        middle, low, high, step="mid", where=channel.amplitudes.has_audio, color=channel.colour, linewidth=0.6
    )
    scale = max(peak, _MIN_SCALE) * 1.05
    axes.set_ylim(-scale, scale)
    axes.set_yticks([])
    axes.axhline(0, color=GRID, linewidth=0.6, zorder=0)
    decibels = max(FLOOR_DB, 20 * float(np.log10(max(peak, 1e-6))))
    label = "silence" if peak <= 8 / FULL_SCALE else f"peak {decibels:.1f} dBFS"
    axes.text(
        0.998, 0.95, label, transform=axes.transAxes, ha="right", va="top", fontsize=TINY, color=FAINT, zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
    )  # fmt: skip
    axes.set_ylabel(channel.title, fontsize=SMALL, color=INK, rotation=0, ha="right", va="center", labelpad=8)


def draw_spectrogram(axes: "Axes", channel: PlottedChannel) -> None:
    spectrum = channel.envelope.spectrum
    assert spectrum is not None
    decibels = spectrum.decibels()
    axes.set_facecolor(channel.background)
    axes.grid(visible=False)
    for at, first, last in channel.pieces:
        part = decibels[:, first:last]
        if part.shape[1]:
            ends = at + part.shape[1] * spectrum.column_seconds
            axes.imshow(
                part, extent=(at, ends, 0, spectrum.max_frequency / 1000), origin="lower", aspect="auto",
                cmap=SPECTRUM_COLOURS, vmin=_FAINTEST_DB, vmax=_LOUDEST_DB,
            )  # fmt: skip
    axes.set_ylim(0, spectrum.max_frequency / 1000)
    axes.set_ylabel("kHz", fontsize=TINY, color=FAINT, rotation=0, ha="right", va="center", labelpad=6)
    axes.tick_params(axis="y", labelsize=TINY, colors=FAINT)


def _pieces(plotted: PlottedCall, envelope: Envelope) -> Iterator[tuple[float, int, int]]:
    spectrum = envelope.spectrum
    if spectrum is None:
        return
    for span in plotted.times.spans():
        first = round(span.position / envelope.sample_rate / spectrum.column_seconds)
        last = round((span.position + span.length) / envelope.sample_rate / spectrum.column_seconds)
        yield span.at, first, last
