"""Results of replayed calls as text."""

from dataclasses import replace

from listenctl.commands.replay.view import MAX_LINES, application_lines, result_lines, totals_line
from listenctl.net.client_connection import ConnectionEnd
from listenctl.replay.compare_answers import AnswerComparison
from listenctl.replay.compare_texts import AnswerDifference
from listenctl.replay.replay_results import ApplicationResult, ReplayResult, ReplayTotals
from listenctl.terminal.printable_text import TextStyle

PLAIN = TextStyle(color=False)
PLAYED = ReplayResult(
    call=2, copy=1, round=1, frames=750, seconds=15.02, lateness=0.0042, end=ConnectionEnd("jambonz", 1000)
)


def test_successful_call_is_one_line() -> None:
    lines = list(result_lines(PLAYED, PLAIN))

    assert lines == ["call 2: played 750 frames in 15.0 s, at most 4.2 ms late; hung up with 1000"]


def test_copy_and_round_are_named() -> None:
    (line,) = result_lines(replace(PLAYED, copy=3, round=2, lateness=None), PLAIN)

    assert line == "call 2 (copy 3, round 2): played 750 frames in 15.0 s; hung up with 1000"


def test_faults_are_listed() -> None:
    result = replace(
        PLAYED, end=ConnectionEnd("server", 1011, "\x1b[2J"), error="closed with 1011 \x1b[2J", unplayed=7, early=1.26,
        cut_short=True, lost=2, notes=["a note"],
    )  # fmt: skip

    assert list(result_lines(result, PLAIN))[1:] == [
        "  closed with 1011 \ufffd[2J",
        "  ended 1.3 s early: 7 frames not played",
        "  the capture lacks frames of jambonz, at 2 places",
        "  a note",
    ]


def test_first_differences_are_listed() -> None:
    differences = tuple(AnswerDifference("missing", "mark", f"\x07{number}", number) for number in range(30))
    compared = AnswerComparison((40, 10), (0, 0), differences, 30)

    _, head, first, *others, last = result_lines(replace(PLAYED, comparison=compared), PLAIN)

    assert head == "  30 differences to the answers in the capture: 10 of 40 texts, 0 B of 0 B of audio"
    assert first == "  missing    0:00.0  mark: \ufffd0"
    assert len(others) == MAX_LINES - 1
    assert last == "  and 10 more, in the output of --json"


def test_equal_answers() -> None:
    compared = AnswerComparison((4, 4), (1000, 1000), (), 0)

    assert list(result_lines(replace(PLAYED, comparison=compared), PLAIN))[1:] == [
        "  answered as in the capture: 4 of 4 texts, 1.0 kB of 1.0 kB of audio"
    ]


def test_call_of_a_client() -> None:
    result = ApplicationResult(
        call=1,
        caller=3,
        seconds=2.5,
        frames=8,
        received_texts=7,
        received_audio_bytes=195_500,
        closed=None,
        unsent=2,
        missed_texts=1,
        lost=1,
    )

    assert list(application_lines(result, PLAIN)) == [
        "caller 3, call 1: sent 8 frames in 2.5 s; received 7 texts and 195.5 kB of audio; no Close",
        "  the call ended early: 2 frames not sent",
        "  1 text of jambonz in the capture never arrived",
        "  the capture lacks frames of the application, at 1 place",
    ]


def test_totals() -> None:
    assert totals_line(ReplayTotals(5, 5, 4), PLAIN) == "5 calls replayed, 4 successfully"
