"""What is missing in a capture is held against nobody."""

import pytest

from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.inspection.call_report import CallReport
from listenctl.protocol.listen_session import Sender
from tests.helpers.inspected import APPLICATION, JAMBONZ, MadeUp, new_session, rules_in

SOUND = b"\x00\x10" * 160
ODD_SOUND = b"\x00\x10" * 100
WIRE_FRAME = 328


def tailed(*, missing: bool) -> CallReport:
    """Return the report of a stream of two utterances, each of which ends within what jambonz plays at once."""
    call = MadeUp()
    call.listen(0.0, 1.0)
    call.pace(1.0, 1.5, SOUND)
    call.stream(1.5, ODD_SOUND)
    if missing:
        call.lose(1.6, APPLICATION, 324)
    call.listen(1.6, 4.0)
    call.pace(4.0, 4.5, SOUND)
    call.stream(4.5, ODD_SOUND)
    call.listen(4.5, 6.0)
    return call.close(6.01)


def test_a_stream_with_a_hole_is_not_held_against_the_application() -> None:
    assert "stream-tail-held" in rules_in(tailed(missing=False))
    assert not {"stream-tail-held", "stream-underrun", "stream-cut-off"} & set(rules_in(tailed(missing=True)))


@pytest.mark.parametrize("how", [StreamEnding.CAPTURE, StreamEnding.FIN])
def test_what_the_end_of_the_capture_cuts_off_is_not_looked_for(how: StreamEnding) -> None:
    call = MadeUp()
    call.listen(0.0, 1.0)
    call.pace(1.0, 1.5, SOUND)
    call.stream(1.5, ODD_SOUND)
    call.listen(1.5, 4.0)

    report = call.end(4.01, how=how)

    assert ("stream-tail-held" in rules_in(report)) is (how is StreamEnding.FIN)


@pytest.mark.parametrize("size", [WIRE_FRAME, None], ids=["known", "unknown"])
@pytest.mark.parametrize("frames", [1, 3, 100])
def test_audio_that_was_not_captured_is_counted_however_short(frames: int, size: int | None) -> None:
    call = MadeUp()
    call.listen(0.0, 4.0)
    call.lose(4.01, JAMBONZ, size and size * frames)
    call.listen(4.0 + 0.02 * frames, 12.0)

    report = call.close(12.01).to_json()

    assert report["uncaptured_samples"] == 160 * frames
    assert (report["complete"], report["complete_unknown"]) == (False, None)
    assert report["lateness_ms"]["max"] < 1  # type: ignore[index]
    assert (report["lost_samples"], report["paused_samples"]) == (0, 0)
    assert [gap["kind"] for gap in report["gaps"]] == ["uncaptured"]  # type: ignore[attr-defined]


def test_a_pause_before_a_hole_is_still_one() -> None:
    call = MadeUp()
    call.listen(0.0, 3.0)
    call.listen(6.0, 7.2)
    call.lose(7.21, JAMBONZ, WIRE_FRAME)
    call.listen(7.22, 10.0)

    report = call.close(10.01).to_json()

    assert report["uncaptured_samples"] == 160
    assert report["paused_samples"] == pytest.approx(24_000, abs=160)


def test_holes_leave_the_clock_as_it_is() -> None:
    call = MadeUp()
    for begin in range(0, 40, 5):
        call.listen(begin + 0.1, begin + 5.0)
        call.lose(begin + 5.01, JAMBONZ, None)

    report = call.close(41.0)

    assert report.drift is not None
    assert abs(report.drift.ppm) < 1


def test_a_call_found_midway_begins_with_its_first_audio() -> None:
    call = MadeUp(session=new_session(request=None), metadata=None)
    call.listen(0.0, 3.0)
    call.answer(3.01, '{"event":"dtmf","dtmf":"1","duration":"100"}')
    call.listen(3.02, 4.0)

    report = call.close(4.01)

    assert report.arrivals is not None
    assert report.arrivals.first == pytest.approx(0.02)
    assert rules_in(report) == ["capture-midway"]


@pytest.mark.parametrize("sender", Sender)
def test_the_rest_of_a_torn_message_is_no_fault(sender: Sender) -> None:
    call = MadeUp()
    call.lose(0.5, sender)
    call.frame(0.6, sender, 0, b"rest")

    report = call.close(1.0)

    assert "frame-order" not in rules_in(report)


def test_a_session_that_cannot_be_decrypted_has_neither_rate_nor_completeness() -> None:
    session = new_session()
    session.encrypted, session.unreadable = True, "no secrets"

    report = MadeUp(session=session, metadata=None).end(5.0).to_json()

    assert report["completeness"] is None
    assert report["complete"] is None
    assert report["audio"]["sample_rate"] is None  # type: ignore[index]
