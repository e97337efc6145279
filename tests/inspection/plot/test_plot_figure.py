"""Calls as pictures."""

import struct
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from numpy.typing import NDArray

from listenctl.errors import ListenctlError, UsageError
from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.inspection.plot.plot_figure import PlotWriter, draw_call
from listenctl.inspection.plot.plot_style import drawable
from listenctl.inspection.plot.plotted_call import PlotObserver
from listenctl.inspection.settings import InspectionSettings
from tests.helpers.capture import CAPTURES
from tests.helpers.inspected import METADATA, MadeUp, capture_events, new_session

BLUE, GREEN = (0x00, 0x72, 0xB2), (0x00, 0x79, 0x5C)
LOUD = struct.pack("<hh", 16_000, -16_000) * 80


def plot(name: str, path: Path) -> Path:
    plotter = PlotWriter(path)
    taker = PlotObserver(plotter.draw, most=10, with_spectrum=True)
    inspector = CaptureInspector(InspectionSettings(detect_dtmf=True), [taker])
    for event in capture_events(name):
        inspector.feed_event(event)
    inspector.finish_calls()
    [made] = plotter.made
    return made


def pixels(path: Path) -> NDArray[np.uint8]:
    """Return (rows, columns, red green blue)."""
    picture: NDArray[np.uint8] = np.rint(imread(path)[:, :, :3] * 255).astype(np.uint8)
    return picture


def heights(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return how many pixels of a colour each column has."""
    near = np.abs(picture.astype(int) - np.array(colour)).max(axis=2) < 12
    counts: NDArray[np.int64] = near.sum(axis=0)
    return counts


def column(picture: NDArray[np.uint8], at: float, seconds: float) -> int:
    """Return the column of a time, by the margins of the layout."""
    return round(float(picture.shape[1]) * (0.085 + (0.99 - 0.085) * at / seconds))


@pytest.mark.parametrize("name", CAPTURES)
def test_every_real_call_can_be_plotted(name: str, tmp_path: Path) -> None:
    picture = pixels(plot(name, tmp_path / "a.png"))

    assert picture.shape[1] == 1600
    assert 300 < picture.shape[0] < 1300
    assert heights(picture, BLUE).max() > 50


def test_what_the_phone_heard_is_seen(tmp_path: Path) -> None:
    picture = pixels(plot("c2_bidir_stream8k_marks_nominus1", tmp_path / "c2.png"))
    heard = heights(picture, GREEN)

    def swing(begin: float, end: float) -> int:
        return int(heard[column(picture, begin, 15.02) : column(picture, end, 15.02)].max())

    # Utterances as recorded at the remote phone; the one from 8 s on was killed at 9 s.
    assert min(swing(1.2, 1.6), swing(2.3, 2.5), swing(5.2, 5.6), swing(8.05, 8.6), swing(10.2, 10.6)) > 25
    assert max(swing(0.1, 1.0), swing(4.0, 4.9), swing(7.3, 7.8), swing(9.2, 9.8), swing(11.4, 14.8)) < 8


def test_a_pause_is_no_silence(tmp_path: Path) -> None:
    picture = pixels(plot("f_pause_graceful", tmp_path / "f.png"))
    drawn = heights(picture, BLUE)
    seconds = 12.51

    assert drawn[column(picture, 0.5, seconds)] > 0
    assert drawn[column(picture, 3.3, seconds) : column(picture, 5.7, seconds)].max() == 0
    assert drawn[column(picture, 9.3, seconds) : column(picture, 12.3, seconds)].max() == 0


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "PNG"])
def test_the_name_says_the_format(kind: str, tmp_path: Path) -> None:
    path = plot("f_pause_graceful", tmp_path / f"a.{kind}")

    start = path.read_bytes()[:60]
    assert start.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind.lower()])
    assert [other.name for other in tmp_path.iterdir()] == [f"a.{kind}"]


def test_other_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"call\.pcap: can't be plotted to; end the name with one of \.png, \.svg, \.pdf"
    ):
        PlotWriter(tmp_path / "call.pcap")


def test_each_call_has_a_file_of_its_own(tmp_path: Path) -> None:
    plotter = PlotWriter(tmp_path / "a.png")
    taker = PlotObserver(plotter.draw, most=3, with_spectrum=True)
    for number in (1, 2, 3):
        session = new_session(number=number)
        taker.on_session_opened(session)
        call = MadeUp(observers=[taker], session=session)
        call.listen(0.0, 1.0, frame=LOUD)
        call.close(1.0)

    assert [path.name for path in plotter.made] == ["a.png", "a-2.png", "a-3.png"]
    assert {path.stat().st_mode & 0o777 for path in plotter.made} == {0o600}


def test_a_folder_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ListenctlError, match="can't be written: No such file or directory"):
        plot("f_pause_graceful", tmp_path / "none" / "a.png")


@settings(max_examples=8, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_text_of_a_peer_is_drawn_as_it_is_and_never_as_formulas(name: str, caller: str) -> None:
    pictures = []
    taker = PlotObserver(
        lambda picture, report: pictures.append(draw_call(picture, report)), most=1, with_spectrum=True
    )
    session = new_session(source=f"$\\frac{{1}}{{0}}$ {name}")
    taker.on_session_opened(session)
    call = MadeUp(observers=[taker], session=session, metadata=METADATA | {"callSid": f"$x^{name}", "from": caller})
    call.mark(0.5, f"$\\sqrt{{{name}}}$")
    call.listen(0.0, 1.0)
    call.close(1.0)

    # Warnings are errors: a character without a shape would be one, and a formula that can't be read.
    [figure] = pictures
    figure.canvas.draw()


def test_what_cant_be_drawn_is_replaced_and_what_is_long_is_cut() -> None:
    assert drawable("a\x1b[2J\u202e\n\u4e2dé") == "a·[2J···é"
    assert drawable("x" * 100) == "x" * 40 + "…"


def test_no_window_is_opened_and_no_backend_chosen(tmp_path: Path) -> None:
    before = matplotlib.get_backend(auto_select=False)

    plot("f_pause_graceful", tmp_path / "a.png")

    assert matplotlib.get_backend(auto_select=False) == before


def test_an_empty_call_is_a_picture_too(tmp_path: Path) -> None:
    plotter = PlotWriter(tmp_path / "a.png")
    taker = PlotObserver(plotter.draw, most=1, with_spectrum=True)
    session = new_session()
    taker.on_session_opened(session)
    call = MadeUp(observers=[taker], session=session)
    call.close(0.01)

    assert plotter.made == [tmp_path / "a.png"]
