"""Sound as it is drawn: the same however long a call is, and however it comes."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listenctl.inspection.call_report import CallReport
from listenctl.inspection.plot.envelope_and_spectrum import COLUMNS, SPECTRA, Envelope
from listenctl.inspection.plot.plotted_call import PlotObserver, PlottedCall
from listenctl.inspection.plot.text_plot import TextPlotRow, TextPlotRowKind, draw_rows
from listenctl.inspection.settings import InspectionSettings
from listenctl.media.sources.tones import SineTone
from tests.helpers.frames import BINARY
from tests.helpers.inspected import APPLICATION, JAMBONZ, METADATA, MadeUp, new_session

LOUD = struct.pack("<hh", 16_000, -16_000) * 80
STREAM = InspectionSettings(stream_rate=8000)


def envelope(samples: "np.ndarray[tuple[int], np.dtype[np.int16]]", cuts: list[int]) -> Envelope:
    made = Envelope(8000)
    data = samples.tobytes()
    for begin, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        made.add(data[begin * 2 : end * 2])
    return made


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300_000), st.lists(st.integers(0, 300_000), max_size=20), st.integers(0, 1000))
def test_an_envelope_is_that_of_the_samples_however_they_come(count: int, cuts: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-3000, 3000, count, np.int16)

    seconds, low, high = envelope(samples, sorted(min(cut, count) for cut in cuts)).columns()

    column = round(seconds * 8000)
    assert len(low) == -(-count // column) <= COLUMNS
    for number in {0, len(low) // 2, len(low) - 1}:
        part = samples[number * column : (number + 1) * column]
        assert (low[number], high[number]) == (part.min(), part.max())


def test_an_hour_takes_no_more_columns_than_a_minute() -> None:
    made = Envelope(8000, with_spectrum=True)
    made.skip(8000 * 1800)
    made.add(SineTone(1000, 8000, -6).samples(0, 8000))
    made.skip(8000 * 1799)

    seconds, low, _ = made.columns()
    assert made.spectrum is not None
    decibels = made.spectrum.decibels()

    assert COLUMNS // 2 <= len(low) <= COLUMNS
    assert decibels.shape[1] < SPECTRA
    assert seconds * len(low) == pytest.approx(3600, rel=0.01)
    loudest = np.unravel_index(decibels.argmax(), decibels.shape)
    assert loudest[0] * made.spectrum.highest / (decibels.shape[0] - 1) == pytest.approx(1000, abs=20)
    assert loudest[1] * made.spectrum.column_seconds == pytest.approx(1800, abs=5)


def test_a_tone_at_full_scale_is_0_db() -> None:
    made = Envelope(8000, with_spectrum=True)
    made.add(SineTone(1000, 8000, 0).samples(0, 16_000))

    made.columns()

    assert made.spectrum is not None
    assert made.spectrum.decibels().max() == pytest.approx(0, abs=0.5)


def test_nothing_swings_outside_of_the_sound() -> None:
    made = envelope(np.full(8000, 500, np.int16), [])

    low, high = made.between(np.array([-2.0, -1.0, 0.5, 0.9, 1.5, 2.0]))

    assert high.tolist() == [0, 500, 500, 500, 0]
    assert low.tolist() == [0, 500, 500, 500, 0]


def drawn(
    call: MadeUp, taker: PlotObserver, ended: list[tuple[PlottedCall, CallReport]], **how: int | bool
) -> list[TextPlotRow]:
    call.close(10.0)
    [(picture, report)] = ended
    rows = draw_rows(picture, report, width=int(how.get("width", 100)), braille=bool(how.get("braille", True)))
    assert taker.left_out == 0
    return rows


def made_up(
    metadata: dict[str, object] | None = None,
) -> tuple[MadeUp, PlotObserver, list[tuple[PlottedCall, CallReport]]]:
    ended: list[tuple[PlottedCall, CallReport]] = []
    taker = PlotObserver(lambda picture, report: ended.append((picture, report)), most=1)
    session = new_session()
    taker.on_session_opened(session)
    return MadeUp(STREAM, [taker], session=session, metadata=metadata or METADATA), taker, ended


def both_ways(call: MadeUp) -> None:
    call.listen(0.0, 5.0)
    call.pace(5.0, 7.0, LOUD)
    call.mark(7.0, "end")
    call.reach(7.3, "end")
    call.say(7.5, {"type": "killAudio"})
    call.answer(7.6, '{"event":"dtmf","dtmf":"5","duration":"100"}')
    call.listen(8.0, 10.0, frame=LOUD)


@pytest.mark.parametrize("braille", [True, False])
@pytest.mark.parametrize("width", [1, 40, 80, 200])
def test_rows_fit_the_terminal_and_have_their_places(width: int, braille: bool) -> None:
    call, taker, ended = made_up()
    both_ways(call)

    rows = drawn(call, taker, ended, width=width, braille=braille)

    lines = [str(row) for row in rows]
    assert max(map(len, lines)) <= max(width, 32)
    assert all(line.isprintable() for line in lines)
    assert braille or "".join(lines).isascii()
    assert [row.kind for row in rows].count(TextPlotRowKind.JAMBONZ) == 4
    assert [row.kind for row in rows].count(TextPlotRowKind.APPLICATION) == 4
    labels = [row.label for row in rows if row.label]
    assert labels[0] == "keys"
    assert {"marks", "orders", "jambonz", "application"} <= set(labels)


def test_sound_stands_where_it_was_and_gaps_are_empty() -> None:
    call, taker, ended = made_up()
    both_ways(call)

    rows = drawn(call, taker, ended, width=112, braille=False)

    jambonz = [row.text for row in rows if row.kind is TextPlotRowKind.JAMBONZ]
    application = [row.text for row in rows if row.kind is TextPlotRowKind.APPLICATION]
    top = jambonz[0].ljust(100)
    assert top[:79].strip() == ""
    assert top[82:99] == "#" * 17
    assert all(line.ljust(100)[52:78].strip() == "" for line in jambonz)
    assert application[0].ljust(100)[55:68] == "#" * 13
    [keys] = [row.text for row in rows if row.label == "keys"]
    assert keys == " " * 75 + "5"


def test_a_stereo_call_has_two_rows_of_jambonz() -> None:
    call, taker, ended = made_up(METADATA | {"mixType": "stereo"})
    call.listen(0.0, 9.0, frame=struct.pack("<hh", 9000, 0) * 160)

    rows = drawn(call, taker, ended)

    assert [row.label for row in rows if row.kind is TextPlotRowKind.JAMBONZ and row.label] == ["left", "right"]


def test_only_so_many_calls_are_drawn() -> None:
    ended: list[CallReport] = []
    taker = PlotObserver(lambda _, report: ended.append(report), most=2)
    for number in range(1, 5):
        session = new_session(number=number)
        taker.on_session_opened(session)
        call = MadeUp(STREAM, [taker], session=session)
        call.frame(1.0, JAMBONZ, BINARY, LOUD)
        call.close(2.0)

    assert len(ended) == 2
    assert taker.left_out == 2


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 2.0), st.sampled_from([JAMBONZ, APPLICATION]), st.integers(0, 3000)),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 300),
)
def test_any_call_can_be_drawn(frames: list[tuple[float, object, int]], width: int) -> None:
    call, _, ended = made_up()
    at = 0.0
    for step, sender, size in frames:
        at += step
        call.frame(at, JAMBONZ if sender is JAMBONZ else APPLICATION, BINARY, bytes([1]) * size)
    call.close(at + 1)

    [(picture, report)] = ended
    assert all(str(row).isprintable() for row in draw_rows(picture, report, width=width))
