"""The simulated call, in real time, against what a real media server put on the wire."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from listenctl.events import Reporter
from listenctl.net.call_target import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.simulator.plan import CallPlan, DtmfPress
from listenctl.simulator.simulated_call import SimulatedCall
from tests.helpers.cli import service
from tests.helpers.recorded_server import RecordedServer, recorded_frames, recorded_request
from tests.helpers.scripted_server import accept, read_request, serving
from tests.helpers.server import Events
from tests.helpers.wire_frames import WireFrame, cut_frames

MONO = "a_mono8k_sip"
STREAMED = "c2_bidir_stream8k_marks_nominus1"
CLIPS = "e_playaudio_featureserver"

TEXT, AUDIO, CLOSE = 0x81, 0x82, 0x88
FRAME = (AUDIO, True, 320)
KEY = re.compile(rb"(?<=Sec-WebSocket-Key: )\S+")
NOWHERE = CallTarget(address=parse_websocket_url("ws://127.0.0.1/"))

CALM = 0.015
"""Seconds; a machine that is later than that says nothing about us, and is asked once more."""
MARKS_WITHIN = 0.04
CLIPS_WITHIN = 0.1


@dataclass(frozen=True, slots=True)
class Call:
    """What the server saw of one call; ``lateness`` is that of the machine, on either side."""

    request: bytes
    frames: list[WireFrame]
    events: Events
    lateness: float
    all_said: bool = True

    @property
    def answers(self) -> list[WireFrame]:
        """The texts behind the first."""
        return [frame for frame in self.frames if frame.first == TEXT][1:]


async def when_calm(place: Callable[[], Awaitable[Call]]) -> Call:
    """Return a call on a machine that had time for it, if there is one among two."""
    call = await place()
    return call if call.lateness <= CALM else await place()


def lateness_of(events: Events) -> float:
    """Return how late the engine was, in seconds; what is said before the handshake is done waits for it."""
    (connected,) = events.of("connected")
    (ended,) = events.of("call-ended")
    worst: float = max(connected["handshake_ms"]["total"], ended["lateness_ms"]["max"])
    return worst / 1000


class SilentServer:
    """Takes a call, and says nothing until the stream of the client has ended."""

    def __init__(self) -> None:
        self.request = b""
        self.stream = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request, key = await read_request(reader)
        writer.write(accept(key))
        # Returns at FIN: nobody has answered the Close before.
        self.stream = await reader.read()
        writer.write(b"\x88\x02\x03\xe8")

    def call(self, events: Events) -> Call:
        return Call(self.request, cut_frames(self.stream), events, lateness_of(events))


async def call_silent_server() -> Call:
    server, events = SilentServer(), Events()
    plan = CallPlan(target=NOWHERE, caller="speech", duration=2.0)
    async with serving(server.serve) as port:
        await SimulatedCall(to(plan, port), Reporter(events)).run()
    return server.call(events)


async def call_recorded_server(name: str, plan: CallPlan) -> Call:
    server, events = RecordedServer(name), Events()
    async with serving(server.serve) as port:
        await SimulatedCall(to(plan, port), Reporter(events)).run()
    lateness = max(server.lateness, lateness_of(events))
    return Call(server.request, server.frames, events, lateness, server.silent)


def to(plan: CallPlan, port: int) -> CallPlan:
    return replace(plan, target=CallTarget(address=parse_websocket_url(url(port))))


def url(port: int) -> str:
    return f"ws://127.0.0.1:{port}/media?call=1"


def assert_on_the_wire_as_recorded(call: Call, frames: int) -> None:
    """Compare with capture ``a``: all but the key, what the texts say, and the sound."""
    text, *audio, end = recorded_frames(MONO)
    first_text, *sent, close = call.frames
    assert KEY.sub(b"KEY", call.request) == KEY.sub(b"KEY", recorded_request(MONO))
    assert (first_text.first, first_text.masked) == (text.first, text.masked) == (TEXT, True)
    # The real caller had a `callerId`, which is there when it has a value (protocol.md 2.2).
    names = [name for name in json.loads(text.payload) if name != "callerId"]
    assert list(json.loads(first_text.payload)) == names
    assert {frame.shape for frame in audio} == {FRAME}
    assert [frame.shape for frame in sent] == [FRAME] * frames
    assert close.shape == end.shape == (CLOSE, True, 2)
    assert close.payload == end.payload == b"\x03\xe8"


async def test_a_call_is_on_the_wire_what_a_media_server_sends() -> None:
    call = await when_calm(call_silent_server)

    assert_on_the_wire_as_recorded(call, frames=100)


async def test_the_command_line_puts_the_same_on_the_wire(tmp_path: Path) -> None:
    async def place() -> Call:
        server, events = SilentServer(), Events()
        async with serving(server.serve) as port:
            options = ["--audio", "speech", "--duration", "2", "--json"]
            async with service("call", url(port), *options, home=tmp_path) as process:
                async for line in process.events:
                    events(json.loads(line))
                status, said = await process.status()
        assert (status, said) == (0, "")
        return server.call(events)

    call = await when_calm(place)

    assert_on_the_wire_as_recorded(call, frames=100)


def recorded_keys(name: str) -> tuple[DtmfPress, ...]:
    """Return the keys that the caller of a capture pressed; their durations are in RTP units."""
    texts = [(frame.time, json.loads(frame.payload)) for frame in recorded_frames(name) if frame.first == TEXT]
    pressed = [(time, text) for time, text in texts if text.get("event") == "dtmf"]
    return tuple(DtmfPress(time, text["dtmf"], int(text["duration"]) / 8000) for time, text in pressed)


def assert_answered_as_recorded(name: str, call: Call, *, untrusted: frozenset[str] = frozenset()) -> None:
    """Compare texts, their order and their times; of a playDone in ``untrusted`` only whose it is (protocol.md 13)."""
    recorded = recorded_frames(name)
    expected = [frame for frame in recorded if frame.first == TEXT][1:]

    assert call.all_said
    assert [trusted(frame, untrusted) for frame in call.answers] == [trusted(frame, untrusted) for frame in expected]
    for ours, real in zip(call.answers, expected, strict=True):
        within = CLIPS_WITHIN if b"playDone" in real.payload else MARKS_WITHIN
        assert abs(ours.time - real.time) <= within, f"{real.payload!r} at {ours.time:.3f} s, not {real.time:.3f} s"
    sent, expected_audio = (
        [frame.shape for frame in frames if frame.first == AUDIO] for frames in (call.frames, recorded)
    )
    assert set(sent) == set(expected_audio) == {FRAME}
    # What ends the call can come in front of a frame or behind it.
    assert abs(len(sent) - len(expected_audio)) <= 1
    assert (call.frames[-1].first, call.frames[-1].payload) == (CLOSE, b"\x03\xe8")
    assert abs(call.frames[-1].time - recorded[-1].time) <= MARKS_WITHIN


def trusted(frame: WireFrame, untrusted: frozenset[str]) -> bytes | str:
    clip = json.loads(frame.payload).get("data", {}).get("id")
    return clip if clip in untrusted else frame.payload


async def test_a_media_servers_answers_come_in_their_order_and_time() -> None:
    streaming = ListenVerb(bidirectional=BidirectionalAudio(streaming=True, sample_rate=8000))
    streamed_plan = CallPlan(target=NOWHERE, verb=streaming, duration=15.0)
    # Ends when the server says `disconnect`, long before.
    clips_plan = CallPlan(
        target=NOWHERE, verb=ListenVerb(pass_dtmf=True), duration=60.0, dtmf_presses=recorded_keys(CLIPS)
    )

    async with asyncio.TaskGroup() as group:
        # The longer one begins last: the handler that it sets takes what goes wrong behind the scenes in both.
        clips = group.create_task(when_calm(lambda: call_recorded_server(CLIPS, clips_plan)))
        streamed = group.create_task(when_calm(lambda: call_recorded_server(STREAMED, streamed_plan)))

    assert_answered_as_recorded(STREAMED, streamed.result())
    assert_answered_as_recorded(CLIPS, clips.result(), untrusted=frozenset({"tobekilled"}))
