"""Both sides of a call together: echoes of what the application plays, channels that are swapped, and nothing else."""

import base64

import numpy as np
import pytest
from numpy.typing import NDArray

from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.inspection.rule_catalogue import Severity
from listenctl.inspection.rule_violations import Culprit, Violation
from listenctl.inspection.settings import InspectionSettings
from listenctl.inspection.sound_checks.call_sound import CallSoundReport, SoundChecksObserver
from tests.helpers.capture import CAPTURES
from tests.helpers.frames import BINARY
from tests.helpers.inspected import JAMBONZ, METADATA, MadeUp, capture_events, new_session
from tests.helpers.misread import speech_frames, swapped

STREAM, CLIPS = InspectionSettings(stream_rate=8000), InspectionSettings(stream_rate=0)
SECONDS = 10


def hear(
    received: NDArray[np.int16],
    played: NDArray[np.int16],
    *,
    settings: InspectionSettings = STREAM,
    mix_type: str = "mono",
    rate: int = 8000,
) -> CallSoundReport:
    """Have jambonz send frames while the application plays samples at 8 kHz, from the begin of the call on."""
    hearing = SoundChecksObserver()
    session = new_session()
    hearing.on_session_opened(session)
    metadata = METADATA | {"mixType": mix_type, "sampleRate": rate}
    call = MadeUp(settings, [hearing], session=session, metadata=metadata)
    if settings is CLIPS:
        content = base64.b64encode(played.astype("<i2").tobytes()).decode()
        data = {"audioContent": content, "audioContentType": "raw", "sampleRate": 8000, "id": "a"}
        call.say(0.002, {"type": "playAudio", "data": data})
    for number in range(50 * SECONDS):
        at = (number + 1) * 0.02
        frame = received[number * rate // 50 : (number + 1) * rate // 50]
        call.frame(at, JAMBONZ, BINARY, frame.astype("<i2").tobytes())
        if settings is STREAM:
            call.stream(at + 0.001, played[number * 160 : (number + 1) * 160].astype("<i2").tobytes())
    call.close(SECONDS + 0.1)
    return hearing.reports[session.number]


def ids(report: CallSoundReport) -> list[str]:
    return [one.rule for one in report.violations() if one.severity is not Severity.INFO]


def later(samples: NDArray[np.int16], seconds: float, rate: int = 8000) -> NDArray[np.int16]:
    silence = np.zeros(round(seconds * rate), np.int16)
    return np.concatenate((silence, samples))[: len(samples)]


@pytest.mark.parametrize("name", CAPTURES)
def test_nothing_is_wrong_between_the_sides_of_real_calls(name: str) -> None:
    hearing = SoundChecksObserver()
    inspector = CaptureInspector(observers=[hearing])
    for event in capture_events(name):
        inspector.feed_event(event)
    inspector.finish_calls()

    [report] = hearing.reports.values()
    assert report.between == ()
    assert ids(report) == []


def test_two_who_talk_at_once_are_no_echo() -> None:
    both = speech_frames(8000, 2)

    assert ids(hear(both[:, 0], both[:, 1])) == []


@pytest.mark.parametrize(("delay", "gain"), [(0.3, 0.5), (0.5, 0.15)])
def test_an_echo_of_the_application_is_found(delay: float, gain: float) -> None:
    both = speech_frames(8000, 2).astype(np.float64)
    echo = later(both[:, 1].astype(np.int16), delay)

    [verdict] = hear((both[:, 0] + gain * echo).astype(np.int16), both[:, 1].astype(np.int16)).between

    assert verdict.rule == "audio-echo"
    # Playout holds back a little of a stream (protocol.md 6.2).
    heard_after = float(verdict.sentence.rpartition(", ")[2].split()[0]) / 1000
    assert delay - 0.25 < heard_after < delay


def test_an_echo_is_found_whatever_the_rates() -> None:
    played = speech_frames(8000)[:, 0]
    echo = later(speech_frames(16_000)[:, 0], 0.4, 16_000)

    assert ids(hear((echo * 0.5).astype(np.int16), played, rate=16_000)) == ["audio-echo"]


def test_clips_belong_into_the_right_channel() -> None:
    both = speech_frames(8000, 2)
    received = np.column_stack((both[:, 0], later(both[:, 1], 0.02)))

    assert ids(hear(received, both[:, 1], settings=CLIPS, mix_type="stereo")) == []


def test_clips_in_the_left_channel_say_that_the_channels_are_swapped() -> None:
    both = speech_frames(8000, 2)
    received = np.column_stack((later(both[:, 1], 0.02), both[:, 0]))

    assert ids(hear(received, both[:, 1], settings=CLIPS, mix_type="stereo")) == ["audio-swapped"]


def test_clips_are_in_a_mixed_channel() -> None:
    both = speech_frames(8000, 2)
    received = (both[:, 0] / 2 + later(both[:, 1], 0.02) / 2).astype(np.int16)

    assert ids(hear(received, both[:, 1], settings=CLIPS, mix_type="mixed")) == []


def test_what_the_application_streams_is_judged_too() -> None:
    both = speech_frames(8000, 2)

    report = hear(both[:, 0], swapped(both[:, 1]))

    assert ids(report) == ["audio-byte-order"]
    assert report.application is not None
    assert "what the application plays is noise" in report.application.faults[0].sentence
    described = report.to_json()
    assert described["verdicts"] == []
    assert described["application"] == report.application.to_json()


def test_a_call_in_which_nobody_played_anything_has_no_application() -> None:
    hearing = SoundChecksObserver()
    session = new_session()
    hearing.on_session_opened(session)
    call = MadeUp(STREAM, [hearing], session=session)
    call.listen(0.0, 1.0)
    call.close(1.0)

    report = hearing.reports[session.number]
    assert report.application is None
    assert report.to_json()["application"] is None


def test_times_that_jump_by_years_take_no_time() -> None:
    hearing = SoundChecksObserver()
    session = new_session()
    hearing.on_session_opened(session)
    call = MadeUp(STREAM, [hearing], session=session)
    for at in (1.0, 1e6, 1e9):
        call.pace(at, at + 0.2, bytes(320))
        call.listen(at + 0.2, at + 0.4)

    call.end(2e9)

    assert session.number in hearing.reports


def test_an_application_that_plays_what_it_hears_is_no_echo() -> None:
    caller = speech_frames()[:, 0]

    assert hear(caller, later(caller, 0.1)).between == ()


def test_what_is_wrong_with_the_sound_is_a_violation_like_others() -> None:
    told: list[Violation] = []
    hearing = SoundChecksObserver(lambda _, violation: told.append(violation))
    session = new_session()
    hearing.on_session_opened(session)
    call = MadeUp(None, [hearing], session=session)
    call.listen(0.5, 5.0, frame=bytes(320))
    report = call.close(5.1)

    assert [(one.rule, one.sender) for one in told] == [("audio-silent", Culprit.JAMBONZ)]
    assert told[0].at == pytest.approx(0.52)
    assert told == [one for one in report.violations if one.section == "The sound"]
    assert report.worst is Severity.WARNING
    assert report.counts["audio-silent"] == 1
    assert report.table_row()["warnings"] == 1
    assert report.to_json()["worst"] == "warning"
    assert [one.at for one in report.violations] == sorted(one.at for one in report.violations)


def test_sessions_that_are_no_calls_have_no_bad_sound() -> None:
    session = new_session()
    session.is_listen = False
    hearing = SoundChecksObserver()
    hearing.on_session_opened(session)
    call = MadeUp(None, [hearing], session=session)
    call.listen(0.0, 5.0, frame=bytes(320))

    assert call.close(5.1).violations == []
