"""Calls that are relayed to an application, on real sockets: messages, their order and their bytes, and every end."""

import asyncio
import json
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from listenctl.net.client_connection import FLOOD
from listenctl.protocol.frames.frame_rate_limit import FLOOD_AFTER
from listenctl.server import relay
from tests.helpers.capture import client_stream, server_stream
from tests.helpers.control import Controlled, Tool
from tests.helpers.frames import BINARY, CONTINUATION, PING, PONG, binary, close, frame, text
from tests.helpers.frames import TEXT as TEXT_OPCODE
from tests.helpers.scripted_server import (
    AUDIO,
    CLOSE,
    CLOSED,
    TEXT,
    Relayed,
    Side,
    SideScript,
    recorded_frames,
    relaying,
)
from tests.helpers.server import Peer, read_sidecar, recorded_audio, reset_connection, until
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')
SAMPLES = struct.pack("<160h", *range(1000, 1160))
CAPTURES = ["c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver"]


def said(payload: bytes | str, opcode: int = BINARY, *, fin: bool = True) -> bytes:
    """Return a frame of the application."""
    return frame(opcode, payload.encode() if isinstance(payload, str) else payload, fin=fin, mask=None)


def saying(*pieces: bytes, after: int = 0) -> SideScript:
    """Return an application that sends data when it has read ``after`` frames, and then only reads."""

    async def application(side: Side) -> None:
        await side.read_frames(after)
        for piece in pieces:
            await side.say(piece)
        await side.read_to_end()

    return application


def payloads(side: Side) -> list[tuple[int, bytes]]:
    return [(one.first, one.payload) for one in side.frames]


# Messages.


@pytest.mark.parametrize("name", CAPTURES)
async def test_a_real_call_passes_unchanged_in_both_directions(name: str) -> None:
    request, *segments = (data for _, data in client_stream(name))
    stream = b"".join(segments)
    _, *server = (data for _, data in server_stream(name))
    spoken = b"".join(server).removesuffix(CLOSED)

    async with relaying(saying(*(segment.removesuffix(CLOSED) for segment in server))) as relayed:
        peer = await relayed.run.open(request)
        await peer.read_head()
        await peer.send(stream[:-8])
        received = await peer.read_bytes(len(spoken))
        await peer.send(stream[-8:])
        rest = await peer.read_to_end()
        ended = await relayed.run.events.wait_for("call-ended")

    assert received == spoken
    assert rest == CLOSED
    assert [(one.first, one.masked, one.payload) for one in relayed.side.frames] == [
        (one.first, one.masked, one.payload) for one in recorded_frames(name)
    ]
    assert (ended["closed_by"], ended["close_code"]) == ("jambonz", 1000)


async def test_each_message_of_jambonz_keeps_its_bytes_and_its_size() -> None:
    messages = [SAMPLES[:320], SAMPLES[:320], SAMPLES[:7], b"", b"", bytes(40_000), bytes(40_000), b"x"]
    async with relaying() as relayed:
        peer = await relayed.run.call(METADATA, b"".join(map(binary, messages)), text(""), text(b"\xff{"), close())
        await peer.read_to_end()

    first, *sent, last = payloads(relayed.side)
    assert first[0] == TEXT
    assert sent == [*((AUDIO, message) for message in messages), (TEXT, b""), (TEXT, b"\xff{")]
    assert last == (CLOSE, b"\x03\xe8")


async def test_audio_of_a_steady_call_is_passed_on_before_the_call_takes_it() -> None:
    messages = [struct.pack("<160h", *range(number, number + 160)) for number in range(100)]
    positions = set()
    async with relaying() as relayed:
        peer = await relayed.run.call(METADATA)
        await relayed.run.events.wait_for("call-started")
        (call,) = relayed.run.server.live
        for message in messages:
            await peer.send(binary(message))
            await until(lambda: payloads(relayed.side)[-1:] == [(AUDIO, message)])  # noqa: B023 - it is called here
            positions.add(call.session.position)
            await asyncio.sleep(0.02)
        await relayed.side.say(said('{"type":"killAudio"}', TEXT_OPCODE))
        command = await relayed.run.events.wait_for("command")
        await peer.send(binary(SAMPLES) * 3 + text("{}") + binary(SAMPLES)[:100])
        await until(lambda: len(relayed.side.frames) > len(messages) + 4)
        await peer.send(binary(SAMPLES)[100:], close())
        await peer.read_to_end()
        ended = await relayed.run.events.wait_for("call-ended")

    _, *sent, _ = payloads(relayed.side)
    audio = (AUDIO, SAMPLES)
    assert sent == [*((AUDIO, message) for message in messages), audio, audio, audio, (TEXT, b"{}"), audio]
    assert len(positions) < 20
    assert command["position"] == 100 * 160
    assert (ended["received_samples"], ended["lost_samples"]) == (104 * 160, 0)


async def test_a_fault_while_audio_is_passed_on_ends_the_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault")

    async with relaying() as relayed:
        peer = await relayed.run.call(METADATA)
        await relayed.run.events.wait_for("call-started")
        await peer.send(binary(SAMPLES))
        await until(lambda: payloads(relayed.side)[-1:] == [(AUDIO, SAMPLES)])
        monkeypatch.setattr(relay.Relay, "pass_on_frames", fail)
        await peer.send(binary(SAMPLES))
        ended = await relayed.run.events.wait_for("call-ended")

    assert ended["close_code"] == 1006
    assert [record.message for record in caplog.records] == ["a call failed unexpectedly"]


async def test_audio_that_is_passed_on_gets_masks_of_our_own() -> None:
    received = bytearray()
    audio = frame(BINARY, SAMPLES, mask=b"same")

    async def application(side: Side) -> None:
        while data := await side.reader.read(65_536):
            received.extend(data)

    async with relaying(application) as relayed:
        peer = await relayed.run.call(METADATA)
        await relayed.run.events.wait_for("call-started")
        for messages in (1, 1, 2, 1):
            await peer.send(audio * messages)
            await asyncio.sleep(0.02)
        await peer.send(close())
        await peer.read_to_end()

    stream = bytes(received)[-5 * len(audio) - len(close()) :]
    frames = [stream[at : at + len(audio)] for at in range(0, 5 * len(audio), len(audio))]
    assert {one[:4] for one in frames} == {audio[:4]}
    masks = {one[4:8] for one in frames}
    assert len(masks) == 5
    assert b"same" not in masks


async def test_each_message_of_the_application_keeps_its_bytes_and_its_size() -> None:
    whole = [said(SAMPLES), said(b""), said(b"x"), said(b"", TEXT_OPCODE), said(b"\xff{", TEXT_OPCODE)]
    fragments = [said(b"ab", BINARY, fin=False), said(b"", CONTINUATION, fin=False), said(b"c", CONTINUATION)]
    large = said(bytes(200_000))
    expected = b"".join([*whole, said(b"abc"), large])

    async with relaying(saying(b"".join([*whole, *fragments, large]))) as relayed:
        peer = await relayed.run.call(METADATA)
        assert await peer.read_bytes(len(expected)) == expected


async def test_pings_are_answered_on_their_side() -> None:
    async with relaying(saying(said(b"from the application", PING))) as relayed:
        peer = await relayed.run.call(METADATA, frame(PING, b"from jambonz"))
        assert await peer.read_frame() == said(b"from jambonz", PONG)
        await peer.send(close())
        await peer.read_to_end()

    assert [one.payload for one in relayed.side.frames if one.first == 0x80 | PONG] == [b"from the application"]
    assert not [one for one in relayed.side.frames if one.first == 0x80 | PING]


async def test_what_the_application_says_before_the_metadata_is_passed_on() -> None:
    async with relaying(saying(said('{"type":"mark","data":{"name":"early"}}', TEXT_OPCODE))) as relayed:
        peer = await relayed.run.call()
        assert b"early" in await peer.read_frame()
        await peer.send(METADATA)
        command = await relayed.run.events.wait_for("command")

    assert (command["call"], command["type"], command["name"]) == ("CS-A", "mark", "early")


async def test_a_relayed_call_is_recorded_and_its_commands_are_reported(tmp_path: Path) -> None:
    content = "A" * 4000
    sound = {"audioContent": content, "audioContentType": "raw", "sampleRate": 8000, "id": 7}
    commands = [
        {"type": "playAudio", "data": sound},
        {"type": "killAudio"},
        {"type": "unheard of", "x": "y" * 5000},
    ]

    application = saying(*(said(json.dumps(command), TEXT_OPCODE) for command in commands), after=1)

    async with relaying(application, record=tmp_path) as relayed:
        peer = await relayed.run.call(METADATA, binary(SAMPLES), binary(SAMPLES))
        await relayed.run.events.wait_for("command", 3)
        await peer.send(close())
        saved = await relayed.run.events.wait_for("recording-saved")
        started = await relayed.run.events.wait_for("call-started")

    assert recorded_audio(saved) == SAMPLES * 2
    assert started["upstream"] == relayed.url + "/calls?x=1"
    clip, kill, unknown = relayed.run.events.of("command")
    named = [clip[name] for name in ("type", "id", "audio_content_type", "sample_rate", "content_size")]
    assert named == ["playAudio", 7, "raw", 8000, 4000]
    assert content not in json.dumps(clip)
    assert kill["type"] == "killAudio"
    assert unknown["type"] == "unheard of"
    assert len(unknown["text"]) == 1000


# Slow sides.


async def test_an_application_is_read_no_faster_than_jambonz_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MAX_TO_JAMBONZ", 100_000)
    sent = 0
    chunk = said(bytes(60_000))

    async def application(side: Side) -> None:
        nonlocal sent
        side.writer.transport.set_write_buffer_limits(high=0)
        for _ in range(1000):
            await side.say(chunk)
            sent += 1
        await side.say(said(b"bye", TEXT_OPCODE) + said(struct.pack("!H", 4000), 0x8))
        await side.read_to_end()

    async with relaying(application) as relayed:
        peer = await relayed.run.call(METADATA)
        (connection,) = relayed.run.server.connections
        await until(lambda: connection.unsent > 100_000)
        held_back = sent
        stream = await peer.read_bytes(1000 * len(chunk))
        bye, end = await peer.read_frame(), await peer.read_frame()

    assert held_back < 900
    assert stream == chunk * 1000
    assert bye == said(b"bye", TEXT_OPCODE)
    assert end == b"\x88\x02\x0f\xa0"


async def test_an_application_that_never_reads_ends_the_call_and_not_the_recording(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(relay, "MAX_TO_APPLICATION", 1024 * 1024)
    noise = binary(bytes(32_000))
    done = asyncio.Event()

    async with relaying(lambda _: done.wait(), record=tmp_path) as relayed:
        peer = await relayed.run.call(METADATA)
        ending = asyncio.create_task(peer.read_to_end())
        sent = 0
        while not ending.done():
            await peer.send(noise)
            await asyncio.sleep(0)
            sent += 1
        await peer.close()
        saved = await relayed.run.events.wait_for("recording-saved")
        ended = await relayed.run.events.wait_for("call-ended")
        await relayed.run.events.wait_for_warning("relay-lost")
        done.set()

    warnings = {warning["rule"]: warning["detail"] for warning in relayed.run.events.of("warning")}
    assert warnings["relay-stopped"] == ended["close_reason"]
    assert re.match(r"the application didn't read the last \d\.\d MB that jambonz sent", warnings["relay-lost"])
    assert "relay-stopped" in [warning["rule"] for warning in read_sidecar(saved)["warnings"]]
    assert relayed.run.server.lost_audio
    assert ending.result() == b""
    assert ended["closed_by"] == "nobody"
    assert ended["close_reason"] == "the application doesn't read: 1 MiB wait for it"
    assert len(recorded_audio(saved)) == sent * 32_000


@pytest.mark.parametrize("read", [True, False])
async def test_what_waits_at_the_end_of_a_call_is_lost_unless_it_is_read(read: bool) -> None:
    done = asyncio.Event()

    async with relaying() if read else relaying(lambda _: done.wait()) as relayed:
        peer = await relayed.run.call(METADATA, *[binary(bytes(32_000))] * 300, close())
        await relayed.run.events.wait_for("call-ended")
        await peer.read_to_end()
        await asyncio.sleep(60)
        done.set()

    assert [event["rule"] for event in relayed.run.events.of("warning")] == ["relay-lost"] * (not read)
    assert relayed.run.server.lost_audio is not read


# Ends.


@pytest.mark.parametrize(
    ("end", "code", "reason"),
    [
        (close(1000), 1000, ""),
        (close(4000, "x"), 4000, "x"),
        (close(1011, "down"), 1011, "down"),
        (close(None), 1005, ""),
    ],
    ids=["1000", "4000", "1011", "no code"],
)
async def test_a_close_of_jambonz_reaches_the_application(end: bytes, code: int, reason: str) -> None:
    async with relaying() as relayed:
        peer = await relayed.run.call(METADATA, end)
        answer = await peer.read_to_end()
        ended = await relayed.run.events.wait_for("call-ended")

    payload = b"" if code == 1005 else struct.pack("!H", code) + reason.encode()
    assert payloads(relayed.side)[-1] == (CLOSE, payload)
    assert answer == said(payload, 0x8)
    assert (ended["closed_by"], ended["close_code"], ended["close_reason"]) == ("jambonz", code, reason)


@pytest.mark.parametrize("payload", [b"\x03\xe8", b"\x0f\xa0x", b"\x03\xf3down", b"", b"\x0f\xa0" + 41 * "€".encode()])
async def test_a_close_of_the_application_reaches_jambonz_behind_all_else(payload: bytes) -> None:
    expected = said(SAMPLES) + said("last", TEXT_OPCODE) + said(payload, 0x8)

    async with relaying(saying(expected, after=1)) as relayed:
        peer = await relayed.run.call(METADATA)
        received = await peer.read_bytes(len(expected))
        await peer.send(frame(0x8, payload))
        ended = await relayed.run.events.wait_for("call-ended")

    assert received == expected
    assert ended["closed_by"] == "application"
    assert ended["close_code"] == (struct.unpack("!H", payload[:2])[0] if payload else 1005)
    assert ended["close_reason"] == payload[2:].decode()


async def test_what_jambonz_says_until_it_answers_a_close_is_recorded(tmp_path: Path) -> None:
    async with relaying(saying(CLOSED, after=1), record=tmp_path) as relayed:
        peer = await relayed.run.call(METADATA)
        assert await peer.read_frame() == CLOSED
        await peer.send(binary(SAMPLES), close())
        saved = await relayed.run.events.wait_for("recording-saved")

    assert recorded_audio(saved) == SAMPLES


@pytest.mark.parametrize(
    "last", ["FIN", "RST", b"\x88\x02\x03\xe7", b"\x88\x01x", b"\xc1\x00", b"\x81\x80\0\0\0\0"], ids=str
)
async def test_without_a_close_or_with_faulty_frames_the_application_is_gone_for_jambonz_too(
    last: str | bytes, tmp_path: Path
) -> None:
    async def application(side: Side) -> None:
        await side.read_frames(1)
        if last == "RST":
            reset_connection(side.writer)
        elif isinstance(last, bytes):
            await side.say(said(SAMPLES) + last)
            await side.read_to_end()

    async with relaying(application, record=tmp_path) as relayed:
        peer = await relayed.run.call(METADATA)
        received = await peer.read_to_end()
        # jambonz hears of it a moment later.
        await peer.send(binary(SAMPLES))
        await peer.close()
        saved = await relayed.run.events.wait_for("recording-saved")
        ended = await relayed.run.events.wait_for("call-ended")

    assert received == (said(SAMPLES) if isinstance(last, bytes) else b"")
    assert recorded_audio(saved) == SAMPLES
    assert (ended["closed_by"], ended["close_code"]) == ("nobody", 1006)
    assert "the application" in ended["close_reason"]


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_a_jambonz_that_is_gone_without_a_close_is_gone_for_the_application_too(reset: bool) -> None:
    async with relaying() as relayed:
        peer = await relayed.run.call(METADATA, binary(SAMPLES))
        await (peer.reset() if reset else peer.close())
        ended = await relayed.run.events.wait_for("call-ended")

    # The application has got all that was said, and no Close.
    assert [one.first for one in relayed.side.frames] == [TEXT, AUDIO]
    assert ended["closed_by"] == "nobody"


async def test_a_server_that_stops_tells_both_sides() -> None:
    async with relaying() as relayed:
        peer = await relayed.run.call(METADATA)
        await relayed.run.events.wait_for("call-started")
        relayed.run.server.shutdown.begin()
        end = await peer.read_frame()
        await peer.send(close(1001, "server is stopping"))
        await relayed.run.events.wait_for("call-ended")

    assert end == said(b"\x03\xe9server is stopping", 0x8)
    assert payloads(relayed.side)[-1] == (CLOSE, b"\x03\xe9server is stopping")


async def test_a_protocol_error_of_jambonz_is_told_to_both_sides() -> None:
    async with relaying() as relayed:
        peer = await relayed.run.call(METADATA, b"\xc1\x80\0\0\0\0")
        assert (await peer.read_frame())[2:4] == b"\x03\xea"
        ended = await relayed.run.events.wait_for("call-ended")

    assert payloads(relayed.side)[-1][1][:2] == b"\x03\xea"
    assert ended["closed_by"] == "listenctl"


# Tools beside the application.


@pytest.mark.parametrize("small", [said("", TEXT_OPCODE), said(b""), said(b"", PING)], ids=["texts", "audio", "pings"])
async def test_an_application_that_floods_with_small_frames_is_read_slowly_and_then_closed(small: bytes) -> None:
    async def flooding(side: Side) -> None:
        with suppress(ConnectionError):
            while True:
                await side.say(small * 1000)

    started = simulated_loop().time()
    async with relaying(flooding) as relayed:
        peer = await relayed.run.call(METADATA, binary(SAMPLES))
        warning = await relayed.run.events.wait_for_warning("frame-flood")
        took = simulated_loop().time() - started
        await peer.read_to_end()
        ended = await relayed.run.events.wait_for("call-ended")

    assert "the application" in warning["detail"]
    assert ended["closed_by"] == "nobody"
    assert FLOOD in ended["close_reason"]
    assert FLOOD_AFTER <= took < 2 * FLOOD_AFTER


@asynccontextmanager
async def attached(folder: Path, **changes: Any) -> AsyncIterator[tuple[Relayed, Peer, Tool]]:
    """Relay a call to an application, and attach a tool to it."""
    path = folder / "listenctl" / "default.sock"
    async with relaying(control=path, **changes) as relayed:
        peer = await relayed.run.call(METADATA)
        await relayed.run.events.wait_for("call-started")
        async with Controlled(relayed.run, path).attach() as tool:
            yield relayed, peer, tool


async def test_masked_digits_reach_the_application_and_no_tool(tmp_path: Path) -> None:
    digit = '{"event":"dtmf","dtmf":"4","duration":"800"}'
    async with attached(tmp_path, mask_dtmf=True) as (relayed, peer, tool):
        await peer.send(text(digit))
        assert await tool.text() == digit.replace("4", "x")
        await until(lambda: payloads(relayed.side)[-1:] == [(TEXT, digit.encode())])

    assert [event["digit"] for event in relayed.run.events.of("dtmf")] == ["x"]


async def test_answers_go_to_the_tool_or_the_application_that_asked(tmp_path: Path) -> None:
    async with attached(tmp_path) as (relayed, peer, tool):
        await tool.send('{"type":"mark","data":{"name":"m"}}')
        asked = json.loads((await peer.read_frame())[2:])
        await relayed.side.say(said('{"type":"mark","data":{"name":"m"}}', TEXT_OPCODE))
        passed_on = await peer.read_frame()
        for name in (asked["data"]["name"], "m"):
            await peer.send(text(f'{{"type": "mark", "data": {{"name":"{name}", "event": "playout"}}}}'))
        answers = [await tool.json(), await tool.json()]
        await peer.send(binary(SAMPLES), close())
        await peer.read_to_end()

    assert asked["data"]["name"] != "m"
    assert passed_on == said('{"type":"mark","data":{"name":"m"}}', TEXT_OPCODE)
    assert [answer["data"]["name"] for answer in answers] == ["m", "m"]
    _, *heard, _ = payloads(relayed.side)
    assert heard == [(TEXT, b'{"type": "mark", "data": {"name":"m", "event": "playout"}}'), (AUDIO, SAMPLES)]


async def test_a_tool_that_comes_and_goes_leaves_the_application_read_at_once(tmp_path: Path) -> None:
    # In batches nothing would be read for the rest of the test.
    async with attached(tmp_path, read_interval=60.0) as (relayed, peer, tool):
        await tool.connection.close()
        await until(lambda: not len(relayed.run.server.live[0].tools or ()))
        await peer.send(binary(SAMPLES))
        await until(lambda: len(relayed.side.frames) == 2)
        await peer.send(close())


async def test_audio_of_a_tool_keeps_to_whole_samples_beside_the_applications(tmp_path: Path) -> None:
    async with attached(tmp_path) as (relayed, peer, tool):
        spoken = []
        for speak in (
            relayed.side.say(said(b"\x01\x02\x03")),
            tool.send(b"\x11\x12"),
            relayed.side.say(said(b"\x04\x05\x06")),
        ):
            await speak
            spoken.append(await peer.read_frame())

    assert spoken == [said(b"\x01\x02\x03"), said(b"\0\x11\x12"), said(b"\x05\x06")]
