import struct
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpy.typing import NDArray

from listenctl.errors import ListenctlError, UsageError
from listenctl.inspection.plot.plot_figure import PlotWriter, draw_figure
from listenctl.inspection.plot.plot_style import drawable
from listenctl.inspection.plot.plotted_call import PlotObserver
from listenctl.inspection.settings import InspectionSettings
from tests.helpers.capture import CAPTURES
from tests.helpers.inspected import METADATA, MadeUp, capture_events, inspect, new_session

BLUE, GREEN = (0x00, 0x72, 0xB2), (0x00, 0x79, 0x5C)
LOUD = struct.pack("<hh", 16_000, -16_000) * 80


def plot(name: str, path: Path) -> Path:
    writer = PlotWriter(path)
    observer = PlotObserver(writer.plot_call, max_calls=10, with_spectrum=True)
    inspect(capture_events(name), InspectionSettings(detect_dtmf=True), [observer])
    [made] = writer.made
    return made


def pixels(path: Path) -> NDArray[np.uint8]:
    """Return (rows, columns, red green blue)."""
    image: NDArray[np.uint8] = np.rint(imread(path)[:, :, :3] * 255).astype(np.uint8)
    return image


def heights(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return the number of pixels of a colour in each column."""
    near = np.abs(image.astype(int) - np.array(colour)).max(axis=2) < 12
    counts: NDArray[np.int64] = near.sum(axis=0)
    return counts


def column(image: NDArray[np.uint8], at: float, seconds: float) -> int:
    """Return the column of a time, by the margins of the layout."""
    return round(float(image.shape[1]) * (0.085 + (0.99 - 0.085) * at / seconds))


@pytest.mark.parametrize("name", CAPTURES)
def test_every_real_call_can_be_plotted_without_a_window_or_backend(name: str, tmp_path: Path) -> None:
    backend = matplotlib.get_backend(auto_select=False)

    image = pixels(plot(name, tmp_path / "a.png"))

    assert image.shape[1] == 1600
    assert 300 < image.shape[0] < 1300
    assert heights(image, BLUE).max() > 50
    assert matplotlib.get_backend(auto_select=False) == backend


def test_what_the_phone_played_is_plotted_at_its_time(tmp_path: Path) -> None:
    image = pixels(plot("c2_bidir_stream8k_marks_nominus1", tmp_path / "c2.png"))
    played = heights(image, GREEN)

    def height(begin: float, end: float) -> int:
        return int(played[column(image, begin, 15.02) : column(image, end, 15.02)].max())

    # Utterances as recorded at the remote phone; the one from 8 s on was killed at 9 s.
    assert min(height(1.2, 1.6), height(2.3, 2.5), height(5.2, 5.6), height(8.05, 8.6), height(10.2, 10.6)) > 25
    assert max(height(0.1, 1.0), height(4.0, 4.9), height(7.3, 7.8), height(9.2, 9.8), height(11.4, 14.8)) < 8


def test_a_pause_differs_from_silence(tmp_path: Path) -> None:
    image = pixels(plot("f_pause_graceful", tmp_path / "f.png"))
    received, seconds = heights(image, BLUE), 12.51

    assert received[column(image, 0.5, seconds)] > 0
    assert received[column(image, 3.3, seconds) : column(image, 5.7, seconds)].max() == 0
    assert received[column(image, 9.3, seconds) : column(image, 12.3, seconds)].max() == 0


@pytest.mark.parametrize("extension", ["png", "svg", "pdf", "PNG"])
def test_the_extension_selects_the_format(extension: str, tmp_path: Path) -> None:
    path = plot("f_pause_graceful", tmp_path / f"a.{extension}")

    start = path.read_bytes()[:60]
    assert start.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[extension.lower()])
    assert [other.name for other in tmp_path.iterdir()] == [f"a.{extension}"]


def test_other_extensions_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"call\.pcap: unknown format; use the extension \.png, \.svg or \.pdf"):
        PlotWriter(tmp_path / "call.pcap")
    with pytest.raises(ListenctlError, match="can't be written: No such file or directory"):
        plot("f_pause_graceful", tmp_path / "none" / "a.png")


def test_each_call_has_its_own_private_file_up_to_a_limit(tmp_path: Path) -> None:
    writer = PlotWriter(tmp_path / "a.png")
    observer = PlotObserver(writer.plot_call, max_calls=3, with_spectrum=True)
    for number in range(1, 6):
        session = new_session(number=number)
        observer.on_session_opened(session)
        call = MadeUp(observers=[observer], session=session)
        call.listen(0.0, 0.0 if number == 3 else 1.0, frame=LOUD)
        call.close(1.0)

    assert [path.name for path in writer.made] == ["a.png", "a-2.png", "a-3.png"]
    assert {path.stat().st_mode & 0o777 for path in writer.made} == {0o600}
    assert observer.omitted == 2


@settings(max_examples=8, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_text_of_a_peer_is_never_a_formula(name: str, caller: str) -> None:
    figures: list[Figure] = []
    observer = PlotObserver(
        lambda plotted, report: figures.append(draw_figure(plotted, report)), max_calls=1, with_spectrum=True
    )
    session = new_session(source=f"$\\frac{{1}}{{0}}$ {name}")
    observer.on_session_opened(session)
    call = MadeUp(observers=[observer], session=session, metadata=METADATA | {"callSid": f"$x^{name}", "from": caller})
    call.mark(0.5, f"$\\sqrt{{{name}}}$")
    call.listen(0.0, 1.0)
    call.close(1.0)

    # Warnings are errors: a character without a glyph would be one, and an invalid formula.
    [figure] = figures
    figure.canvas.draw()


def test_characters_without_a_glyph_are_replaced_and_long_text_is_cut() -> None:
    assert drawable("a\x1b[2J\u202e\n\u4e2dé") == "a·[2J···é"
    assert drawable("x" * 100) == "x" * 40 + "…"


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(UsageError, match="--plot needs the package matplotlib: pip install matplotlib"):
        PlotWriter(tmp_path / "call.png")
