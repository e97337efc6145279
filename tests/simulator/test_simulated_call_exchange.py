import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from websockets.frames import Frame, Opcode

from listenctl.events import Reporter
from listenctl.net.client_connection import ClientConnection, connect
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.simulator.injected_faults import InjectedFaults, parse_fault
from listenctl.simulator.plan import CallPlan, DtmfPress
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_exchange import CallSender, CallTime
from tests.helpers.capture import client_stream, server_stream
from tests.helpers.frames import FrameCutter, WireFrame, cut_frames
from tests.helpers.scripted_server import (
    CLOSED,
    HeardMessages,
    accept,
    finish,
    parse_frames,
    read_request,
    recorded_frames,
    serving,
    shake_hands,
    target,
)
from tests.helpers.simulated_time import FakeClock

MONO = AudioFormat(8000, 1)
FIRST = b'{"sampleRate":8000}'
ONE, TWO, THREE = (bytes([number]) * 320 for number in (1, 2, 3))


class RecordedServer:
    """
    The server of a capture, for one call.

    Its Close, the answer to that of the client, comes when the client is through, or it would end the call if that is a
    moment longer than the real one.

    Attributes:
        request: what the client said before the first frame.
        frames: what it sent; times count from the first data after the handshake, here and in the capture.
        lateness: by how much a segment went out too late, in seconds.
        silent: all has been said.
    """

    def __init__(self, name: str) -> None:
        answer, *self._segments, (_, last) = server_stream(name)
        assert answer[1].startswith(b"HTTP/1.1 101 ")
        assert last == CLOSED
        self._began_at = client_stream(name)[1][0]
        self.request = b""
        self.frames: list[WireFrame] = []
        self.lateness = 0.0
        self.silent = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request, key = await read_request(reader)
        # As on a real network; with simulated time a frame and a segment would otherwise come at the same moment.
        await asyncio.sleep(0.005)
        writer.write(accept(key))
        loop = asyncio.get_running_loop()
        data = await reader.read(65_536)
        origin = loop.time()
        speaking = asyncio.create_task(self._speak(writer, origin))
        cutter = FrameCutter()
        while data:
            self.frames += cutter.feed(data, loop.time() - origin)
            data = await reader.read(65_536)
        assert cutter.rest == b""
        speaking.cancel()
        with suppress(asyncio.CancelledError):
            await speaking
        writer.write(CLOSED)

    async def _speak(self, writer: asyncio.StreamWriter, origin: float) -> None:
        loop = asyncio.get_running_loop()
        for time, data in self._segments:
            due = origin + time - self._began_at
            await asyncio.sleep(max(0.0, due - loop.time()))
            writer.write(data)
            self.lateness = max(self.lateness, loop.time() - due)
        self.silent = True


def recorded_request(name: str) -> bytes:
    """Return what the client of a capture asked for."""
    return client_stream(name)[0][1]


def text(data: bytes) -> Frame:
    return Frame(Opcode.TEXT, data)


def audio(data: bytes) -> Frame:
    return Frame(Opcode.BINARY, data)


def make_sender(clock: FakeClock, *specs: str) -> CallSender:
    faults = InjectedFaults([parse_fault(fault) for fault in specs])
    return CallSender(SendBuffer(MONO, resampled=False), faults, FIRST, connected(clock))


def connected(clock: FakeClock) -> CallTime:
    time = CallTime(clock)
    time.connect_call()
    return time


@asynccontextmanager
async def receiving(frames: list[Frame]) -> AsyncIterator[ClientConnection]:
    """Yield a connection, and put into ``frames`` all that was sent over it, without the Close."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        frames.extend(parse_frames(await reader.read())[:-1])

    async with serving(take) as port:
        connection = await connect(target(port), HeardMessages())
        yield connection
        assert await finish(connection)


async def sent(sender: CallSender, clock: FakeClock, steps: Iterable[bytes | str]) -> list[Frame]:
    """Return what a connected sender sends of these texts and frames of 20 ms."""
    received: list[Frame] = []
    async with receiving(received) as connection:
        sender.open_connection(connection)
        for step in steps:
            if isinstance(step, str):
                sender.send_text(step)
            else:
                sender.send_frame(step)
                clock.advance(0.02)
        sender.flush()
    return received


async def test_audio_from_before_the_connection_leaves_in_one_message_after_the_texts() -> None:
    sender = make_sender(FakeClock())
    received: list[Frame] = []
    sender.send_frame(ONE)
    sender.send_text("key")
    sender.send_frame(TWO)
    waiting = sender.unsent_bytes

    async with receiving(received) as connection:
        sender.open_connection(connection)
        sender.send_frame(THREE)

    assert waiting == 640
    assert received == [text(FIRST), text(b"key"), audio(ONE + TWO), audio(THREE)]
    assert sender.unsent_bytes == 0


async def test_nothing_leaves_after_the_end() -> None:
    sender = make_sender(FakeClock())
    received: list[Frame] = []

    async with receiving(received) as connection:
        sender.open_connection(connection)
        sender.send_frame(ONE)
        sender.close_connection()
        sender.send_text("late")
        sender.send_frame(TWO)
        sender.flush()

    assert received == [text(FIRST), audio(ONE)]


@pytest.mark.parametrize(
    ("faults", "before", "steps", "expected"),
    [
        ([], [], [ONE, "mark", TWO], [text(FIRST), audio(ONE), text(b"mark"), audio(TWO)]),
        # Audio overtakes a late first text, but no other text does.
        (
            ["late-first-frame=0.03"],
            ["key"],
            [ONE, TWO, THREE],
            [audio(ONE), audio(TWO), text(FIRST), text(b"key"), audio(THREE)],
        ),
        (["first-frame-binary"], [], [ONE, TWO], [audio(ONE), text(FIRST), audio(TWO)]),
        (["no-first-frame"], ["key"], [ONE], [text(b"key"), audio(ONE)]),
        (
            ["stall=0.04@0.02"],
            [],
            [ONE, TWO, "held", THREE, ONE],
            [text(FIRST), audio(ONE), text(b"held"), audio(TWO + THREE + ONE)],
        ),
        (
            ["glued-texts=1", "odd-chunks"],
            ["key"],
            [ONE],
            [text(FIRST + b"key"), audio(ONE[:161]), audio(ONE[161:])],
        ),
    ],
)
async def test_texts_and_audio_leave_in_the_order_of_the_fault(
    faults: list[str], before: list[str], steps: list[bytes | str], expected: list[Frame]
) -> None:
    clock = FakeClock()
    sender = make_sender(clock, *faults)
    for message in before:
        sender.send_text(message)

    assert await sent(sender, clock, steps) == expected


# Against what a real media server put on the wire.

CAPTURED_MONO = "a_mono8k_sip"
CAPTURED_STREAM = "c2_bidir_stream8k_marks_nominus1"
CAPTURED_CLIPS = "e_playaudio_featureserver"
TEXT, AUDIO, CLOSE = 0x81, 0x82, 0x88
FRAME = (AUDIO, True, 320)
KEY = re.compile(rb"(?<=Sec-WebSocket-Key: )\S+")
MARKS_WITHIN = 0.04
CLIPS_WITHIN = 0.1


@pytest.mark.simulated_time
async def test_a_call_looks_like_a_media_server_on_the_wire() -> None:
    """Compare with capture ``a``: all but the key, what the texts say, and the sound."""
    requests: list[bytes] = []
    streams: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, key = await read_request(reader)
        requests.append(request)
        writer.write(accept(key))
        # Returns at FIN: nobody has answered the Close before.
        streams.append(await reader.read())
        writer.write(b"\x88\x02\x03\xe8")

    async with serving(serve) as port:
        await place(CallPlan(target=media_target(port), caller="speech", duration=2.0))

    recorded_text, *recorded_audio, recorded_end = recorded_frames(CAPTURED_MONO)
    first_text, *sent, close = cut_frames(streams[0])
    assert KEY.sub(b"KEY", requests[0]) == KEY.sub(b"KEY", recorded_request(CAPTURED_MONO))
    assert (first_text.first, first_text.masked) == (recorded_text.first, recorded_text.masked) == (TEXT, True)
    # The real caller had a `callerId`, which is there when it has a value (listenctl-protocol(7) 2.2).
    names = [name for name in json.loads(recorded_text.payload) if name != "callerId"]
    assert list(json.loads(first_text.payload)) == names
    assert {frame.shape for frame in recorded_audio} == {FRAME}
    assert [frame.shape for frame in sent] == [FRAME] * 100
    assert close.shape == recorded_end.shape == (CLOSE, True, 2)
    assert close.payload == recorded_end.payload == b"\x03\xe8"


def media_target(port: int) -> CallTarget:
    return CallTarget(address=parse_websocket_url(f"ws://127.0.0.1:{port}/media?call=1"))


async def place(plan: CallPlan) -> None:
    await SimulatedCall(plan, Reporter()).run()


def recorded_keys(name: str) -> tuple[DtmfPress, ...]:
    """Return the digits that the caller of a capture pressed; their durations are in RTP units."""
    texts = [(frame.time, json.loads(frame.payload)) for frame in recorded_frames(name) if frame.first == TEXT]
    pressed = [(time, text) for time, text in texts if text.get("event") == "dtmf"]
    return tuple(DtmfPress(time, text["dtmf"], int(text["duration"]) / 8000) for time, text in pressed)


@pytest.mark.simulated_time
@pytest.mark.parametrize(
    ("name", "plan", "untrusted"),
    [
        (
            CAPTURED_STREAM,
            CallPlan(
                target=media_target(1),
                verb=ListenVerb(bidirectional=BidirectionalAudio(streaming=True, sample_rate=8000)),
                duration=15.0,
            ),
            set(),
        ),
        # Ends when the server says `disconnect`, long before.
        (
            CAPTURED_CLIPS,
            CallPlan(
                target=media_target(1),
                verb=ListenVerb(pass_dtmf=True),
                duration=60.0,
                dtmf_presses=recorded_keys(CAPTURED_CLIPS),
            ),
            {"tobekilled"},
        ),
    ],
    ids=["stream", "clips"],
)
async def test_a_media_servers_answers_come_in_their_order_and_time(
    name: str, plan: CallPlan, untrusted: set[str]
) -> None:
    server = RecordedServer(name)
    async with serving(server.serve) as port:
        await place(replace(plan, target=media_target(port)))

    recorded = recorded_frames(name)
    answers, expected = ([frame for frame in frames if frame.first == TEXT][1:] for frames in (server.frames, recorded))
    assert server.silent
    assert [trusted(frame, untrusted) for frame in answers] == [trusted(frame, untrusted) for frame in expected]
    for ours, real in zip(answers, expected, strict=True):
        within = CLIPS_WITHIN if b"playDone" in real.payload else MARKS_WITHIN
        assert abs(ours.time - real.time) <= within, f"{real.payload!r} at {ours.time:.3f} s, not {real.time:.3f} s"
    sent, expected_audio = (
        [frame.shape for frame in frames if frame.first == AUDIO] for frames in (server.frames, recorded)
    )
    assert set(sent) == set(expected_audio) == {FRAME}
    # What ends the call can come in front of a frame or behind it.
    assert abs(len(sent) - len(expected_audio)) <= 1
    assert (server.frames[-1].first, server.frames[-1].payload) == (CLOSE, b"\x03\xe8")
    assert abs(server.frames[-1].time - recorded[-1].time) <= MARKS_WITHIN


def trusted(frame: WireFrame, untrusted: set[str]) -> bytes | str:
    """Return the payload; of a playDone in ``untrusted`` only whose it is (listenctl-protocol(7) 13)."""
    clip = json.loads(frame.payload).get("data", {}).get("id")
    return clip if clip in untrusted else frame.payload
