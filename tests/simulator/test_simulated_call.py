"""How a simulated call begins, what it sends, plays and reports, and how it ends."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from listenctl.errors import ListenctlError, RefusedError
from listenctl.events import Reporter
from listenctl.net.client_connection import ConnectionEnd
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, Profile
from listenctl.protocol.listen_verb.listen_verb import ActionHook, BidirectionalAudio, ListenVerb
from listenctl.simulator import simulated_audio
from listenctl.simulator.call_snapshot import CallSnapshot
from listenctl.simulator.injected_faults import parse_fault
from listenctl.simulator.plan import CallPlan, DtmfPress
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_log import SimulatedCallResult
from tests.helpers.action_hooks import HookServer, serving_hooks
from tests.helpers.frames import BINARY, TEXT, FrameCutter, WireFrame, frame
from tests.helpers.playout import play, tone
from tests.helpers.scripted_server import accept, read_request, serving, target
from tests.helpers.server import Event, Events, reset_connection
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time

FIRST_OF_TEXT, AUDIO, CLOSE = 0x81, 0x82, 0x88
NOWHERE = CallTarget(address=parse_websocket_url("ws://127.0.0.1/"))
BY_US = ConnectionEnd("jambonz", 1000)
STREAMING = BidirectionalAudio(streaming=True, sample_rate=8000)
MARK = b'{"type":"mark","data":{"name":"m"}}'
CLOSE_BYE = b"\x88\x05\x03\xe9bye"

ServerAction = Callable[[asyncio.StreamWriter], None]
CallAction = Callable[[SimulatedCall], None]


def command(text: bytes) -> bytes:
    return frame(TEXT, text, mask=None)


def audio(samples: bytes) -> bytes:
    return frame(BINARY, samples, mask=None)


class FarEnd:
    """
    The server of one call; times are seconds since it was called.

    Args:
        actions: what it does and when.
        answer: to the handshake, made of its key, at ``answers_at``.
        pause: from when to when it reads nothing.
    """

    def __init__(
        self,
        actions: Mapping[float, bytes | ServerAction] | None = None,
        *,
        answer: Callable[[bytes], bytes] = accept,
        answers_at: float = 0.0,
        pause: tuple[float, float] | None = None,
    ) -> None:
        self.called_at = 0.0
        self.frames: list[WireFrame] = []
        self.rest = b""
        """The first bytes of a frame whose end never came."""
        self.left = False
        """The client has ended its side."""
        self._actions = actions or {}
        self._answer = answer
        self._answers_at = answers_at
        self._pause = pause

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the call; a Close is answered when the client has ended its side."""
        self.called_at = simulated_loop().time()
        _, key = await read_request(reader)
        await asyncio.sleep(self._answers_at)
        writer.write(self._answer(key))
        loop, transport = simulated_loop(), writer.transport
        for time, action in self._actions.items():
            if isinstance(action, bytes):
                loop.call_later(time, writer.write, action)
            else:
                loop.call_later(time, action, writer)
        if self._pause is not None:
            assert isinstance(transport, asyncio.Transport)
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            loop.call_later(self._pause[0], transport.pause_reading)
            loop.call_later(self._pause[1], transport.resume_reading)
        cutter = FrameCutter()
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                self.frames += cutter.feed(data)
                self.rest = cutter.rest
        self.left = True
        if self.of(CLOSE):
            writer.write(b"\x88\x02\x03\xe8")

    def of(self, first: int) -> list[bytes]:
        """Return what stood in the frames of one kind."""
        return [one.payload for one in self.frames if one.first == first]

    @property
    def audio(self) -> bytes:
        return b"".join(self.of(AUDIO))

    @property
    def texts(self) -> list[str]:
        """The texts after the first."""
        return [text.decode() for text in self.of(FIRST_OF_TEXT)[1:]]


class Stage:
    """A call of ``plan``, whatever its target, and its server."""

    def __init__(self, plan: CallPlan, far_end: FarEnd | None = None) -> None:
        self.events = Events()
        self.far_end = far_end or FarEnd()
        self._plan = plan

    async def hold(self, actions: Mapping[float, CallAction] | None = None) -> SimulatedCallResult:
        """Place the call and hold it to its end; ``actions`` are done to it so many seconds after its start."""
        async with serving(self.far_end.serve) as port:
            call = SimulatedCall(replace(self._plan, target=target(port)), Reporter(self.events))
            for time, action in (actions or {}).items():
                simulated_loop().call_later(time, action, call)
            return await call.run()

    def event(self, kind: str) -> Event:
        """Return the only event of a kind."""
        (event,) = self.events.of(kind)
        return event


async def held(plan: CallPlan, far_end: FarEnd | None = None) -> tuple[Stage, SimulatedCallResult]:
    stage = Stage(plan, far_end)
    return stage, await stage.hold()


# What it sends, plays and reports.


async def test_a_handshake_longer_than_the_buffer_costs_all_that_waited_and_eight_samples() -> None:
    plan = CallPlan(target=NOWHERE, caller="tone:440", duration=3.0)

    stage, result = await held(plan, FarEnd(answers_at=2.501))

    assert stage.far_end.frames[0].first == FIRST_OF_TEXT
    # No multiple of a frame (listenctl-protocol(7) 13).
    assert len(stage.far_end.of(AUDIO)[0]) == 8304
    assert result.lost_samples == 16_008
    gap = stage.event("gap")
    assert (gap["kind"], gap["missing"], gap["length"]) == ("hole", 16_008, 2.001)
    assert len(stage.far_end.audio) == 2 * result.samples


@pytest.mark.parametrize(
    ("sample_rate", "mix_type", "ptime", "sizes"),
    [
        (8000, "stereo", 0.02, [640] * 6),
        (48000, "stereo", 0.02, [3840] * 6),
        (11025, "mono", 0.02, [440, 442] * 3),
        (11025, "mono", 0.03, [660, 662, 662, 662]),
        (8000, "mixed", 0.01, [160] * 12),
        (8000, "mono", 0.03, [480] * 4),
        (16000, "mono", 0.06, [1920] * 2),
    ],
)
async def test_a_message_is_a_frame_of_the_call(
    sample_rate: int, mix_type: str, ptime: float, sizes: list[int]
) -> None:
    verb = ListenVerb(sample_rate=sample_rate, mix_type=mix_type)

    stage, _ = await held(CallPlan(target=NOWHERE, verb=verb, ptime=ptime, duration=0.12))

    # listenctl-protocol(7) 13
    assert [len(message) for message in stage.far_end.of(AUDIO)] == sizes


async def test_a_late_frame_does_not_delay_those_after_it() -> None:
    stage = Stage(CallPlan(target=NOWHERE, duration=2.0))

    await stage.hold({1.001: lambda _: simulated_loop().advance(0.269)})

    ended = stage.event("call-ended")
    assert (ended["frames"], ended["duration"]) == (100, 2.0)
    # The frame of 1.02 s leaves at 1.27 s, and twelve catch up.
    assert ended["lateness_ms"]["max"] == pytest.approx(250)
    assert ended["lateness_ms"]["p50"] == pytest.approx(0, abs=0.1)


KILL = b'{"type":"killAudio"}'


@pytest.mark.parametrize(
    ("pause", "block", "faults", "wrong"),
    [
        (0.002, 0.0, (), 1),
        (0.1, 0.0, (), 0),
        (0.1, 0.269, (), 0),
        (0.002, 0.0, ("slow-reader=1000000",), 0),
    ],
    ids=["too soon", "in time", "in time, but we are late", "we read late"],
)
async def test_audio_after_a_kill_is_too_soon_only_if_that_is_the_servers_doing(
    pause: float, block: float, faults: tuple[str, ...], wrong: int
) -> None:
    verb = ListenVerb(bidirectional=STREAMING)
    plan = CallPlan(target=NOWHERE, verb=verb, duration=2.0, faults=tuple(map(parse_fault, faults)))
    sound = tone(3200)
    far_end = FarEnd({0.0: audio(tone(24_000)), 1.005: command(KILL), 1.005 + pause: audio(sound)})

    stage = Stage(plan, far_end)
    await stage.hold({1.001: lambda _: simulated_loop().advance(block)} if block else None)

    too_soon = [one for one in stage.events.of("verdict") if one["reason"] == "too-soon"]
    assert len(too_soon) == (pause == 0.002 or block > 0)
    assert sum(one["wrong"] for one in too_soon) == wrong
    assert all("perhaps only because" in one["detail"] for one in too_soon) == (wrong == 0)


@pytest.mark.parametrize("mix_type", ["stereo", "mixed"])
async def test_streamed_audio_is_heard_but_not_sent_back(mix_type: str) -> None:
    plan = CallPlan(target=NOWHERE, verb=ListenVerb(mix_type=mix_type, bidirectional=STREAMING), duration=1.0)
    stage = Stage(plan, FarEnd({0.0: audio(tone(1600, 8000))}))
    snapshots: list[CallSnapshot] = []

    await stage.hold({0.101: lambda call: snapshots.append(call.snapshot())})

    # listenctl-protocol(7) 3.1
    assert not stage.far_end.audio.strip(b"\0")
    assert snapshots[0].heard is not None
    assert snapshots[0].heard[0].peak_db == pytest.approx(-12.25, abs=0.01)


@pytest.mark.parametrize(
    ("profile", "duration"), [(CURRENT, '"1600"'), (OLD, '"1600"'), (NEXT, "200"), (IDEAL, "200")], ids=str
)
async def test_a_digit_is_sent_in_the_form_of_the_implementation(profile: Profile, duration: str) -> None:
    verb = ListenVerb(pass_dtmf=True)
    presses = (DtmfPress(0.1, "2"),)
    stage = Stage(CallPlan(target=NOWHERE, verb=verb, profile=profile, dtmf_presses=presses, duration=0.5))

    # The second is pressed on the keyboard.
    await stage.hold({0.3: lambda call: call.press_digit("#")})

    form = '{{"event":"dtmf","dtmf":"{}","duration":{}}}'
    assert stage.far_end.texts == [form.format("2", duration), form.format("#", duration)]
    pressed, _ = stage.events.of("dtmf")
    assert (pressed["digit"], pressed["duration_ms"], pressed["position"]) == ("2", 200, 800)
    # In its place among the frames.
    assert [one.first for one in stage.far_end.frames].index(FIRST_OF_TEXT, 1) == 6


async def test_a_digit_that_is_not_passed_is_warned_of_and_not_sent() -> None:
    stage, _ = await held(CallPlan(target=NOWHERE, dtmf_presses=(DtmfPress(0.1, "2"),), duration=0.5))

    assert stage.far_end.texts == []
    assert stage.event("warning")["rule"] == "dtmf-not-passed"
    assert stage.event("call-ended")["digits"] == "2"


async def test_a_mark_is_answered_and_its_round_trip_reported() -> None:
    plan = CallPlan(target=NOWHERE, verb=ListenVerb(bidirectional=STREAMING), duration=2.0)
    stage = Stage(plan, FarEnd({0.0: audio(tone(1280, 8000)) + command(MARK)}))
    snapshots: list[CallSnapshot] = []

    await stage.hold({0.01: lambda call: snapshots.append(call.snapshot())})

    assert snapshots[0].marks == ("m",)
    assert stage.far_end.texts == ['{"type": "mark", "data": {"name":"m", "event": "playout"}}']
    mark = stage.event("mark")
    assert (mark["name"], mark["result"]) == ("m", "playout")
    # 160 ms of audio, and the tick at which the buffer is found empty.
    assert mark["round_trip"] == pytest.approx(0.18, abs=0.021)


async def test_each_command_gets_a_verdict_with_its_number_and_type() -> None:
    commands = (
        play(tone(160), id="c"),
        b'{"type":"playAudio","data":{"audioContent":"AADo","sampleRate":8000}}',
        b'{"type":"KILLAUDIO"}',
        b'{"type":"killAudio"}',
    )

    stage, result = await held(CallPlan(target=NOWHERE, duration=1.0), FarEnd({0.0: b"".join(map(command, commands))}))

    fields = ("number", "command", "outcome", "reason", "wrong")
    assert [tuple(one[field] for field in fields) for one in stage.events.of("verdict")] == [
        (1, "playAudio", "played", "", False),
        (2, "playAudio", "would-crash", "no-content-type", True),
        (3, "KILLAUDIO", "ignored", "unknown-type", True),
        (1, "playAudio", "interrupted", "killed", False),
        (4, "killAudio", "obeyed", "", False),
    ]
    assert result.wrong == 2
    ended = stage.event("call-ended")
    assert (ended["commands"], ended["wrong"]) == (4, 2)


async def test_the_first_text_and_the_events_have_the_same_metadata() -> None:
    verb = ListenVerb(mix_type="stereo", sample_rate=16000, metadata={"foo": "bar"})

    stage, _ = await held(CallPlan(target=NOWHERE, verb=verb, duration=0.1))

    started = stage.event("call-started")
    assert json.loads(stage.far_end.of(FIRST_OF_TEXT)[0]) == started["metadata"]
    assert (started["sample_rate"], started["channels"], started["metadata_valid"]) == (16000, 2, True)
    assert started["metadata"]["foo"] == "bar"
    assert {event["call_sid"] for event in stage.events.all} == {started["metadata"]["callSid"]}


async def test_a_snapshot_shows_the_call_as_it_is() -> None:
    plan = CallPlan(target=NOWHERE, verb=ListenVerb(pass_dtmf=True), caller="tone:440", duration=2.0)
    snapshots: list[CallSnapshot] = []
    calls: list[SimulatedCall] = []

    def look(call: SimulatedCall) -> None:
        calls.append(call)
        snapshots.append(call.snapshot())

    await Stage(plan, FarEnd(answers_at=0.1)).hold({0.0: look, 1.0: lambda call: call.press_digit("5"), 1.001: look})

    before, during = snapshots
    assert (before.state, before.sent) == ("connecting", None)
    assert (during.state, during.digits) == ("live", "5")
    assert during.elapsed == pytest.approx(1.0, abs=0.01)
    assert during.sent is not None
    assert calls[0].snapshot().state == "ended"


# How it ends.


@pytest.mark.parametrize(
    ("profile", "finish_on_key", "seconds"),
    [
        (CURRENT, "#", 0.5),
        (IDEAL, "#*", 0.3),
        # Compared with one digit (listenctl-protocol(7) 7).
        (CURRENT, "#*", 1.0),
    ],
)
async def test_finish_on_key_is_a_set_as_documented_and_one_digit_in_fact(
    profile: Profile, finish_on_key: str, seconds: float
) -> None:
    verb = ListenVerb(finish_on_key=finish_on_key, pass_dtmf=True)
    presses = (DtmfPress(0.1, "1"), DtmfPress(0.3, "*"), DtmfPress(0.5, "#"))

    stage, result = await held(CallPlan(target=NOWHERE, verb=verb, profile=profile, dtmf_presses=presses, duration=1.0))

    assert result.samples == seconds * 8000
    pressed = [press.digit for press in presses if press.time <= seconds]
    # The digit that ends the call is sent, too (listenctl-protocol(7) 4).
    assert [event["digit"] for event in stage.events.of("dtmf")] == pressed
    assert len(stage.far_end.texts) == len(pressed)
    assert result.end == BY_US


async def test_disconnect_is_answered_with_close_1000() -> None:
    stage, result = await held(CallPlan(target=NOWHERE), FarEnd({0.501: command(b'{"type":"disconnect"}')}))

    assert stage.far_end.frames[-1].payload == b"\x03\xe8"
    assert (result.end, result.taken, result.samples) == (BY_US, True, 26 * 160)


@pytest.mark.parametrize(
    ("far_end", "echoed", "end"),
    [
        (FarEnd({0.1: CLOSE_BYE}), [b"\x03\xe9bye"], ("server", 1001, "bye")),
        (FarEnd(answer=lambda key: accept(key) + CLOSE_BYE), [b"\x03\xe9bye"], ("server", 1001, "bye")),
        (FarEnd({0.1: asyncio.StreamWriter.write_eof}), [], ("server", None, "")),
        (FarEnd({0.1: reset_connection}), [], ("nobody", None, "")),
    ],
    ids=["Close", "Close right behind the handshake", "FIN", "RST"],
)
async def test_a_server_that_ends_the_connection_ends_the_call(
    far_end: FarEnd, echoed: list[bytes], end: tuple[str, int | None, str]
) -> None:
    stage, result = await held(CallPlan(target=NOWHERE), far_end)

    assert stage.far_end.of(CLOSE) == echoed
    assert (result.end.by, result.end.code, result.end.reason) == end


async def test_a_fault_is_reported_before_a_server_ends_the_call_over_it() -> None:
    plan = CallPlan(target=NOWHERE, faults=(parse_fault("first-frame-cut"),))

    stage, _ = await held(plan, FarEnd(answer=lambda key: accept(key) + b"\x88\x02\x03\xef"))

    assert stage.event("fault")["name"] == "first-frame-cut"
    assert stage.event("call-ended")["close_code"] == 1007


async def test_unsent_audio_leaves_before_the_close_and_the_rest_is_lost() -> None:
    # 11.5 MB: more than the kernels and the buffer of jambonz hold; the hang-up comes during the stall
    # (listenctl-protocol(7) 13).
    verb = ListenVerb(mix_type="stereo", sample_rate=48_000)
    plan = CallPlan(target=NOWHERE, verb=verb, call_rate=48_000, caller="tone:440", duration=60.0)

    stage, result = await held(plan, FarEnd(pause=(0.1, 61.0)))

    assert stage.far_end.frames[-1].payload == b"\x03\xe8"
    assert result.lost_samples > 0
    assert len(stage.far_end.audio) == 4 * result.samples
    assert result.taken


async def test_what_a_server_never_takes_was_not_sent() -> None:
    verb = ListenVerb(mix_type="stereo", sample_rate=48_000)
    plan = CallPlan(target=NOWHERE, verb=verb, call_rate=48_000, caller="tone:440", duration=60.0)

    stage, result = await held(plan, FarEnd(pause=(0.1, 66.0)))

    # The message that the server was taking came in part.
    arrived = len(stage.far_end.audio) + len(stage.far_end.rest)
    assert 4 * result.samples == pytest.approx(arrived, abs=64)
    assert result.samples + result.lost_samples == 60 * 48_000
    assert not result.taken


async def test_a_server_that_never_ends_its_side_has_not_taken_the_call() -> None:
    _, result = await held(CallPlan(target=NOWHERE, duration=0.5), FarEnd(pause=(0.1, 20.0)))

    assert not result.taken
    assert "didn't end the connection" in result.end.detail


async def test_the_beep_is_over_before_the_server_is_connected_to() -> None:
    started = simulated_loop().time()

    stage, result = await held(CallPlan(target=NOWHERE, verb=ListenVerb(play_beep=True), duration=1.0))

    assert stage.far_end.called_at - started == pytest.approx(0.5)
    # Not a part of the call.
    assert len(stage.far_end.of(AUDIO)) == 50
    assert (result.samples, stage.event("call-ended")["duration"]) == (8000, pytest.approx(1.0))


async def test_an_interrupt_while_connecting_leaves_at_once() -> None:
    stage = Stage(CallPlan(target=NOWHERE), FarEnd(answers_at=5.0))

    with pytest.raises(asyncio.CancelledError):
        await stage.hold({0.1: SimulatedCall.interrupt})

    assert stage.events.of("connected") == stage.events.of("call-ended") == []


async def test_a_hang_up_while_connecting_ends_the_call_as_soon_as_it_begins() -> None:
    stage = Stage(CallPlan(target=NOWHERE), FarEnd(answers_at=5.0))

    result = await stage.hold({0.1: SimulatedCall.hang_up})

    assert stage.far_end.of(CLOSE) == [b"\x03\xe8"]
    assert result.end == BY_US


async def test_max_length_counts_from_the_start_and_not_from_the_connection() -> None:
    stage, result = await held(CallPlan(target=NOWHERE, verb=ListenVerb(max_length=1.0)), FarEnd(answers_at=0.7))

    assert (result.samples, result.end) == (8000, BY_US)
    assert stage.event("call-ended")["duration"] == pytest.approx(1.0)


# The action hook.


@asynccontextmanager
async def hooked() -> AsyncIterator[HookServer]:
    """Serve an action hook; time waits for the thread that calls it."""
    simulated_loop().wait_while(lambda: any(thread.name == "action-hook" for thread in threading.enumerate()))
    async with serving_hooks() as hook:
        yield hook


def posted(hook: HookServer) -> Event:
    """Return the only payload that was posted."""
    ((_, _, body),) = hook.requests
    payload: Event = json.loads(body)
    return payload


async def test_the_action_hook_has_the_duration_and_the_digit() -> None:
    async with hooked() as hook:
        verb = ListenVerb(action_hook=ActionHook(hook.url), finish_on_key="#", metadata={"from": "else"})
        presses = (DtmfPress(2.9, "#"),)
        stage, _ = await held(CallPlan(target=NOWHERE, verb=verb, dtmf_presses=presses, caller_number="+15550100"))

    payload = posted(hook)
    assert (payload["dial_call_duration"], payload["digits"]) == (2, "#")
    # What jambonz knows, not what the metadata say instead.
    assert payload["from"] == "+15550100"
    assert payload["call_sid"] == stage.event("call-started")["call_sid"]
    assert stage.event("action-hook")["status"] == 204


async def test_the_action_hook_of_a_short_call_has_no_digits() -> None:
    async with hooked() as hook:
        verb = ListenVerb(action_hook=ActionHook(hook.url), finish_on_key="#")
        plan = CallPlan(target=NOWHERE, verb=verb, dtmf_presses=(DtmfPress(0.1, "1"),), duration=0.9)
        # The time until the server has closed is no part of the call.
        stage, _ = await held(plan, FarEnd(pause=(0.1, 4.9)))

    payload = posted(hook)
    assert payload["dial_call_duration"] == 0
    assert "digits" not in payload
    assert stage.event("call-ended")["duration"] == pytest.approx(0.9)


async def test_a_refused_call_calls_its_action_hook_without_a_duration() -> None:
    far_end = FarEnd(answer=lambda _: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    async with hooked() as hook:
        stage = Stage(CallPlan(target=NOWHERE, verb=ListenVerb(action_hook=ActionHook(hook.url))), far_end)
        with pytest.raises(RefusedError, match="refused with 403 Forbidden"):
            await stage.hold()

    payload = posted(hook)
    assert "dial_call_duration" not in payload
    assert payload["direction"] == "inbound"
    assert stage.events.of("call-ended") == []


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

    monkeypatch.setattr(simulated_audio, "open_source", open_broken)
    stage = Stage(CallPlan(target=NOWHERE))

    with pytest.raises(ListenctlError, match="microphone: is gone"):
        await stage.hold()

    assert stage.far_end.of(CLOSE) == [b"\x03\xe8"]
    ended = stage.event("call-ended")
    assert (ended["cause"], ended["frames"]) == ("audio-failed", 2)
