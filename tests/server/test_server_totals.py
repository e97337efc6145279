"""What a server says of all its calls when it ends."""

import pytest

from listenctl.json_lines import ReportedEvent
from listenctl.server.server_totals import ServerTotals


def ended(call: str, *, lost: int = 0) -> ReportedEvent:
    return {
        "event": "call-ended",
        "call": call,
        "seconds": 10.0,
        "received_samples": 80_000,
        "lost_samples": lost,
        "complete": not lost,
    }


def saved(call: str, *, lost: int = 0, unrecorded: int = 0) -> ReportedEvent:
    return {
        "event": "recording-saved",
        "call": call,
        "lost_samples": lost,
        "unrecorded_samples": unrecorded,
        "complete": not lost and not unrecorded,
    }


def total(*reports: ReportedEvent, recording: bool = True) -> tuple[int, int, float, float]:
    totals = ServerTotals(recording=recording)
    for report in reports:
        totals.take_event(report)
    event = totals.describe()
    return event.calls, event.complete_calls, event.lost_seconds, event.unrecorded_seconds


def test_calls_are_counted_with_what_jambonz_lost() -> None:
    assert total(ended("a"), ended("b", lost=4000), recording=False) == (2, 1, 0.5, 0.0)


def test_a_recorded_call_is_complete_only_when_all_of_it_is_saved() -> None:
    reports = (
        *(ended("whole"), saved("whole")),
        *(ended("lossy", lost=4000), saved("lossy", lost=4000)),
        *(ended("full disk"), saved("full disk", unrecorded=80_000)),
        ended("never saved"),
    )

    assert total(*reports) == (4, 1, 0.5, 10.0)


def test_a_call_without_audio_is_complete() -> None:
    silent = ended("a") | {"seconds": 0.0, "received_samples": 0}

    assert total(silent, saved("a")) == (1, 1, 0.0, 0.0)


def test_without_calls_there_is_nothing() -> None:
    assert total() == (0, 0, 0.0, 0.0)


@pytest.mark.parametrize(("dropped", "seconds", "lost"), [(0, 0.0, False), (1, 0.0, True), (12_000, 1.5, True)])
def test_what_a_program_did_not_read_is_lost_though_the_call_is_complete(
    dropped: int, seconds: float, lost: bool
) -> None:
    totals = ServerTotals(recording=True)
    ending = {"event": "exec-ended", "call": "a", "dropped_samples": dropped, "dropped_seconds": seconds}
    for report in (ended("a"), saved("a"), ending):
        totals.take_event(report)

    assert (totals.describe().complete_calls, totals.describe().unread_seconds) == (1, seconds)
    assert totals.programs_lost_audio == lost
