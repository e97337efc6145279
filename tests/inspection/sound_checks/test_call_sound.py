import base64
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from listenctl.inspection.rule_violations import Culprit, Violation
from listenctl.inspection.settings import InspectionSettings
from listenctl.inspection.sound_checks.call_sound import CallSoundReport, SoundChecksObserver
from listenctl.protocol.jambonz_model.rule_catalogue import Severity
from tests.helpers.capture import CAPTURES
from tests.helpers.frames import BINARY, TEXT
from tests.helpers.inspected import JAMBONZ, METADATA, MadeUp, capture_events, inspect, new_session
from tests.media.sound_checks.test_sender_sound import speech_frames

STREAM, CLIPS = InspectionSettings(stream_rate=8000), InspectionSettings(stream_rate=0)
SECONDS = 10


class CheckedCall(MadeUp):
    """A call whose sound is checked; ``found`` are the violations."""

    def __init__(
        self,
        settings: InspectionSettings | None = STREAM,
        metadata: dict[str, object] | None = None,
        *,
        is_listen: bool | None = None,
    ) -> None:
        self.found: list[Violation] = []
        self._observer = SoundChecksObserver(lambda _, violation: self.found.append(violation))
        session = replace(new_session(), is_listen=is_listen)
        self._observer.on_session_opened(session)
        super().__init__(settings, [self._observer], session=session, metadata=metadata or METADATA)

    @property
    def sound(self) -> CallSoundReport:
        return self._observer.reports[self.session.number]


def sound_of(
    received: NDArray[np.int16],
    played: NDArray[np.int16],
    *,
    settings: InspectionSettings = STREAM,
    mix_type: str = "mono",
    rate: int = 8000,
) -> CallSoundReport:
    """Have jambonz send frames while the application plays samples at 8 kHz from the start of the call on."""
    call = CheckedCall(settings, METADATA | {"mixType": mix_type, "sampleRate": rate})
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
    return call.sound


def rules(report: CallSoundReport) -> list[str]:
    return [one.rule for one in report.violations() if one.severity is not Severity.INFO]


def later(samples: NDArray[np.int16], seconds: float, rate: int = 8000) -> NDArray[np.int16]:
    silence = np.zeros(round(seconds * rate), np.int16)
    return np.concatenate((silence, samples))[: len(samples)]


@pytest.mark.parametrize("name", CAPTURES)
def test_real_calls_have_no_fault_between_the_sides(name: str) -> None:
    observer = SoundChecksObserver()
    inspect(capture_events(name), observers=[observer])

    [report] = observer.reports.values()
    assert report.between == ()
    assert rules(report) == []


@pytest.mark.parametrize(("delay", "gain"), [(0.3, 0.5), (0.5, 0.15)])
def test_an_echo_of_the_application_is_found_with_its_delay(delay: float, gain: float) -> None:
    both = speech_frames(8000, 2).astype(np.float64)
    echo = later(both[:, 1].astype(np.int16), delay)

    [fault] = sound_of((both[:, 0] + gain * echo).astype(np.int16), both[:, 1].astype(np.int16)).between

    assert fault.rule == "audio-echo"
    # Playout holds back a little of a stream (listenctl-protocol(7) 6.2).
    found = float(fault.sentence.rpartition(", ")[2].split()[0]) / 1000
    assert delay - 0.25 < found < delay


def test_an_echo_at_another_sample_rate_is_found() -> None:
    echo = later(speech_frames(16_000)[:, 0], 0.4, 16_000)

    assert rules(sound_of((echo * 0.5).astype(np.int16), speech_frames(8000)[:, 0], rate=16_000)) == ["audio-echo"]


def test_neither_double_talk_nor_an_echoing_application_is_an_echo_of_the_caller() -> None:
    both = speech_frames(8000, 2)

    assert rules(sound_of(both[:, 0], both[:, 1])) == []
    assert sound_of(both[:, 0], later(both[:, 0], 0.1)).between == ()


@pytest.mark.parametrize(("mix_type", "expected"), [("stereo", []), ("swapped", ["audio-swapped"]), ("mixed", [])])
def test_clips_belong_into_the_right_channel_or_into_a_mix(mix_type: str, expected: list[str]) -> None:
    both = speech_frames(8000, 2)
    caller, clip = both[:, 0], later(both[:, 1], 0.02)
    received = {
        "stereo": np.column_stack((caller, clip)),
        "swapped": np.column_stack((clip, caller)),
        "mixed": (caller / 2 + clip / 2).astype(np.int16),
    }[mix_type]

    report = sound_of(received, both[:, 1], settings=CLIPS, mix_type=mix_type.replace("swapped", "stereo"))

    assert rules(report) == expected


def test_the_sound_of_the_application_is_checked_too() -> None:
    both = speech_frames(8000, 2)

    report = sound_of(both[:, 0], both[:, 1].byteswap())

    assert rules(report) == ["audio-byte-order"]
    assert report.application is not None
    assert "what the application plays is noise" in report.application.faults[0].sentence
    described = report.to_json()
    assert described["verdicts"] == []
    assert described["application"] == report.application.to_json()


def test_without_audio_of_the_application_there_is_no_report_on_it() -> None:
    call = CheckedCall()
    call.listen(0.0, 1.0)
    call.close(1.0)

    assert call.sound.application is None
    assert call.sound.to_json()["application"] is None


def test_times_that_are_years_apart_take_no_time() -> None:
    call = CheckedCall()
    for at in (1.0, 1e6, 1e9):
        call.pace(at, at + 0.2, bytes(320))
        call.listen(at + 0.2, at + 0.4)

    call.end(2e9)

    assert call.sound.application is not None


def test_faults_of_the_sound_are_violations_like_others() -> None:
    call = CheckedCall(None)
    call.listen(0.5, 5.0, frame=bytes(320))
    report = call.close(5.1)

    assert [(one.rule, one.sender) for one in call.found] == [("audio-silent", Culprit.JAMBONZ)]
    assert call.found[0].at == pytest.approx(0.52)
    assert call.found == [one for one in report.violations if one.section == "The sound"]
    assert report.worst is Severity.WARNING
    assert report.counts["audio-silent"] == 1
    assert report.table_row()["warnings"] == 1
    assert report.to_json()["worst"] == "warning"
    assert [one.at for one in report.violations] == sorted(one.at for one in report.violations)


@pytest.mark.parametrize(("digit", "expected"), [("5", ["audio-silent"]), ("x", [])])
def test_a_call_whose_only_sound_may_have_been_masked_tones_is_not_called_silent(
    digit: str, expected: list[str]
) -> None:
    call = CheckedCall()
    call.frame(0.02, JAMBONZ, TEXT, f'{{"event":"dtmf","dtmf":"{digit}","duration":"800"}}'.encode())
    for number in range(50 * SECONDS):
        call.frame((number + 2) * 0.02, JAMBONZ, BINARY, bytes(320))
    call.close(SECONDS + 0.1)

    assert [one.rule for one in call.found] == expected


def test_sessions_that_are_not_listen_calls_have_no_violations_of_sound() -> None:
    call = CheckedCall(None, is_listen=False)
    call.listen(0.0, 5.0, frame=bytes(320))

    assert call.close(5.1).violations == []
