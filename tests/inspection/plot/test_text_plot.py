import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listenctl.inspection.call_report import CallReport
from listenctl.inspection.plot.plotted_call import PlotObserver, PlottedCall
from listenctl.inspection.plot.text_plot import TextPlotRow, TextPlotRowKind, draw_rows
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.listen_session import Sender
from tests.helpers.frames import BINARY
from tests.helpers.inspected import METADATA, MadeUp, new_session
from tests.helpers.playout import play, tone

LOUD = struct.pack("<hh", 16_000, -16_000) * 80


class DrawnCall(MadeUp):
    """A call that is drawn when it has ended."""

    def __init__(self, metadata: dict[str, object] | None = None, *, plan: InspectionSettings | None = None) -> None:
        self._ended: list[tuple[PlottedCall, CallReport]] = []
        observer = PlotObserver(lambda plotted, report: self._ended.append((plotted, report)), max_calls=1)
        session = new_session()
        observer.on_session_opened(session)
        super().__init__(
            plan or InspectionSettings(stream_rate=8000), [observer], session=session, metadata=metadata or METADATA
        )

    def drawn(self, at: float = 10.0, *, width: int = 100, braille: bool = True) -> list[TextPlotRow]:
        self.close(at)
        [(plotted, report)] = self._ended
        return draw_rows(plotted, report, width=width, braille=braille)


def both_ways() -> DrawnCall:
    call = DrawnCall()
    call.listen(0.0, 5.0)
    call.pace(5.0, 7.0, LOUD)
    call.mark(7.0, "end")
    call.reach(7.3, "end")
    call.say(7.5, {"type": "killAudio"})
    call.answer(7.6, '{"event":"dtmf","dtmf":"5","duration":"100"}')
    call.listen(8.0, 10.0, frame=LOUD)
    return call


@pytest.mark.parametrize("braille", [True, False])
@pytest.mark.parametrize("width", [1, 40, 80, 200])
def test_rows_fit_the_terminal_and_are_labelled(width: int, braille: bool) -> None:
    rows = both_ways().drawn(width=width, braille=braille)

    lines = [str(row) for row in rows]
    assert max(map(len, lines)) <= max(width, 32)
    assert all(line.isprintable() for line in lines)
    assert braille or "".join(lines).isascii()
    assert [row.kind for row in rows].count(TextPlotRowKind.JAMBONZ) == 4
    assert [row.kind for row in rows].count(TextPlotRowKind.APPLICATION) == 4
    labels = [row.label for row in rows if row.label]
    assert labels[0] == "keys"
    assert {"marks", "commands", "jambonz", "application"} <= set(labels)


def test_audio_is_drawn_at_its_time_and_gaps_are_empty() -> None:
    rows = both_ways().drawn(width=112, braille=False)

    jambonz = [row.text.ljust(100) for row in rows if row.kind is TextPlotRowKind.JAMBONZ]
    application = [row.text for row in rows if row.kind is TextPlotRowKind.APPLICATION]
    assert jambonz[0][:79].strip() == ""
    assert jambonz[0][82:99] == "#" * 17
    assert all(line[52:78].strip() == "" for line in jambonz)
    assert application[0].ljust(100)[55:68] == "#" * 13
    [keys] = [row.text for row in rows if row.label == "keys"]
    assert keys == " " * 75 + "5"


def test_a_stereo_call_has_two_channels_of_jambonz() -> None:
    call = DrawnCall(METADATA | {"mixType": "stereo"})
    call.listen(0.0, 9.0, frame=struct.pack("<hh", 9000, 0) * 160)

    rows = call.drawn()

    assert [row.label for row in rows if row.kind is TextPlotRowKind.JAMBONZ and row.label] == ["left", "right"]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 2.0), st.sampled_from(Sender), st.integers(0, 3000)),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 300),
)
def test_any_call_can_be_drawn(frames: list[tuple[float, Sender, int]], width: int) -> None:
    call = DrawnCall()
    at = 0.0
    for step, sender, size in frames:
        at += step
        call.frame(at, sender, BINARY, bytes([1]) * size)

    assert all(str(row).isprintable() for row in call.drawn(at + 1, width=width))


@pytest.mark.parametrize(("braille", "shapes"), [(True, "|□|■|"), (False, "|k|#|")])
def test_a_clip_looks_finished_only_if_it_was_played_to_its_end(braille: bool, shapes: str) -> None:
    call = DrawnCall(plan=InspectionSettings(stream_rate=0))
    for at, name in ((1.0, "killed"), (3.0, "done"), (6.0, "unanswered")):
        call.say(at, play(tone(8000), id=name))
        if name == "killed":
            call.say(1.5, {"type": "killAudio"})
        if name != "unanswered":
            call.answer(at + 1.1, f'{{"type":"playDone","data":{{"id":"{name}"}}}}')

    (clips,) = [row for row in call.drawn(braille=braille) if row.label == "clips"]

    assert "".join(clips.text.split()) == shapes
