import base64
import struct
from collections.abc import Iterator, Sequence

import pytest

from listenctl.inspection.call_report import CallReport
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.jambonz_model.command_verdicts import VerdictReason
from listenctl.protocol.jambonz_model.profiles import OLD
from listenctl.protocol.jambonz_model.rule_catalogue import RULES, VERDICT_RULES
from tests.helpers.frames import BINARY, CONTINUATION
from tests.helpers.inspected import APPLICATION, METADATA, MadeUp, rules_in
from tests.helpers.playout import play, tone

Step = tuple[float, bytes | dict[str, object]]
STREAM = METADATA | {"streamRate": 8000}
LOUD = struct.pack("<160h", *([2000, -2000] * 80))
PAD = bytes(2 * 1280)
# What remains in the pre-buffer is silence.
SECOND = LOUD * 42 + PAD
HALF = tone(4000)
KILL: dict[str, object] = {"type": "killAudio"}
# 160 ms are played at once, then 80 ms at a time; 60 ms are left.


def mark(name: str) -> dict[str, object]:
    return {"type": "mark", "data": {"name": name}}


def paced(begin: float, end: float) -> Iterator[Step]:
    return ((begin + index * 0.02, LOUD) for index in range(round((end - begin) * 50)))


def send(call: MadeUp, steps: Sequence[Step], answers: Sequence[tuple[float, str]] = ()) -> MadeUp:
    """Have the application send audio and commands, and jambonz answer marks with an event after a colon, or reach."""
    merged: list[tuple[float, bytes | dict[str, object] | str]] = [*steps, *answers]
    for at, what in sorted(merged, key=lambda step: step[0]):
        if isinstance(what, bytes):
            call.stream(at, what)
        elif isinstance(what, str):
            name, _, event = what.partition(":")
            call.reach(at, name, event or "playout")
        else:
            call.say(at, what)
    return call


def streamed(steps: Sequence[Step], end: float, answers: Sequence[tuple[float, str]] = ()) -> CallReport:
    """Return the report of a call that plays a stream at 8 kHz, and in which jambonz is silent."""
    return send(MadeUp(metadata=STREAM), steps, answers).close(end)


@pytest.mark.parametrize(
    ("steps", "end", "rules"),
    [
        pytest.param([*paced(1.0, 3.0), (3.0, PAD)], 5.0, [], id="a paced stream that ends in silence"),
        pytest.param([(1.0, SECOND), (2.0, bytes(320))], 5.0, [], id="a tail of silence"),
        pytest.param([(1.0, SECOND), (1.5, KILL), (1.5, bytes(640))], 4.0, [], id="silence right after killAudio"),
        pytest.param([(1.0, SECOND), (1.5, KILL), (1.55, SECOND + PAD)], 4.0, [], id="audio 50 ms after killAudio"),
        pytest.param([(1.0, SECOND), (1.5, KILL), (1.7, SECOND + PAD)], 5.0, [], id="no underrun after killAudio"),
        pytest.param([(1.0, bytes(7680)), (1.6, SECOND)], 5.0, [], id="no underrun after the silence of a probe"),
        pytest.param([*paced(1.0, 2.0)], 2.0, [], id="little is cut off at the end"),
        pytest.param([(1.0, SECOND * 4)], 2.0, ["stream-cut-off"], id="much is cut off at the end"),
        pytest.param([(1.0, SECOND), (1.01, mark("a"))], 6.0, ["mark-unanswered"], id="a mark without an answer"),
        pytest.param([(1.0, mark('say "hi"'))], 5.0, ["mark-name-unsafe"], id="a name with quotes"),
        pytest.param([(1.0, SECOND + b"\0"), (1.0, b"\0" + PAD)], 4.0, ["stream-odd-bytes"] * 2, id="odd bytes"),
        pytest.param(
            [(1.0, SECOND * 2), *(step for number in range(32) for step in ((1.01, mark(str(number))), (1.01, LOUD)))],
            3.0,
            ["marks-too-many"] * 2 + ["stream-cut-off"],
            id="two marks beyond thirty",
        ),
    ],
)
def test_rules_of_streams(steps: list[Step], end: float, rules: list[str]) -> None:
    assert rules_in(streamed(steps, end)) == rules


@pytest.mark.parametrize(
    ("later", "details"), [([], ["480 samples"]), ([(3.0, PAD)], ["60 ms", "1.8 s late"])], ids=["never", "late"]
)
def test_a_held_tail_is_reported_at_its_utterance(later: list[Step], details: list[str]) -> None:
    # 160 ms are played at once, then 80 ms at a time; 60 ms are left.
    report = streamed([*paced(1.0, 1.22), *later], 5.0)

    assert rules_in(report) == ["stream-tail-held"]
    assert report.violations[0].at == pytest.approx(1.2)
    assert all(detail in report.violations[0].detail for detail in details)


@pytest.mark.parametrize(("fragment", "held"), [(32_000, 128), (8120, 236)])
def test_the_frames_of_a_message_decide_what_is_held(fragment: int, held: int) -> None:
    call, sound = MadeUp(metadata=STREAM), LOUD * 100
    for at in range(0, len(sound), fragment):
        opcode, last = CONTINUATION if at else BINARY, at + fragment >= len(sound)
        call.frame(1.0, APPLICATION, opcode, sound[at : at + fragment], fin=last)

    (violation,) = call.close(5.0).violations

    assert (violation.rule, f"{held} samples" in violation.detail) == ("stream-tail-held", True)


def test_audio_right_after_kill_audio_is_an_error() -> None:
    report = streamed([(1.0, SECOND), (1.5, KILL), (1.51, SECOND)], 4.0)

    (violation,) = [one for one in report.violations if one.rule == "audio-after-kill"]
    assert (violation.severity, violation.sender) == ("error", "application")
    assert "10 ms" in violation.detail


def test_underruns_are_reported_once_with_their_number() -> None:
    steps: list[Step] = [(1.0 + index * 0.4, LOUD) for index in range(4) for _ in range(16)]

    report = streamed([*steps, (2.6, PAD)], 5.0)

    assert rules_in(report) == ["stream-underrun"]
    assert "4 times" in report.violations[0].detail
    assert report.stream is not None
    assert (report.stream["underruns"], report.stream["seconds"]) == (4, 1.44)


def test_an_answered_mark_has_a_round_trip() -> None:
    report = streamed([(1.0, SECOND + PAD), (1.01, mark("m1"))], 4.0, [(2.18, "m1")])

    (answered,) = report.marks
    assert (answered.name, answered.result) == ("m1", "playout")
    assert answered.round_trip == pytest.approx(1.17)
    assert rules_in(report) == []


@pytest.mark.parametrize(("seconds", "end"), [(3, 3.0), (1, 6.0)], ids=["not yet due", "answer not captured"])
def test_a_mark_that_need_not_have_been_answered_is_no_violation(seconds: int, end: float) -> None:
    call = send(MadeUp(metadata=STREAM), [(1.0, SECOND * seconds), (1.01, mark("m1"))])
    if end == 6.0:
        call.lose(2.2, size=80)

    assert "mark-unanswered" not in rules_in(call.close(end))


def test_a_sample_of_minus_one_is_mistaken_for_a_mark() -> None:
    steps: list[Step] = [(1.0, mark("a")), (1.0, LOUD * 20 + b"\xff\xff" + LOUD * 20), (1.1, mark("b"))]

    report = streamed([*steps, (1.1, SECOND + PAD)], 5.0, [(1.02, "a"), (1.42, "b")])

    assert "mark-early" in rules_in(report)
    assert report.marks[1].verdicts == ["sample-value"]


def test_marks_after_cleared_ones_are_shifted() -> None:
    first: list[Step] = [(1.0, mark("a")), (1.0, SECOND), (1.0, mark("b")), (1.0, SECOND), (1.3, KILL)]
    second: list[Step] = [(2.0, mark("c")), (2.0, SECOND + PAD), (2.0, mark("d")), (2.0, SECOND + PAD)]

    assert "mark-shifted" in rules_in(streamed([*first, *second], 7.0, [(1.32, "b:cleared")]))


def test_resampling_shifts_marks_only_if_the_rate_of_the_call_is_known() -> None:
    steps: list[Step] = [(1.0, mark("a")), (1.0, SECOND * 2 + PAD * 2)]
    unknown, known = (MadeUp(InspectionSettings(stream_rate=16_000, call_rate=rate)) for rate in (None, 8000))

    assert rules_in(send(unknown, steps, [(1.02, "a")]).close(6.0)) == []
    assert rules_in(send(known, steps).close(6.0)) == ["mark-resampled", "mark-unanswered"]


def test_a_stream_is_proven_by_an_answered_mark() -> None:
    unproven = send(MadeUp(), [*paced(1.0, 2.0), (2.0, PAD)]).close(4.0)
    proven = send(MadeUp(), [(1.0, mark("a")), *paced(1.0, 2.0), (2.0, PAD)], [(1.02, "a")]).close(4.0)

    assert rules_in(unproven) == ["stream-unproven"]
    assert "8000 Hz" in unproven.violations[0].detail
    assert rules_in(proven) == []


def test_a_stream_is_not_played_in_a_call_with_clips_or_by_an_old_media_server() -> None:
    clips = send(MadeUp(metadata=METADATA | {"streamRate": 0}), [(1.0, SECOND), (1.0, mark("a"))]).close(4.0)
    old = send(MadeUp(InspectionSettings(profile=OLD, stream_rate=8000)), [(1.0, SECOND)]).close(4.0)

    assert rules_in(clips) == ["stream-not-played"] * 2
    assert clips.worst == "error"
    assert rules_in(old) == ["stream-not-played"]


def test_a_clip_in_a_stream_is_a_warning_while_the_mode_is_a_guess() -> None:
    clip: Step = (2.0, {"type": "playAudio", "data": {"audioContent": "AADoAw==", "audioContentType": "raw"}})

    report = send(MadeUp(), [*paced(1.0, 2.0), (2.0, PAD), clip]).close(5.0)

    assert [(one.rule, one.severity) for one in report.violations] == [
        ("stream-unproven", "info"),
        ("clip-while-streaming", "warning"),
    ]


def done(clip_id: str, milliseconds: int = 500) -> str:
    return f'{{"type":"playDone","data":{{"id":"{clip_id}","playbackMilliseconds":"{milliseconds}"}}}}'


def clips(*sent: tuple[float, str, bool], answers: Sequence[tuple[float, str]] = (), end: float = 5.0) -> CallReport:
    """Return the report of a call with clips: time, id, queuePlay."""
    call = MadeUp()
    for at, clip_id, queued in sent:
        call.say(at, play(HALF, id=clip_id, **({"queuePlay": True} if queued else {})))
    for at, clip_id in answers:
        call.answer(at, done(clip_id))
    return call.close(end)


def test_queued_clips_are_played_one_after_another() -> None:
    report = clips((1.0, "a", True), (1.0, "b", True), answers=[(1.52, "a"), (2.04, "b")])

    assert rules_in(report) == []
    assert [(clip.id, clip.played_ms) for clip in report.clips] == [("a", 500), ("b", 500)]
    assert [clip.done for clip in report.clips] == pytest.approx([1.52, 2.04])


def test_a_clip_that_is_not_queued_plays_on_top() -> None:
    report = clips((1.0, "a", False), (1.2, "b", False), answers=[(1.7, "b"), (2.0, "a")])

    assert rules_in(report) == ["clip-on-top"]
    assert report.violations[0].at == pytest.approx(1.2)
    assert report.clips[1].verdicts == ["on-top"]


def test_a_dropped_clip_is_reported_at_its_place() -> None:
    report = clips((1.0, "a", True), (1.0, "b", True), (1.1, "c", False), answers=[(1.6, "c"), (2.0, "a")])

    assert rules_in(report) == ["clip-dropped", "clip-on-top"]
    assert report.clips[1].verdicts == ["queue-emptied"]


def test_the_queue_holds_eleven_clips() -> None:
    assert rules_in(clips(*((1.0, f"c{number}", True) for number in range(13)), end=1.1)) == ["clip-queue-full"]


@pytest.mark.parametrize(
    ("fields", "rules"),
    [
        ({"audioContentType": None}, ["clip-no-content-type"]),
        ({"audioContentType": "mp3"}, ["clip-content-type"]),
        ({"audioContent": 5}, ["clip-no-content"]),
        ({"audioContent": ""}, ["clip-no-audio"]),
        ({"audioContentType": "wav"}, ["clip-wav-unreadable"]),
        ({"audioContent": "AADo\nAxj8//8="}, ["clip-base64-cut"]),
        ({"audioContent": base64.b64encode(b"RIFF\0\0\0\0WAVEfmt ").decode()}, ["clip-wav-as-raw"]),
        ({"audioContent": base64.b64encode(b"OggS" + bytes(40)).decode()}, ["clip-not-raw"]),
        ({"sampleRate": "8000"}, ["clip-rate-string"]),
        # A string is read as 16000.
        ({"sampleRate": "16000"}, []),
        ({"sampleRate": None}, ["clip-rate-missing"]),
        ({"sampleRate": 11025}, ["clip-rate-unknown"]),
        ({"sampleRate": 24000}, ["clip-rate-noise"]),
        ({"sampleRate": 48000}, ["clip-rate-unreadable"]),
        ({"id": "O'Brien"}, ["clip-id-unsafe"]),
    ],
)
def test_rules_of_clips(fields: dict[str, object], rules: list[str]) -> None:
    call = MadeUp()
    call.say(1.0, play(HALF, **fields))

    report = call.close(1.2)

    assert rules_in(report) == rules
    assert all(one.sender == "application" for one in report.violations)


def test_every_verdict_has_a_rule_or_needs_none() -> None:
    # Intended effects, what other checks find, what a capture does not show, and limits of ours.
    without_rule = {"forgotten", "killed", "ended", "nothing-playing", "too-soon", "unanswered", "fragments-too-long"}
    without_rule |= {"too-long", "no-answer", "late-answer"}

    assert set(VerdictReason) - {"", "disabled"} - set(VERDICT_RULES) == without_rule
    assert set(VERDICT_RULES.values()) <= set(RULES)
