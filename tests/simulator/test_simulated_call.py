"""What a simulated call sends, plays and reports, on a clock of its own; how it ends is in ``test_call_end.py``."""

import json

import pytest

from listenctl.net.call_target import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.simulator.plan import CallPlan, DtmfPress
from tests.helpers.frames import BINARY, TEXT, frame
from tests.helpers.playout import play, tone
from tests.helpers.scripted_server import accept
from tests.helpers.stage import AUDIO, FarEnd, placed

NOWHERE = CallTarget(address=parse_websocket_url("ws://127.0.0.1/"))
STREAMING = BidirectionalAudio(streaming=True, sample_rate=8000)


def command(text: bytes) -> bytes:
    return frame(TEXT, text, mask=None)


def audio(samples: bytes) -> bytes:
    return frame(BINARY, samples, mask=None)


async def test_what_is_said_during_the_handshake_leaves_in_the_first_message() -> None:
    far_end = FarEnd(answers_at_once=False)
    plan = CallPlan(target=NOWHERE, caller="tone:440", duration=1.0)

    async with placed(plan, far_end) as stage:
        await far_end.asked.wait()
        await stage.run(0.5)
        far_end.let_in()
        await stage.connected()
        summary = await stage.finish()

    # 26 frames: the one at 0.5 s, too (protocol.md 13).
    assert [len(message) for message in far_end.of(AUDIO)] == [8320] + [320] * 24
    assert far_end.frames[0].first == 0x81
    assert (summary.samples, summary.lost_samples) == (8000, 0)


async def test_a_handshake_longer_than_the_buffer_costs_all_that_waited_and_eight_samples() -> None:
    far_end = FarEnd(answers_at_once=False)
    plan = CallPlan(target=NOWHERE, caller="tone:440", duration=3.0)

    async with placed(plan, far_end) as stage:
        await far_end.asked.wait()
        await stage.run(2.5)
        far_end.let_in()
        await stage.connected()
        summary = await stage.finish()

    # No multiple of a frame (protocol.md 13).
    assert len(far_end.of(AUDIO)[0]) == 8304
    assert summary.lost_samples == 16_008
    (gap,) = stage.events.of("gap")
    assert (gap["kind"], gap["missing"], gap["length"]) == ("hole", 16_008, 2.001)
    assert len(far_end.audio) == 2 * (summary.samples - summary.lost_samples)


async def test_a_resampled_call_loses_nothing_in_a_long_handshake() -> None:
    far_end = FarEnd(answers_at_once=False)
    plan = CallPlan(target=NOWHERE, verb=ListenVerb(sample_rate=16000), caller="tone:440", duration=5.0)

    async with placed(plan, far_end) as stage:
        await far_end.asked.wait()
        await stage.run(4.02)
        far_end.let_in()
        await stage.connected()
        summary = await stage.finish()

    # Messages of 2 s (protocol.md 13).
    assert [len(message) for message in far_end.of(AUDIO)[:3]] == [64_000, 64_000, 1280]
    assert (summary.samples, summary.lost_samples) == (80_000, 0)
    assert len(far_end.audio) == 160_000


@pytest.mark.parametrize(
    ("sample_rate", "mix_type", "ptime", "sizes"),
    [
        (8000, "stereo", 0.02, [640] * 6),
        (48000, "stereo", 0.02, [3840] * 6),
        (11025, "mono", 0.02, [440, 442] * 3),
        (8000, "mixed", 0.01, [160] * 12),
        (8000, "mono", 0.03, [480] * 4),
        (16000, "mono", 0.06, [1920] * 2),
    ],
)
async def test_a_message_is_a_frame_of_the_call(
    sample_rate: int, mix_type: str, ptime: float, sizes: list[int]
) -> None:
    verb = ListenVerb(sample_rate=sample_rate, mix_type=mix_type)

    async with placed(CallPlan(target=NOWHERE, verb=verb, ptime=ptime, duration=0.12)) as stage:
        await stage.connected()
        await stage.finish()

    # protocol.md 13
    assert [len(message) for message in stage.far_end.of(AUDIO)] == sizes


async def test_a_late_frame_makes_none_after_it_late() -> None:
    async with placed(CallPlan(target=NOWHERE, duration=2.0)) as stage:
        await stage.connected()
        await stage.run(1.0)
        stage.clock.advance(0.25)
        await stage.finish()

    (ended,) = stage.events.of("call-ended")
    assert (ended["frames"], ended["duration"]) == (100, 2.0)
    # The frame of 1.02 s came at 1.27 s, and twelve caught up.
    assert ended["lateness_ms"]["max"] == pytest.approx(250)
    assert ended["lateness_ms"]["p50"] == pytest.approx(0, abs=0.1)


async def test_a_clip_is_part_of_the_right_channel() -> None:
    plan = CallPlan(target=NOWHERE, verb=ListenVerb(mix_type="stereo"), duration=1.0)

    async with placed(plan) as stage:
        await stage.connected()
        stage.far_end.say(command(play(tone(1600, 1000), id="c")))
        await stage.events.wait_for("verdict")
        await stage.finish()

    samples = memoryview(stage.far_end.audio).cast("h")
    assert list(samples[0::2]) == [0] * 8000
    assert samples[1::2].tolist().count(1000) == 1600


@pytest.mark.parametrize("mix_type", ["stereo", "mixed"])
async def test_what_a_server_streams_is_heard_but_not_in_what_it_gets(mix_type: str) -> None:
    plan = CallPlan(target=NOWHERE, verb=ListenVerb(mix_type=mix_type, bidirectional=STREAMING), duration=1.0)

    async with placed(plan) as stage:
        await stage.connected()
        stage.far_end.say(audio(tone(1600, 8000)), command(b'{"type":"mark","data":{"name":"m"}}'))
        await stage.events.wait_for("verdict")
        await stage.run(0.1)
        heard = stage.call.snapshot().heard
        await stage.finish()

    # protocol.md 3.1
    assert not stage.far_end.audio.strip(b"\0")
    assert heard is not None
    assert heard[0].peak_db == pytest.approx(-12.25, abs=0.01)


@pytest.mark.parametrize(
    ("profile", "duration"), [(CURRENT, '"1600"'), (OLD, '"1600"'), (NEXT, "200"), (IDEAL, "200")], ids=str
)
async def test_a_key_is_told_in_the_form_of_the_implementation(profile: Profile, duration: str) -> None:
    keys = (DtmfPress(0.1, "2"),)
    plan = CallPlan(target=NOWHERE, verb=ListenVerb(pass_dtmf=True), profile=profile, dtmf_presses=keys, duration=0.5)

    async with placed(plan) as stage:
        await stage.connected()
        await stage.finish()

    far_end = stage.far_end
    assert far_end.texts == [f'{{"event":"dtmf","dtmf":"2","duration":{duration}}}']
    (pressed,) = stage.events.of("dtmf")
    assert (pressed["digit"], pressed["duration_ms"], pressed["position"]) == ("2", 200, 800)
    # In its place among the frames.
    assert [one.first for one in far_end.frames].index(0x81, 1) == 6


async def test_a_key_that_is_not_passed_is_warned_of_and_not_sent() -> None:
    plan = CallPlan(target=NOWHERE, dtmf_presses=(DtmfPress(0.1, "2"),), duration=0.5)

    async with placed(plan) as stage:
        await stage.connected()
        await stage.finish()

    assert stage.far_end.texts == []
    (warning,) = stage.events.of("warning")
    assert warning["rule"] == "dtmf-not-passed"
    assert stage.events.of("call-ended")[0]["digits"] == "2"


async def test_a_key_of_the_keyboard_is_like_one_of_the_plan() -> None:
    plan = CallPlan(target=NOWHERE, verb=ListenVerb(pass_dtmf=True), duration=0.5)

    async with placed(plan) as stage:
        await stage.connected()
        stage.call.press_digit("#")
        await stage.finish()

    assert stage.far_end.texts == ['{"event":"dtmf","dtmf":"#","duration":"1600"}']


async def test_a_mark_is_answered_and_its_round_trip_reported() -> None:
    plan = CallPlan(target=NOWHERE, verb=ListenVerb(bidirectional=STREAMING), duration=2.0)

    async with placed(plan) as stage:
        await stage.connected()
        stage.far_end.say(audio(tone(1280, 8000)), command(b'{"type":"mark","data":{"name":"m"}}'))
        await stage.events.wait_for("verdict")
        outstanding = stage.call.snapshot().marks
        await stage.finish()

    assert outstanding == ("m",)
    assert stage.far_end.texts == ['{"type": "mark", "data": {"name":"m", "event": "playout"}}']
    (mark,) = stage.events.of("mark")
    assert (mark["name"], mark["result"]) == ("m", "playout")
    # 160 ms of audio, and the tick at which the buffer is found empty.
    assert mark["round_trip"] == pytest.approx(0.18, abs=0.021)


async def test_each_command_gets_a_verdict_with_its_number_and_word() -> None:
    plan = CallPlan(target=NOWHERE, duration=1.0)

    async with placed(plan) as stage:
        await stage.connected()
        stage.far_end.say(
            command(play(tone(160), id="c")),
            command(b'{"type":"playAudio","data":{"audioContent":"AADo","sampleRate":8000}}'),
            command(b'{"type":"KILLAUDIO"}'),
            command(b'{"type":"killAudio"}'),
        )
        await stage.events.wait_for("verdict", 5)
        summary = await stage.finish()

    verdicts = [
        (one["number"], one["command"], one["outcome"], one["reason"], one["wrong"])
        for one in stage.events.of("verdict")
    ]
    assert verdicts == [
        (1, "playAudio", "played", "", False),
        (2, "playAudio", "would-crash", "no-content-type", True),
        (3, "KILLAUDIO", "ignored", "unknown-type", True),
        (1, "playAudio", "interrupted", "killed", False),
        (4, "killAudio", "obeyed", "", False),
    ]
    assert summary.wrong == 2
    ended = stage.events.of("call-ended")[0]
    assert (ended["commands"], ended["wrong"]) == (4, 2)


async def test_the_first_text_says_what_the_call_is_and_so_do_the_reports() -> None:
    verb = ListenVerb(mix_type="stereo", sample_rate=16000, metadata={"foo": "bar"})
    plan = CallPlan(target=NOWHERE, verb=verb, duration=0.1)

    async with placed(plan) as stage:
        await stage.connected()
        await stage.finish()

    (started,) = stage.events.of("call-started")
    assert json.loads(stage.far_end.of(0x81)[0]) == started["metadata"]
    assert (started["sample_rate"], started["channels"], started["metadata_valid"]) == (16000, 2, True)
    assert started["metadata"]["foo"] == "bar"
    assert {event["call_sid"] for event in stage.events.all} == {started["metadata"]["callSid"]}


async def test_a_missing_subprotocol_is_warned_of() -> None:
    far_end = FarEnd(lambda key: accept(key, b""))

    async with placed(CallPlan(target=NOWHERE, duration=0.1), far_end) as stage:
        await stage.connected()
        await stage.finish()

    (connected,) = stage.events.of("connected")
    assert connected["subprotocol"] is None
    (warning,) = stage.events.of("warning")
    assert warning["detail"].startswith("answered without a subprotocol")


async def test_a_snapshot_shows_the_call_as_it_is() -> None:
    plan = CallPlan(target=NOWHERE, verb=ListenVerb(pass_dtmf=True), caller="tone:440", duration=2.0)

    async with placed(plan) as stage:
        before = stage.call.snapshot()
        await stage.connected()
        await stage.run(1.0)
        stage.call.press_digit("5")
        during = stage.call.snapshot()
        await stage.finish()

    assert (before.state, before.elapsed, before.sent) == ("connecting", 0.0, None)
    assert (during.state, during.digits) == ("live", "5")
    assert during.elapsed == pytest.approx(1.0)
    assert during.sent is not None
    assert stage.call.snapshot().state == "ended"
