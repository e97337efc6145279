"""The calls of a capture as a table."""

import csv
from io import StringIO

import pytest

from listenctl.commands.inspect.inspected_calls_table import csv_lines, inspected_calls_table
from listenctl.inspection.call_report import CallReport
from listenctl.terminal.printable_text import TextStyle
from tests.helpers.inspected import MadeUp, capture_events, inspect

PLAIN = TextStyle(color=False, unicode=True)


def real(name: str) -> CallReport:
    (report,) = inspect(capture_events(name))
    return report


@pytest.fixture(scope="module")
def reports() -> list[CallReport]:
    return [real("c2_bidir_stream8k_marks_nominus1"), real("e_playaudio_featureserver")]


def test_each_call_has_a_row(reports: list[CallReport]) -> None:
    heading, *rows = inspected_calls_table([*reports, real("b_stereo16k_bridge")], PLAIN, None)
    assert heading.split()[:4] == ["CALL", "FROM", "TO", "BEGAN"]
    assert rows[0].split()[-3:] == ["3", "warnings:", "stream-tail-held"]
    assert "6 clips" in rows[1]
    assert "16k stereo" in rows[2]
    assert all("yes" in row.split() for row in rows)


@pytest.mark.parametrize("columns", [60, 70, 80, 100, 120])
def test_end_and_problems_are_shown_at_any_width(columns: int, reports: list[CallReport]) -> None:
    heading, first, second = inspected_calls_table(reports, PLAIN, columns)
    assert max(map(len, (heading, first, second))) <= columns
    assert heading.split()[-2:] == ["END", "PROBLEMS"]
    assert first.startswith("12a72abe  ") or columns == 120
    assert "jambonz 1000  3 warnings: " in first
    assert second.endswith("jambonz 1000  -")


def test_phone_numbers_are_shortened_to_their_ends(reports: list[CallReport]) -> None:
    assert "  …30001  …70002  " in inspected_calls_table(reports, PLAIN, 120)[1]
    assert "  ~30001  ~70002  " in inspected_calls_table(reports, TextStyle(color=False, unicode=False), 120)[1]


def test_csv_has_a_row_per_call(reports: list[CallReport]) -> None:
    rows = list(csv.DictReader(StringIO(csv_lines(reports, heading=True))))
    assert [row["call"] for row in rows] == [report.call for report in reports]
    assert [(row["warnings"], row["dtmf"]) for row in rows] == [("3", ""), ("0", "5")]


def test_control_characters_cant_break_rows() -> None:
    made = MadeUp(metadata={"sampleRate": 8000, "mixType": "mono", "callSid": "A\nB", "from": '"\x1b[2J\r\n', "to": ""})
    report = made.close(1.0)

    assert len(inspected_calls_table([report], PLAIN, None)) == 2
    assert csv_lines([report], heading=False).count("\n") == 1
    assert "\x1b" not in csv_lines([report], heading=False)
