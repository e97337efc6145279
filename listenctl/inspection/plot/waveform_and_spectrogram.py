"""The waveform and the spectrogram of one direction of a call."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from listenctl.inspection.plot.envelope_and_spectrum import Envelope
from listenctl.inspection.plot.plot_style import ABSENT, FAINT, FAINTEST, GRID, INK, SMALL, SPECTRUM_COLOURS, TINY
from listenctl.inspection.plot.plotted_call import AmplitudeRange, PlottedCall
from listenctl.media.measure_levels import FLOOR_DB, FULL_SCALE

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_FAINTEST_DB, _LOUDEST_DB = -95.0, -20.0
# A quiet sound is drawn larger, but noise isn't drawn as if it were speech.
_LEAST_SCALE = 0.05


@dataclass(frozen=True, slots=True)
class PlottedChannel:
    """
    One channel that is drawn.

    Attributes:
        pieces: of its spectrogram: time, and first and last column.
        elsewhere: colour of the spectrogram where there are none.
    """

    title: str
    colour: str
    envelope: Envelope
    swings: AmplitudeRange
    pieces: tuple[tuple[float, int, int], ...]
    elsewhere: str


def received_side(
    picture: PlottedCall, channel: int, title: str, colour: str, edges: "NDArray[np.float64]"
) -> PlottedChannel:
    """Return a channel of what jambonz sent."""
    envelope = picture.received[channel]
    swings = picture.received_between(channel, edges)
    return PlottedChannel(title, colour, envelope, swings, tuple(_pieces(picture, envelope)), ABSENT)


def heard_side(
    picture: PlottedCall, envelope: Envelope, title: str, colour: str, edges: "NDArray[np.float64]"
) -> PlottedChannel:
    """Return what the caller heard of the application."""
    spectrum = envelope.spectrum
    columns = int(envelope.samples / envelope.sample_rate / spectrum.column_seconds) if spectrum else 0
    return PlottedChannel(title, colour, envelope, picture.heard_between(edges), ((0.0, 0, columns),), FAINTEST)


def draw_waveform(axes: "Axes", side: PlottedChannel, edges: "NDArray[np.float64]") -> None:
    """Draw how far the sound swings."""
    import numpy as np

    low, high = (values.astype(np.float32) / FULL_SCALE for values in side.swings[:2])
    peak = float(max(high.max(initial=0.0), -low.min(initial=0.0)))
    middle = (edges[:-1] + edges[1:]) / 2
    # A line at least, so that silence is seen to be there.
    axes.fill_between(middle, low, high, step="mid", where=side.swings.there, color=side.colour, linewidth=0.6)
    scale = max(peak, _LEAST_SCALE) * 1.05
    axes.set_ylim(-scale, scale)
    axes.set_yticks([])
    axes.axhline(0, color=GRID, linewidth=0.6, zorder=0)
    decibels = max(FLOOR_DB, 20 * float(np.log10(max(peak, 1e-6))))
    said = "silence" if peak <= 8 / FULL_SCALE else f"peak {decibels:.1f} dBFS"
    axes.text(
        0.998, 0.95, said, transform=axes.transAxes, ha="right", va="top", fontsize=TINY, color=FAINT, zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
    )  # fmt: skip
    axes.set_ylabel(side.title, fontsize=SMALL, color=INK, rotation=0, ha="right", va="center", labelpad=8)


def draw_spectrogram(axes: "Axes", side: PlottedChannel) -> None:
    """Draw which frequencies there are."""
    spectrum = side.envelope.spectrum
    assert spectrum is not None
    decibels = spectrum.decibels()
    axes.set_facecolor(side.elsewhere)
    axes.grid(visible=False)
    for at, first, last in side.pieces:
        part = decibels[:, first:last]
        if part.shape[1]:
            ends = at + part.shape[1] * spectrum.column_seconds
            axes.imshow(
                part, extent=(at, ends, 0, spectrum.highest / 1000), origin="lower", aspect="auto",
                cmap=SPECTRUM_COLOURS, vmin=_FAINTEST_DB, vmax=_LOUDEST_DB,
            )  # fmt: skip
    axes.set_ylim(0, spectrum.highest / 1000)
    axes.set_ylabel("kHz", fontsize=TINY, color=FAINT, rotation=0, ha="right", va="center", labelpad=6)
    axes.tick_params(axis="y", labelsize=TINY, colors=FAINT)


def _pieces(picture: PlottedCall, envelope: Envelope) -> Iterator[tuple[float, int, int]]:
    spectrum = envelope.spectrum
    if spectrum is None:
        return
    for span in picture.places.spans():
        first = round(span.position / envelope.sample_rate / spectrum.column_seconds)
        last = round((span.position + span.length) / envelope.sample_rate / spectrum.column_seconds)
        yield span.at, first, last
