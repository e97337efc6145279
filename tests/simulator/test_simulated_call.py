"""How a simulated call begins, what it sends, plays and reports, and how it ends."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from listenctl.errors import ListenctlError, RefusedError
from listenctl.events import Reporter
from listenctl.net.call_target import CallTarget
from listenctl.net.client_connection import ConnectionEnd
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, Profile
from listenctl.protocol.listen_verb.listen_verb import ActionHook, BidirectionalAudio, ListenVerb
from listenctl.simulator import simulated_audio, simulated_call
from listenctl.simulator.plan import CallPlan, DtmfPress
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_log import SimulatedCallResult
from tests.helpers.frames import BINARY, TEXT, frame
from tests.helpers.frames import CLOSE as CLOSE_OPCODE
from tests.helpers.playout import play, tone
from tests.helpers.scripted_server import accept, read_request, serving, target
from tests.helpers.server import Event, Events
from tests.helpers.simulated_time import simulated_loop
from tests.helpers.wire_frames import FrameCutter, WireFrame

pytestmark = pytest.mark.simulated_time

AUDIO, CLOSE = 0x82, 0x88
FIRST_OF_TEXT = 0x81
NOWHERE = CallTarget(address=parse_websocket_url("ws://127.0.0.1/"))
FRAMES_OF_A_SECOND = 50
BY_US = ConnectionEnd("jambonz", 1000)
STREAMING = BidirectionalAudio(streaming=True, sample_rate=8000)


class FarEnd:
    """
    The server of one call.

    Args:
        answer: to the handshake, made of its key.
        answers_at_once: whether the handshake is answered before the test says ``let_in``.
    """

    def __init__(self, answer: Callable[[bytes], bytes] = accept, *, answers_at_once: bool = True) -> None:
        self.asked = asyncio.Event()
        self.frames: list[WireFrame] = []
        self.left = False
        """The client has ended its side."""
        self._answer = answer
        self._let_in = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()
        self._changed = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        if answers_at_once:
            self.let_in()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the call; a Close is answered when the client has ended its side."""
        self._writer = writer
        _, key = await read_request(reader)
        self.asked.set()
        await self._wait_or_end(reader)
        writer.write(self._answer(key))
        cutter = FrameCutter()
        await self._reads.wait()
        while data := await _read(reader):
            self.frames += cutter.feed(data)
            self._changed.set()
            await self._reads.wait()
        self.left = True
        self._changed.set()
        if self.of(CLOSE):
            writer.write(b"\x88\x02\x03\xe8")

    async def _wait_or_end(self, reader: asyncio.StreamReader) -> None:
        """Wait until the client may come in, or doesn't want to any more."""
        letting = asyncio.create_task(self._let_in.wait())
        leaving = asyncio.create_task(reader.read(1))
        await asyncio.wait([letting, leaving], return_when=asyncio.FIRST_COMPLETED)
        self.left = leaving.done() and not self._let_in.is_set()
        for task in (letting, leaving):
            task.cancel()
        await asyncio.wait([letting, leaving])

    def let_in(self) -> None:
        """Answer the handshake."""
        self._let_in.set()

    def stop_reading(self) -> None:
        """Read nothing until the test says ``read_again``; the kernel takes no more for us than it has room for now."""
        assert self._writer is not None
        connection: socket.socket = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self._reads.clear()

    def read_again(self) -> None:
        """Read on."""
        self._reads.set()

    def say(self, *frames: bytes) -> None:
        """Send frames."""
        assert self._writer is not None
        self._writer.write(b"".join(frames))

    def vanish(self, *, reset: bool) -> None:
        """End the connection without a Close."""
        assert self._writer is not None
        if reset:
            connection: socket.socket = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        else:
            self._writer.write_eof()

    def of(self, first: int) -> list[bytes]:
        """Return what stood in the frames of one kind so far."""
        return [frame.payload for frame in self.frames if frame.first == first]

    @property
    def audio(self) -> bytes:
        """All audio so far."""
        return b"".join(self.of(AUDIO))

    @property
    def texts(self) -> list[str]:
        """The texts behind the first so far."""
        return [text.decode() for text in self.of(FIRST_OF_TEXT)[1:]]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what came makes ``condition`` true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except ConnectionError:
        return b""


@dataclass(frozen=True, slots=True)
class Stage:
    """A call that has been placed."""

    call: SimulatedCall
    running: asyncio.Task[SimulatedCallResult]
    started_at: float
    events: Events
    far_end: FarEnd

    async def connected(self) -> None:
        await self.events.wait_for("call-started")

    async def run(self, seconds: float) -> None:
        """Let the call go on to that time, the frame that is due then included."""
        await asyncio.sleep(self.started_at + seconds + 0.001 - simulated_loop().time())

    async def finish(self) -> SimulatedCallResult:
        return await self.running


@asynccontextmanager
async def placed(plan: CallPlan, far_end: FarEnd | None = None) -> AsyncIterator[Stage]:
    """Place a call of ``plan``, whatever its target."""
    far_end, events = far_end or FarEnd(), Events()
    async with serving(far_end.serve) as port:
        call = SimulatedCall(replace(plan, target=target(port)), Reporter(events))
        running = asyncio.create_task(call.run())
        try:
            yield Stage(call, running, simulated_loop().time(), events, far_end)
        finally:
            far_end.read_again()
            far_end.let_in()
            running.cancel()
            await asyncio.wait([running])


@dataclass(slots=True)
class Hook:
    """A web server that takes action hooks: where to post to, and what has been posted."""

    url: str = ""
    payloads: list[Event] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        _, _, rest = head.partition("content-length: ")
        self.payloads.append(json.loads(await reader.readexactly(int(rest.split("\r\n")[0]))))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


@asynccontextmanager
async def hooked() -> AsyncIterator[Hook]:
    """Serve an action hook; time waits for the thread that calls it."""
    simulated_loop().wait_while(lambda: any(thread.name == "action-hook" for thread in threading.enumerate()))
    hook = Hook()
    async with serving(hook.serve) as port:
        hook.url = f"http://127.0.0.1:{port}/done"
        yield hook


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
        simulated_loop().advance(0.269)
        await stage.finish()

    (ended,) = stage.events.of("call-ended")
    assert (ended["frames"], ended["duration"]) == (100, 2.0)
    # The frame of 1.02 s leaves at 1.27 s, and twelve catch up.
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
    assert json.loads(stage.far_end.of(FIRST_OF_TEXT)[0]) == started["metadata"]
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
    assert during.elapsed == pytest.approx(1.0, abs=0.01)
    assert during.sent is not None
    assert stage.call.snapshot().state == "ended"


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
        await stage.run(60.0)
        far_end.read_again()
        summary = await stage.running

    assert far_end.frames[-1].payload == b"\x03\xe8"
    assert summary.lost_samples > 0
    assert len(far_end.audio) == 4 * (summary.samples - summary.lost_samples)
    assert summary.taken


async def test_a_server_that_never_ends_its_side_has_not_taken_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_call, "CLOSE_TIMEOUT", 0.0)
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
            await stage.run(0.9)
            await asyncio.sleep(4.0)
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

    monkeypatch.setattr(simulated_audio, "open_source", open_broken)
    far_end = FarEnd()

    async with placed(CallPlan(target=NOWHERE), far_end) as stage:
        await stage.connected()
        with pytest.raises(ListenctlError, match="microphone: is gone"):
            await stage.finish()

    assert far_end.of(CLOSE) == [b"\x03\xe8"]
    ended = stage.events.of("call-ended")[0]
    assert (ended["cause"], ended["frames"]) == ("audio-failed", 2)
