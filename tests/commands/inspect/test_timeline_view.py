"""The timeline of a call: list, ladder and JSON lines."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from listenctl.capture.capture_events import CapturedFrame, CaptureEvent
from listenctl.commands.inspect.inspect_results import TimelineForm
from listenctl.commands.inspect.timeline_items import ItemKind, TimelineItem, TimelineObserver, shorten_blobs
from listenctl.commands.inspect.timeline_view import (
    TimelinePrinter,
    item_report,
    ladder_head,
    ladder_line,
    timeline_line,
)
from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.terminal.printable_text import TextStyle, cell_width
from tests.helpers.frames import BINARY, PING, TEXT
from tests.helpers.inspected import APPLICATION, BEGAN, JAMBONZ, MadeUp, capture_events, new_session

PLAIN = TextStyle(color=False, unicode=True)
ASCII = TextStyle(color=False, unicode=False)


def items_of(events: Iterable[CaptureEvent]) -> list[TimelineItem]:
    items: list[TimelineItem] = []
    observer = TimelineObserver(lambda _, item: items.append(item))
    inspector = CaptureInspector(None, [observer])
    for event in events:
        observer.add_event(event)
        inspector.feed_event(event)
    inspector.finish_calls()
    return items


def printed(
    name: str, form: TimelineForm, *, columns: int | None = None, live: bool = False, style: TextStyle = PLAIN
) -> list[str]:
    lines: list[str] = []
    printer = TimelinePrinter(lines.append, form, style, columns=columns, live=live)
    observer = TimelineObserver(printer.add_item)
    inspector = CaptureInspector(None, [observer, printer])
    for event in capture_events(name):
        observer.add_event(event)
        inspector.feed_event(event)
    inspector.finish_calls()
    return lines


class ObservedCall(MadeUp):
    """A made-up call that collects its timeline items."""

    def __init__(self) -> None:
        self.items: list[TimelineItem] = []
        self._observer = TimelineObserver(lambda _, item: self.items.append(item))
        super().__init__(observers=[self._observer], session=new_session())

    def frame(self, at: float, sender: Sender, opcode: int, payload: bytes, **how: Any) -> None:
        frame = RawFrame(how.get("fin", True), 0, opcode, sender is JAMBONZ, payload)
        self._observer.add_event(CapturedFrame(BEGAN + at, self.session, sender, frame, 7))
        super().frame(at, sender, opcode, payload, **how)


def test_texts_of_a_real_call_are_unchanged() -> None:
    items = items_of(capture_events("c2_bidir_stream8k_marks_nominus1"))

    texts = [item for item in items if item.kind is ItemKind.TEXT]
    assert len(texts) == 1 + 17 + 14
    assert texts[1].text == '{"type": "mark", "data": {"name": "greet-start"}}'
    assert texts[2].text == '{"type": "mark", "data": {"name":"greet-start", "event": "playout"}}'
    assert texts[2].round_trip == pytest.approx(0.017, abs=0.001)


def test_audio_is_joined_into_runs() -> None:
    items = items_of(capture_events("c2_bidir_stream8k_marks_nominus1"))

    runs = [item for item in items if item.kind is ItemKind.AUDIO]
    assert sum(run.size for run in runs if run.sender is JAMBONZ) == 240_000
    assert sum(run.size for run in runs if run.sender is APPLICATION) == 144_000
    assert sum(run.seconds or 0 for run in runs) == pytest.approx(15.0)
    assert len(runs) < 60


def test_long_run_is_split_each_minute() -> None:
    made = ObservedCall()
    made.listen(0.0, 130.0)
    made.close(130.1)

    runs = [item for item in made.items if item.kind is ItemKind.AUDIO]
    assert [round(run.seconds or 0) for run in runs] == [60, 60, 10]


def test_fragmented_text_is_one_item() -> None:
    made = ObservedCall()
    made.frame(0.1, APPLICATION, TEXT, b'{"type":"kil', fin=False)
    made.frame(0.2, APPLICATION, PING, b"x")
    made.frame(0.3, APPLICATION, 0, b'lAudio"}')
    made.close(1.0)

    texts = [(round(item.at, 3), item.text, item.size) for item in made.items if item.kind is ItemKind.TEXT]
    assert texts[1:] == [(0.3, '{"type":"killAudio"}', 20)]


def test_problem_follows_its_cause() -> None:
    lines = printed("c2_bidir_stream8k_marks_nominus1", TimelineForm.TIMELINE)

    place = next(index for index, one in enumerate(lines) if "stream-tail-held" in one)
    assert lines[place].split()[:2] == ["0:05.020", "!"]
    assert "burst-end" in lines[place - 1]


def test_live_items_are_printed_with_their_session() -> None:
    lines = printed("f_pause_graceful", TimelineForm.TIMELINE, live=True)

    assert all(one.startswith("#1 ") for one in lines)
    assert lines[-1].endswith("close 1000")


def test_ladder_lines_have_one_width_and_one_arrow() -> None:
    head, names, *lines = printed("e_playaudio_featureserver", TimelineForm.LADDER, columns=80)

    assert head.startswith("4ac39924")
    assert names.split() == ["jambonz", "application"]
    assert cell_width(names) == 80 - 1
    assert {cell_width(one) for one in lines} == {80 - 1}
    assert all(("▶" in one) != ("◀" in one) for one in lines)


def test_a_ladder_in_a_pipe_has_80_columns_and_cuts_nothing() -> None:
    _, names, *lines = printed("e_playaudio_featureserver", TimelineForm.LADDER)
    _, *listed = printed("e_playaudio_featureserver", TimelineForm.TIMELINE)
    _, _, *narrow = printed("e_playaudio_featureserver", TimelineForm.LADDER, columns=80)

    assert names == ladder_head(PLAIN, 80)
    assert max(map(cell_width, lines)) > 80
    assert ["…" in line for line in lines] == ["…" in line for line in listed]
    whole = [(line, cut) for line, cut in zip(lines, narrow, strict=True) if "…" not in cut]
    assert whole
    assert all(line == cut for line, cut in whole)


@pytest.mark.parametrize("columns", [20, 40, 60, 200])
def test_ladder_fits_the_terminal_width(columns: int) -> None:
    item = TimelineItem(1.0, JAMBONZ, ItemKind.TEXT, "x" * 500)

    assert cell_width(ladder_line(item, PLAIN, columns)) <= max(columns, 33)
    assert cell_width(ladder_head(PLAIN, columns)) <= max(columns, 33)


def test_ascii_style_prints_only_ascii() -> None:
    for form in (TimelineForm.TIMELINE, TimelineForm.LADDER):
        assert "".join(printed("c2_bidir_stream8k_marks_nominus1", form, columns=80, style=ASCII)[1:]).isascii()


def test_json_lines() -> None:
    lines = [json.loads(one) for one in printed("c2_bidir_stream8k_marks_nominus1", TimelineForm.JSON)]

    assert [one["time"] for one in lines] == sorted(one["time"] for one in lines)
    (problem, *_) = [one for one in lines if one["kind"] == "problem"]
    assert (problem["rule"], problem["severity"], problem["culprit"]) == ("stream-tail-held", "warning", "application")
    assert lines[0]["kind"] == "request"
    assert {one["number"] for one in lines} == {1}


def test_control_characters_from_peers_are_removed() -> None:
    item = TimelineItem(0.0, JAMBONZ, ItemKind.TEXT, '{"a":"\x1b[2J\r\n\u202e"}')

    for line in (timeline_line(item, PLAIN, None), ladder_line(item, PLAIN, 80)):
        assert not set(line) & {"\x1b", "\r", "\n", "\u202e"}
    assert "\x1b" not in json.dumps(item_report(new_session(), item))


def test_base64_is_shortened() -> None:
    assert (
        shorten_blobs(f'{{"audioContent":"{"A" * 4000}","id":"x"}}')
        == '{"audioContent":"AAAA…(4000 characters)","id":"x"}'
    )


def test_text_of_megabytes_is_bounded() -> None:
    made = ObservedCall()
    made.frame(0.1, APPLICATION, TEXT, b'{"type":"x","a":"' + b"b c" * 1_000_000, fin=False)
    made.frame(0.2, APPLICATION, 0, b"b c" * 1_000_000)
    made.close(1.0)

    text = [item for item in made.items if item.kind is ItemKind.TEXT][-1]
    assert len(text.text) == 1000
    assert text.size == 6_000_017


def test_long_call_is_printed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.commands.inspect.timeline_view.MAX_HELD", 10)
    lines = printed("c2_bidir_stream8k_marks_nominus1", TimelineForm.TIMELINE)

    assert lines[0] == "session 1 (long)"
    assert len(lines) == 1 + len(items_of(capture_events("c2_bidir_stream8k_marks_nominus1")))


def test_pings_closes_and_capture_gaps_are_items() -> None:
    made = ObservedCall()
    made.frame(0.1, APPLICATION, PING, b"hi")
    made.lose(0.2, JAMBONZ, 100)
    made.frame(0.3, JAMBONZ, BINARY, b"")
    made.close(0.4, data=b"\x03\xe9bye")

    lines = [
        timeline_line(item, PLAIN, None).split(maxsplit=1)[1]
        for item in made.items
        if item.kind is not ItemKind.PROBLEM
    ]
    assert lines[1:] == [
        "application ← ping hi",
        "jambonz     → lost not captured",
        "jambonz     → an empty binary message",
        "jambonz     → close 1001 bye",
        "application ← close 1001 bye",
    ]
