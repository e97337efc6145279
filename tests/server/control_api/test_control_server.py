"""The control socket as tools meet it: real sockets at both ends of the server, and simulated calls."""

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from listenctl.background_task import background_task
from listenctl.events import MessageEvent
from listenctl.protocol.call_sharing.tool_messages import MAX_TOOL_MESSAGE
from listenctl.protocol.frames.frame_rate_limit import FLOOD_AFTER
from tests.helpers.control import Controlled, Tool, controlled
from tests.helpers.frames import PING, binary, close, frame, text
from tests.helpers.server import Peer, recorded_audio, until
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time

METADATA = (
    '{"callSid": "7f1c22a4","sampleRate":16000, "mixType":"stereo","from":"1508","to":"1509","direction":"inbound"}'
)
FRAME = bytes(range(256)) * 5


async def begin(server: Controlled, metadata: str = METADATA) -> Peer:
    """Return a call that has begun."""
    number = len(server.run.events.of("call-started")) + 1
    peer = await server.run.call(text(metadata))
    await server.run.events.wait_for("call-started", number)
    return peer


async def test_the_live_calls_are_listed_oldest_first(tmp_path: Path) -> None:
    async with controlled(tmp_path, record=True) as server:
        await (await begin(server)).send(text('{"event":"dtmf","dtmf":"4","duration":"1600"}'), binary(FRAME))
        await begin(server, '{"callSid": "b"}')
        await server.run.events.wait_for("dtmf")
        status, body = await server.get("/calls")
        listing = json.loads(body)

    calls = listing.pop("calls")
    path = str(tmp_path / "recordings" / "7f1c22a4.wav")
    assert status == 200
    assert listing == {
        "v": 1,
        "server": {
            "url": f"ws://127.0.0.1:{server.run.port}/",
            "pid": os.getpid(),
            "name": "default",
            "recording": True,
        },
    }
    assert [call["call"] for call in calls] == ["7f1c22a4", "b"]
    assert 0 <= calls[0].pop("duration") < 15
    assert calls[0].pop("started").endswith("Z")
    # The frame has been written, or not yet.
    assert calls[0].pop("unwritten_seconds") in (0.0, 0.02)
    assert calls[0].pop("remote").startswith("127.0.0.1:")
    assert calls[0] == {
        "call": "7f1c22a4",
        "call_sid": "7f1c22a4",
        "from": "1508",
        "to": "1509",
        "direction": "inbound",
        "sample_rate": 16000,
        "channels": 2,
        "mix_type": "stereo",
        "target": "/calls?x=1",
        "recording": path,
        "digits": "4",
        "gap_seconds": 0.0,
        "attached": 0,
        "stream_rate": None,
    }


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/", 404, b"there are /calls, /calls/CALL and /events\n"),
        ("/calls/none", 404, b"there is no live call none\n"),
        ("/calls/a", 409, b"a matches 2 live calls:\na-1\na-2\n"),
        ("/calls/a%0A%1B[2J", 404, b"there is no live call a\xef\xbf\xbd\xef\xbf\xbd[2J\n"),
        ("/calls/a-1", 426, None),
    ],
)
async def test_what_is_no_conversation_gets_an_answer(
    target: str, status: int, body: bytes | None, tmp_path: Path
) -> None:
    async with controlled(tmp_path) as server:
        await begin(server, '{"callSid": "a-1"}')
        await begin(server, '{"callSid": "a-2"}')
        answer = await server.get(target)

    assert answer[0] == status
    assert body is None or answer[1] == body


async def test_a_tool_gets_the_metadata_first_and_then_each_text_as_it_came(tmp_path: Path) -> None:
    digit = '{"event":"dtmf", "dtmf":"4","duration":"1600"}'

    async with controlled(tmp_path) as server:
        peer = await begin(server)
        async with server.open("/calls/7f1c") as tool:
            subprotocol = tool.connection.subprotocol
            first = await tool.text()
            await peer.send(binary(FRAME), text(digit), text("no JSON"), text(b'{"a":"\xff"}'))
            texts = [await tool.text() for _ in range(3)]

    assert subprotocol == "audio.jambonz.org"
    assert first == METADATA
    # A text that isn't UTF-8 would end the tool's connection.
    assert texts == [digit, "no JSON", '{"a":"\ufffd"}']


async def test_a_call_without_metadata_begins_with_an_empty_object(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        peer = await server.run.call(binary(FRAME), text('{"event":"dtmf","dtmf":"1"}'))
        await server.run.events.wait_for("call-started")
        async with server.open("/calls/unknown-1") as tool:
            first = await tool.text()
            await peer.send(text('{"callSid":"late"}'))
            second = await tool.text()

    assert (first, second) == ("{}", '{"callSid":"late"}')


async def test_audio_reaches_a_tool_sample_by_sample_and_the_recording_too(tmp_path: Path) -> None:
    sound = os.urandom(40_000)

    async with controlled(tmp_path, record=True) as server:
        peer = await begin(server)
        await peer.send(binary(FRAME))
        await until(lambda: server.run.server.live[0].session.position > 0)
        async with server.attach(audio=True) as tool:
            for at in range(0, len(sound), 1001):
                await peer.send(binary(sound[at : at + 1001]))
            await peer.send(close())
            messages, _ = await tool.end()
        saved = await server.run.events.wait_for("recording-saved")

    assert {len(message) % 4 for message in messages} == {0}
    heard = b"".join(message for message in messages if isinstance(message, bytes))
    # What came before the tool is none of its business.
    assert heard == sound
    assert recorded_audio(saved) == FRAME + sound


async def test_a_call_is_read_at_once_while_a_tool_is_attached(tmp_path: Path) -> None:
    async with controlled(tmp_path, read_interval=1.5) as server:
        peer = await begin(server)
        [connection] = server.run.server.connections
        modes = [connection._schedule.at_once]
        async with server.attach(audio=True) as tool, server.attach() as other:
            modes.append(connection._schedule.at_once)
            for _ in range(20):
                await peer.send(binary(FRAME))
                # In batches these would take half a minute.
                await tool.audio(len(FRAME))
            await other.connection.close()
        await until(lambda: not connection._schedule.at_once)

        modes.append(connection._schedule.at_once)
        interval = connection._schedule.interval

    assert modes == [False, True, False]
    assert interval > 0.8


async def test_a_mark_is_answered_under_its_own_name_and_timed(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        peer = await begin(server)
        async with server.attach() as tool, server.attach() as other:
            await tool.send('{"type":"mark","data":{"name":"hello"}}')
            sent = json.loads((await peer.read_frame())[2:])
            await peer.send(
                text(f'{{"type": "mark", "data": {{"name":"{sent["data"]["name"]}", "event": "playout"}}}}')
            )
            await peer.send(text('{"event":"dtmf","dtmf":"1"}'))
            answer = await tool.json()
            others = await other.json()
            [listed] = await server.list_calls()
        reported = await server.run.events.wait_for("mark")

    assert answer == {"type": "mark", "data": {"name": "hello", "event": "playout"}}
    assert others == {"event": "dtmf", "dtmf": "1"}
    assert listed["attached"] == 2
    assert (sent["data"]["name"], reported["name"]) == ("lc-m1-hello", "hello")
    assert 0 <= reported["round_trip"] < 15


async def test_a_stuck_tool_costs_nobody_else_anything_and_is_told(tmp_path: Path) -> None:
    chunk, number = os.urandom(64_000), 60

    async with controlled(tmp_path, record=True) as server:
        peer = await begin(server)
        async with (
            server.open("/calls/@latest?audio=1", max_queue=1) as stuck,
            server.attach(audio=True) as good,
        ):
            for index in range(number):
                await peer.send(binary(chunk))
                assert await good.audio(len(chunk)) == chunk
                await peer.send(text(f'{{"event":"dtmf","dtmf":"{index % 10}"}}'))
                await good.text()
            heard, texts = await read_all(stuck, number + 2)
            await peer.send(binary(chunk))
            again = await stuck.audio(len(chunk))
        await peer.send(close())
        saved = await server.run.events.wait_for("recording-saved")

    errors = [json.loads(one) for one in texts if "listenctl:" in one]
    digits = [json.loads(one)["dtmf"] for one in texts if "dtmf" in one]
    assert [error["type"] for error in errors] == ["listenctl:error"]
    assert errors[0]["data"]["reason"] == "too-slow"
    assert 0 < errors[0]["data"]["dropped_samples"] == (number * len(chunk) - len(heard)) // 4
    assert (chunk * number).startswith(heard)
    assert digits == [str(index % 10) for index in range(number)]
    assert again == chunk
    assert recorded_audio(saved) == chunk * (number + 1)


async def read_all(tool: Tool, texts: int) -> tuple[bytes, list[str]]:
    """Return the audio that comes until so many texts have come, and the texts."""
    heard, found = b"", list[str]()
    while len(found) < texts:
        message = await tool.connection.recv()
        if isinstance(message, bytes):
            heard += message
        else:
            found.append(message)
    return heard, found


async def fill(peer: Peer, tool: Tool) -> None:
    """Send more audio than a tool which doesn't read can take, while ``tool`` does."""
    for _ in range(40):
        await peer.send(binary(bytes(64_000)))
        await tool.audio(64_000)


async def test_a_stuck_tool_that_lets_too_many_texts_lie_is_let_go(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        peer = await begin(server)
        async with server.open("/calls/@latest?audio=1", max_queue=1) as stuck, server.attach(audio=True) as good:
            await fill(peer, good)
            for _ in range(1002):
                await peer.send(text('{"event":"dtmf","dtmf":"1"}'))
                await good.text()
            _, closed = await stuck.end()

    assert (closed.code, closed.reason) == (1008, "too slow: too many texts weren't read")


@pytest.mark.parametrize("small", [text(""), binary(b""), frame(PING, b"")], ids=["texts", "audio", "pings"])
async def test_a_tool_that_floods_with_small_frames_is_read_slowly_and_then_let_go(
    small: bytes, tmp_path: Path
) -> None:
    async def flood(tool: Tool) -> None:
        with suppress(ConnectionError):
            while True:
                tool.connection.transport.write(small * 1000)
                await asyncio.sleep(0.01)

    async with controlled(tmp_path) as control:
        await control.place_call("CS-A")
        async with control.attach() as tool:
            started = simulated_loop().time()
            async with background_task(flood(tool)):
                warning = await control.run.events.wait_for_warning("frame-flood")
                _, closing = await tool.end()
            took = simulated_loop().time() - started

    assert warning["call"] == "CS-A"
    assert closing.code == 1008
    assert FLOOD_AFTER <= took < 2 * FLOOD_AFTER + 2


async def test_the_end_of_the_call_ends_the_conversation(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        peer = await begin(server)
        async with server.attach() as tool:
            await peer.send(text('{"event":"dtmf","dtmf":"1"}'), close())
            messages, closed = await tool.end()
        calls = await server.list_calls()

    assert messages == ['{"event":"dtmf","dtmf":"1"}']
    assert (closed.code, closed.reason) == (1000, "call ended")
    assert calls == []


async def test_a_tool_that_never_reads_the_end_doesnt_keep_the_server(tmp_path: Path) -> None:
    async with controlled(tmp_path, record=True) as server:
        peer = await begin(server)
        async with server.open("/calls/@latest?audio=1", max_queue=1), server.attach(audio=True) as good:
            await fill(peer, good)
            async with server.open("/events", max_queue=1):
                for _ in range(40):
                    server.run.server.reporter.emit(MessageEvent(type=None, text="x" * 64_000))
                server.run.server.shutdown.begin()
                await peer.send(close(1001))
                _, closed = await good.end()
                await server.run.ended
            saved = server.run.events.of("recording-saved")

    assert closed.reason == "call ended"
    assert saved[0]["complete"]


async def test_events_are_followed_until_the_server_ends(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server, server.open("/events") as tool, server.open("/events") as left:
        await left.connection.close()
        peer = await begin(server)
        await peer.send(close())
        await peer.close()
        events = [await tool.json() for _ in range(2)]
        server.run.server.shutdown.begin()
        await server.run.ended
        rest, closed = await tool.end()

    assert events == server.run.events.of("call-started") + server.run.events.of("call-ended")
    assert rest == []
    assert (closed.code, closed.reason) == (1001, "server ended")
    assert len(server.run.server.reporter._sinks) == 1


async def test_a_tool_that_leaves_before_it_has_asked_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with controlled(tmp_path) as server:
        _, writer = await asyncio.open_unix_connection(str(server.socket))
        writer.close()
        await writer.wait_closed()
        await server.list_calls()

    assert [record for record in caplog.records if record.levelname != "INFO"] == []


async def test_a_fault_of_ours_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with controlled(tmp_path) as server:
        await begin(server)
        monkeypatch.setattr(server.run.server, "tools_of", None)
        async with server.open("/calls/@latest") as tool:
            _, closed = await tool.end()

    assert closed.code == 1011
    assert "connection handler failed" in caplog.text


async def test_a_text_above_the_limit_ends_the_conversation_and_the_next_tool_is_heard(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        peer = await begin(server)
        async with server.attach() as tool:
            # The head of a masked text frame says how long it is, and that is enough.
            tool.connection.transport.write(b"\x81\xff" + (MAX_TOOL_MESSAGE + 1).to_bytes(8, "big") + bytes(4))
            _, closed = await tool.end()
        async with server.attach() as tool:
            await tool.send('{ "type":"killAudio" }', b"\1\2\3\4")
            frames = [await peer.read_frame(), await peer.read_frame()]

    assert closed.code == 1009
    assert frames == [b'\x81\x16{ "type":"killAudio" }', b"\x82\x04\1\2\3\4"]


async def test_a_tool_is_told_that_the_call_is_ending_when_nothing_can_be_sent_any_more(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        await begin(server)
        async with server.attach() as tool:
            # jambonz takes its time to close, too.
            server.run.server.shutdown.begin()
            await tool.send('{"type":"killAudio"}')
            refusal = await tool.json()

    assert (refusal["type"], refusal["data"]["reason"]) == ("listenctl:error", "call-ending")
