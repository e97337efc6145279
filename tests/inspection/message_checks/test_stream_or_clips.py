"""How it is found out whether a call plays a stream or clips, and at which rate."""

import pytest

from listenctl.capture.capture_events import CapturedSession
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.settings import InspectionSettings
from tests.helpers.inspected import METADATA, MadeUp
from tests.helpers.playout import play, tone

FRAME = tone(160)


def mode_of(report: CallReport) -> tuple[int, str] | None:
    return (report.mode.stream_rate, report.mode.source) if report.mode else None


def test_what_the_user_says_is_believed_before_all() -> None:
    call = MadeUp(InspectionSettings(stream_rate=24000), metadata=METADATA | {"streamRate": 8000})
    call.pace(1.0, 2.0, FRAME)

    assert mode_of(call.close(3.0)) == (24000, "option")


def test_then_what_the_metadata_say() -> None:
    call = MadeUp(metadata=METADATA | {"streamRate": 0})
    call.pace(1.0, 2.0, FRAME)

    assert mode_of(call.close(3.0)) == (0, "metadata")


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_a_paced_stream_has_the_rate_of_its_pace(rate: int) -> None:
    call = MadeUp()
    call.pace(1.0, 2.0, bytes(rate // 50 * 2))

    assert mode_of(call.close(3.0)) == (rate, "pace")


def test_a_stream_in_bursts_has_the_rate_at_which_its_marks_are_reached() -> None:
    call = MadeUp()
    for index in range(4):
        call.mark(1.0, f"m{index}")
        call.stream(1.0, tone(16_000))
    for index in range(4):
        call.reach(1.02 + index, f"m{index}")

    assert mode_of(call.close(6.0)) == (16000, "marks")


def test_a_stream_of_which_nothing_is_known_has_the_rate_of_the_audio_the_other_way() -> None:
    call = MadeUp(metadata=METADATA | {"sampleRate": 16000})
    call.stream(1.0, tone(16_000))

    assert mode_of(call.close(6.0)) == (16000, "received")


def test_a_play_done_shows_that_clips_are_played() -> None:
    call = MadeUp()
    call.stream(0.5, FRAME)
    call.say(1.0, play(FRAME, id="a"))
    call.answer(1.1, '{"type":"playDone","data":{"id":"a"}}')

    report = call.close(2.0)

    assert mode_of(report) == (0, "playDone")
    assert report.worst == "error"


def test_clips_without_an_answer_are_clips_all_the_same() -> None:
    call = MadeUp()
    call.say(1.0, play(FRAME, id="a"))

    assert mode_of(call.close(1.1)) == (0, "clips")


def test_an_application_that_says_nothing_has_no_mode() -> None:
    assert mode_of(MadeUp().close(1.0)) is None


def test_commands_alone_are_judged_too() -> None:
    call = MadeUp()
    call.say(1.0, {"type": "killAudio"})

    assert mode_of(call.close(2.0)) == (0, "default")


def test_a_long_call_is_not_waited_for_to_the_end() -> None:
    told: list[float] = []

    class Listener(CallObserver):
        def on_played_audio(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:  # noqa: ARG002
            told.append(at)

    call = MadeUp(observers=[Listener()])
    call.pace(1.0, 2.0, FRAME)
    call.listen(2.0, 13.0)

    assert told
    assert told[0] == pytest.approx(1.16, abs=0.03)
