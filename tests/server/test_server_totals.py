"""What a server says of all its calls when it ends."""

import pytest

from listenctl.events import CallEndedEvent, EventFields, ExecEndedEvent, RecordingSavedEvent
from listenctl.server.server_totals import ServerTotals

Counted = tuple[EventFields, str]


def ended(call: str, *, lost: int = 0, seconds: float = 10.0) -> Counted:
    event = CallEndedEvent(
        caller=None,
        callee=None,
        direction=None,
        duration=seconds,
        seconds=seconds,
        close_code=1000,
        close_reason="",
        closed_by="jambonz",
        warnings=0,
        received_samples=round(8000 * seconds),
        lost_samples=lost,
        paused_samples=0,
        unrecorded_samples=0,
        completeness=1.0,
        complete=not lost,
        clock_drift_ppm=None,
    )
    return event, call


def saved(call: str, *, lost: int = 0, unrecorded: int = 0) -> Counted:
    event = RecordingSavedEvent(
        path=f"{call}.wav",
        paths=[f"{call}.wav"],
        sidecar=f"{call}.json",
        format="wav",
        samples=80_000,
        seconds=10.0,
        bytes=160_080,
        lost_samples=lost,
        unrecorded_samples=unrecorded,
        complete=not lost and not unrecorded,
        warnings=[],
    )
    return event, call


def total(*counted: Counted, recording: bool = True) -> tuple[int, int, float, float]:
    totals = ServerTotals(recording=recording)
    for event, call in counted:
        totals.take_event(event, call)
    described = totals.describe()
    return described.calls, described.complete_calls, described.lost_seconds, described.unrecorded_seconds


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
    assert total(ended("a", seconds=0.0), saved("a")) == (1, 1, 0.0, 0.0)


def test_without_calls_there_is_nothing() -> None:
    assert total() == (0, 0, 0.0, 0.0)


@pytest.mark.parametrize(("dropped", "seconds", "lost"), [(0, 0.0, False), (1, 0.0, True), (12_000, 1.5, True)])
def test_what_a_program_did_not_read_is_lost_though_the_call_is_complete(
    dropped: int, seconds: float, lost: bool
) -> None:
    totals = ServerTotals(recording=True)
    exec_ended = ExecEndedEvent(
        pid=1,
        status=0,
        signal=None,
        seconds=10.0,
        spoken_seconds=0.0,
        dropped_samples=dropped,
        dropped_seconds=seconds,
        dropped_lines=0,
    )
    for event, call in (ended("a"), saved("a"), (exec_ended, "a")):
        totals.take_event(event, call)

    assert (totals.describe().complete_calls, totals.describe().unread_seconds) == (1, seconds)
    assert totals.programs_lost_audio == lost
