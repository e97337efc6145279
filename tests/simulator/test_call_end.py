"""How a simulated call begins and ends (protocol.md 7, 13), on a clock of its own."""

import asyncio

import pytest

from listenctl.errors import ListenctlError, RefusedError
from listenctl.net.call_target import CallTarget
from listenctl.net.client_connection import ConnectionEnd
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, Profile
from listenctl.protocol.listen_verb.listen_verb import ActionHook, ListenVerb
from listenctl.simulator import simulated_audio as call_audio
from listenctl.simulator import simulated_call as call_module
from listenctl.simulator.plan import CallPlan, DtmfPress
from tests.helpers.frames import CLOSE as CLOSE_OPCODE
from tests.helpers.frames import TEXT, frame
from tests.helpers.hook import hooked
from tests.helpers.scripted_server import accept
from tests.helpers.server import until
from tests.helpers.stage import AUDIO, CLOSE, FarEnd, placed

NOWHERE = CallTarget(address=parse_websocket_url("ws://127.0.0.1/"))
FRAMES_OF_A_SECOND = 50
BY_US = ConnectionEnd("jambonz", 1000)


def refuse(_key: bytes) -> bytes:
    return b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


async def test_max_length_counts_from_the_tap_and_not_from_the_connection() -> None:
    far_end = FarEnd(answers_at_once=False)

    async with placed(CallPlan(target=NOWHERE, verb=ListenVerb(max_length=1.0)), far_end) as stage:
        await far_end.asked.wait()
        await stage.run(0.7)
        far_end.let_in()
        await stage.connected()
        summary = await stage.finish()

    assert (summary.samples, summary.end) == (8000, BY_US)
    assert far_end.of(CLOSE) == [b"\x03\xe8"]
    assert stage.events.of("call-ended")[0]["duration"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("profile", "finish_on_key", "seconds"),
    [
        (CURRENT, "#", 0.5),
        (IDEAL, "#", 0.5),
        (IDEAL, "#*", 0.3),
        # Compared with one digit (protocol.md 7).
        (CURRENT, "#*", 1.0),
        (OLD, "#*", 1.0),
        (NEXT, "#*", 1.0),
    ],
)
async def test_finish_on_key_is_a_set_as_documented_and_one_key_in_fact(
    profile: Profile, finish_on_key: str, seconds: float
) -> None:
    verb = ListenVerb(finish_on_key=finish_on_key, pass_dtmf=True)
    keys = (DtmfPress(0.1, "1"), DtmfPress(0.3, "*"), DtmfPress(0.5, "#"))

    async with placed(CallPlan(target=NOWHERE, verb=verb, profile=profile, dtmf_presses=keys, duration=1.0)) as stage:
        await stage.connected()
        summary = await stage.finish()

    assert summary.samples == seconds * 8000
    pressed = [key.digit for key in keys if key.time <= seconds]
    # The key that ends the call is told of, too (protocol.md 4).
    assert [event["digit"] for event in stage.events.of("dtmf")] == pressed
    assert len(stage.far_end.texts) == len(pressed)
    assert summary.end == BY_US


async def test_disconnect_is_answered_with_close_1000() -> None:
    async with placed(CallPlan(target=NOWHERE)) as stage:
        await stage.connected()
        await stage.run(0.5)
        stage.far_end.say(frame(TEXT, b'{"type":"disconnect"}', mask=None))
        await stage.far_end.until(lambda: stage.far_end.left)
        summary = await stage.finish()

    assert stage.far_end.frames[-1].payload == b"\x03\xe8"
    assert (summary.end, summary.taken, summary.samples) == (BY_US, True, 26 * 160)


async def test_a_close_of_the_server_is_echoed_and_ends_the_call() -> None:
    async with placed(CallPlan(target=NOWHERE)) as stage:
        await stage.connected()
        stage.far_end.say(frame(CLOSE_OPCODE, b"\x03\xe9bye", mask=None))
        await stage.far_end.until(lambda: stage.far_end.left)
        summary = await stage.finish()

    assert stage.far_end.of(CLOSE) == [b"\x03\xe9bye"]
    assert (summary.end.by, summary.end.code, summary.end.reason) == ("server", 1001, "bye")


async def test_a_close_right_behind_the_handshake_is_echoed() -> None:
    far_end = FarEnd(lambda key: accept(key) + b"\x88\x02\x03\xe9")

    async with placed(CallPlan(target=NOWHERE), far_end) as stage:
        await stage.connected()
        await far_end.until(lambda: far_end.left)
        summary = await stage.finish()

    assert far_end.of(CLOSE) == [b"\x03\xe9"]
    assert (summary.end.by, summary.end.code) == ("server", 1001)


@pytest.mark.parametrize(("reset", "by"), [(False, "server"), (True, "nobody")], ids=["FIN", "RST"])
async def test_a_server_that_drops_the_connection_ends_the_call(*, reset: bool, by: str) -> None:
    async with placed(CallPlan(target=NOWHERE)) as stage:
        await stage.connected()
        await stage.far_end.until(lambda: bool(stage.far_end.of(AUDIO)))
        stage.far_end.vanish(reset=reset)
        await stage.far_end.until(lambda: stage.far_end.left)
        summary = await stage.finish()

    assert stage.far_end.of(CLOSE) == []
    assert (summary.end.by, summary.end.code) == (by, None)


async def test_what_waits_goes_out_before_the_close_and_the_rest_is_counted_as_lost() -> None:
    # 11.5 MB: more than the kernels and the buffer of jambonz hold, and a hang-up during the stall (protocol.md 13).
    verb = ListenVerb(mix_type="stereo", sample_rate=48_000)
    plan = CallPlan(target=NOWHERE, verb=verb, call_rate=48_000, caller="tone:440", duration=60.0)
    far_end = FarEnd()

    async with placed(plan, far_end) as stage:
        await stage.connected()
        far_end.stop_reading()
        stage.clock.release()
        await until(lambda: stage.call.snapshot().state == "closing")
        far_end.read_again()
        summary = await stage.running

    assert far_end.frames[-1].payload == b"\x03\xe8"
    assert summary.lost_samples > 0
    assert len(far_end.audio) == 4 * (summary.samples - summary.lost_samples)
    assert summary.taken


async def test_a_server_that_never_ends_its_side_has_not_taken_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "FAREWELL", 0.0)
    far_end = FarEnd()

    async with placed(CallPlan(target=NOWHERE, duration=0.5), far_end) as stage:
        await stage.connected()
        far_end.stop_reading()
        summary = await stage.finish()

    assert not summary.taken
    assert "didn't end the connection" in summary.end.detail


async def test_the_beep_is_over_before_the_server_is_connected_to() -> None:
    far_end = FarEnd()

    async with placed(CallPlan(target=NOWHERE, verb=ListenVerb(play_beep=True), duration=1.0), far_end) as stage:
        await stage.run(0.48)
        asked_while_it_beeps = far_end.asked.is_set()
        await stage.run(0.5)
        await stage.connected()
        summary = await stage.finish()

    assert not asked_while_it_beeps
    # Not a part of the call.
    assert len(far_end.of(AUDIO)) == FRAMES_OF_A_SECOND
    assert (summary.samples, stage.events.of("call-ended")[0]["duration"]) == (8000, pytest.approx(1.0))


async def test_an_interrupt_while_connecting_leaves_at_once() -> None:
    far_end = FarEnd(answers_at_once=False)

    async with placed(CallPlan(target=NOWHERE), far_end) as stage:
        await far_end.asked.wait()
        stage.running.cancel()
        await asyncio.wait([stage.running])

    assert stage.running.cancelled()
    assert far_end.left
    assert stage.events.of("connected") == stage.events.of("call-ended") == []


async def test_a_hang_up_while_connecting_ends_the_call_as_soon_as_it_begins() -> None:
    far_end = FarEnd(answers_at_once=False)

    async with placed(CallPlan(target=NOWHERE), far_end) as stage:
        await far_end.asked.wait()
        stage.call.hang_up()
        far_end.let_in()
        summary = await stage.finish()

    assert far_end.of(CLOSE) == [b"\x03\xe8"]
    assert summary.end == BY_US


async def test_the_action_hook_says_how_long_and_with_which_key() -> None:
    async with hooked() as hook:
        verb = ListenVerb(action_hook=ActionHook(hook.url), finish_on_key="#", metadata={"from": "else"})
        plan = CallPlan(target=NOWHERE, verb=verb, dtmf_presses=(DtmfPress(2.9, "#"),), caller_number="+15550100")
        async with placed(plan) as stage:
            await stage.connected()
            await stage.finish()

    (payload,) = hook.payloads
    assert (payload["dial_call_duration"], payload["digits"]) == (2, "#")
    # What jambonz knows, not what the metadata say instead.
    assert payload["from"] == "+15550100"
    assert payload["call_sid"] == stage.events.of("call-started")[0]["call_sid"]
    assert stage.events.of("action-hook")[0]["status"] == 204


async def test_without_a_finishing_key_the_action_hook_has_no_digits() -> None:
    async with hooked() as hook:
        verb = ListenVerb(action_hook=ActionHook(hook.url), finish_on_key="#")
        plan = CallPlan(target=NOWHERE, verb=verb, dtmf_presses=(DtmfPress(0.1, "1"),), duration=0.9)
        async with placed(plan) as stage:
            await stage.connected()
            await stage.finish()

    (payload,) = hook.payloads
    assert payload["dial_call_duration"] == 0
    assert "digits" not in payload


async def test_a_refused_call_calls_its_action_hook_without_a_duration() -> None:
    async with hooked() as hook:
        plan = CallPlan(target=NOWHERE, verb=ListenVerb(action_hook=ActionHook(hook.url)))
        async with placed(plan, FarEnd(refuse)) as stage:
            with pytest.raises(RefusedError, match="refused with 403 Forbidden"):
                await stage.running

    (payload,) = hook.payloads
    assert "dial_call_duration" not in payload
    assert payload["direction"] == "inbound"
    assert stage.events.of("call-ended") == []


async def test_the_time_until_a_server_has_said_goodbye_is_no_part_of_the_call() -> None:
    async with hooked() as hook:
        plan = CallPlan(target=NOWHERE, verb=ListenVerb(action_hook=ActionHook(hook.url)), duration=0.9)
        far_end = FarEnd()
        async with placed(plan, far_end) as stage:
            await stage.connected()
            far_end.stop_reading()
            stage.clock.release()
            await until(lambda: stage.call.snapshot().state == "closing")
            stage.clock.advance(4.0)
            far_end.read_again()
            await stage.running

    assert hook.payloads[0]["dial_call_duration"] == 0
    assert stage.events.of("call-ended")[0]["duration"] == pytest.approx(0.9)


class _BrokenSource:
    """A caller that can't be heard any more after two frames."""

    def __init__(self) -> None:
        self._frames = 2

    async def read(self, samples: int) -> bytes:
        if not self._frames:
            raise ListenctlError("microphone: is gone")
        self._frames -= 1
        return bytes(2 * samples)

    async def close(self) -> None:
        pass


async def test_a_caller_whose_sound_fails_hangs_up_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_broken(*_: object, **__: object) -> _BrokenSource:
        return _BrokenSource()

    monkeypatch.setattr(call_audio, "open_source", open_broken)
    far_end = FarEnd()

    async with placed(CallPlan(target=NOWHERE), far_end) as stage:
        await stage.connected()
        with pytest.raises(ListenctlError, match="microphone: is gone"):
            await stage.finish()

    assert far_end.of(CLOSE) == [b"\x03\xe8"]
    ended = stage.events.of("call-ended")[0]
    assert (ended["cause"], ended["frames"]) == ("audio-failed", 2)
