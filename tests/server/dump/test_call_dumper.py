"""Dumps of calls: every frame of both directions is there, whatever the peer, the disk and the end are like."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from websockets.frames import Opcode

from listenctl.capture.formats.dump_line_format import DumpEnd
from listenctl.errors import UsageError
from listenctl.protocol.listen_session import ListenSession, Sender
from listenctl.protocol.timeline import TimedFrame
from listenctl.server.dump import call_dumper
from listenctl.server.dump.call_dumper import check_folder
from listenctl.server.settings import ServerSettings
from tests.helpers.capture import END_OF_HEAD, Cut, client_bytes, odd_pieces, replay, server_stream, whole
from tests.helpers.dumps import Dump, load, shapes_of
from tests.helpers.frames import BINARY, CONTINUATION, PING, TEXT, WireFrame, binary, close, cut_frames, frame, text
from tests.helpers.server import (
    FAST,
    Event,
    Running,
    faster,
    mode_of,
    running,
    send_until,
    until,
    wait_for_writer,
)

pytestmark = pytest.mark.simulated_time

METADATA = '{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}'
AUDIO = bytes(range(160)) * 2
BLOCK = bytes(1000)
US, THEM = Sender.APPLICATION, Sender.JAMBONZ


@dataclass(frozen=True, slots=True)
class Dumping:
    """A server that dumps."""

    run: Running
    dumper: call_dumper.CallDumper

    async def saved(self, number: int = 1) -> tuple[Event, Dump]:
        """Return the event about dump ``number``, and the dump."""
        event = await self.run.events.wait_for("dump-saved", number)
        return event, load(event["path"])


@asynccontextmanager
async def dumping_server(folder: Path, settings: ServerSettings = FAST) -> AsyncIterator[Dumping]:
    """Run a server that dumps to ``folder``."""
    async with running(settings) as run, call_dumper.dumping(run.server, folder) as dumper:
        assert dumper is not None
        wait_for_writer(dumper._writer)
        yield Dumping(run, dumper)
        for peer in run.peers:
            await peer.close()
        # Calls that last to the end are dumped to their end as well.
        run.server.shutdown.begin()
        await run.ended


def after_head(stream: bytes) -> bytes:
    return stream[stream.index(END_OF_HEAD) + len(END_OF_HEAD) :]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def say(on: Dumping, *messages: bytes | str) -> None:
    """Have the server send messages on its only call."""
    (connection,) = on.run.server._connection_of.values()
    for message in messages:
        if isinstance(message, str):
            connection.send_command(message.encode())
        else:
            connection.send_audio(message)


async def test_every_frame_of_a_call_is_there_with_what_is_known_of_it(tmp_path: Path) -> None:
    async with dumping_server(tmp_path) as on:
        peer = await on.run.call(text(METADATA), binary(AUDIO))
        await on.run.events.wait_for("call-started")
        say(on, '{"type":"mark","data":{"name":"m"}}', AUDIO)
        assert len(await peer.read_frame()) > 2
        await peer.send(text('{"event":"dtmf","dtmf":"1"}'), close(1000, "bye"))
        event, dump = await on.saved()
        url, remote = on.run.server.url, on.run.events.of("call-started")[0]["remote"]

    assert dump.payloads(THEM) == [METADATA.encode(), AUDIO, b'{"event":"dtmf","dtmf":"1"}', b"\x03\xe8bye"]
    assert dump.payloads(US)[:2] == [b'{"type":"mark","data":{"name":"m"}}', AUDIO]
    header = dump.header
    assert (header.call, header.call_sid, header.target, header.server) == ("CS-A", "CS-A", "/calls?x=1", url)
    assert (header.remote, header.subprotocol) == (remote, "audio.jambonz.org")
    assert datetime.fromisoformat(header.created).utcoffset() is not None
    assert dump.end == DumpEnd(dump.items[-1].at, "jambonz", 1000, "bye")  # type: ignore[union-attr]
    assert event["path"] == str(tmp_path / "CS-A.jsonl")
    assert (event["frames"], event["lost_frames"]) == (len(dump.frames), 0)
    assert event["bytes"] == (tmp_path / "CS-A.jsonl").stat().st_size
    assert mode_of(tmp_path / "CS-A.jsonl") == 0o600


async def test_times_count_from_the_start_and_never_go_back(tmp_path: Path) -> None:
    async with dumping_server(tmp_path) as on:
        peer = await on.run.call(text(METADATA))
        for number in range(5):
            await peer.send(text(f'{{"event":"dtmf","dtmf":"{number}"}}'))
            await on.run.events.wait_for("dtmf", number + 1)
            await asyncio.sleep(0.1)
            say(on, '{"type":"killAudio"}')
        await peer.send(close())
        _, dump = await on.saved()

    assert dump.end is not None
    times = [*(timed.at for timed in dump.frames), dump.end.at]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] < 10
    assert [timed.sender for timed in dump.frames][:5] == [THEM, THEM, US, THEM, US]


@pytest.mark.parametrize("name", ["c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver"])
@pytest.mark.parametrize("cut", [whole, odd_pieces(seed=1)], ids=["whole", "odd pieces"])
async def test_a_capture_is_dumped_byte_for_byte_both_ways(name: str, cut: Cut, tmp_path: Path) -> None:
    answers = cut_frames(after_head(b"".join(data for _, data in server_stream(name))))
    commands = [one for one in answers if one.first in (0x81, 0x82)]
    stream = client_bytes(name)

    async with dumping_server(tmp_path) as on:
        said = asyncio.create_task(replay("127.0.0.1", on.run.port, stream, cut=cut_then(on, cut, commands)))
        received = cut_frames(after_head(await said))
        _, dump = await on.saved()

    assert len(commands) > 2
    assert dump.shapes(THEM) == shapes_of(cut_frames(after_head(stream)))
    assert dump.shapes(US) == shapes_of(received)
    assert [(first, payload) for first, _, payload in dump.shapes(US)][: len(commands)] == [
        (one.first, one.payload) for one in commands
    ]


def cut_then(on: Dumping, cut: Cut, commands: list[WireFrame]) -> Cut:
    """Return ``cut``, which has the server send ``commands`` when its metadata has gone out, before the rest does."""

    def cut_it(stream: bytes) -> Iterator[bytes]:
        if stream.endswith(END_OF_HEAD):
            yield from cut(stream)
            return
        first = stream.index(b"\x82")
        yield stream[:first]
        while not on.run.server._connection_of:
            yield b""
        say(on, *(one.payload.decode() if one.first == 0x81 else one.payload for one in commands))
        yield from cut(stream[first:])

    return cut_it


@pytest.mark.parametrize(
    ("last", "shape"),
    [(frame(0x3, b"x", rsv=2), (0xA3, True, b"x")), (frame(BINARY, AUDIO, mask=None), (0x82, False, AUDIO))],
    ids=["reserved", "unmasked"],
)
async def test_frames_stand_there_as_they_came_right_or_wrong(
    last: bytes, shape: tuple[int, bool, bytes], tmp_path: Path
) -> None:
    fragments = [frame(TEXT, b'{"event":"dt', fin=False), frame(PING, b"p"), frame(CONTINUATION, b'mf","dtmf":"1"}')]
    async with dumping_server(tmp_path) as on:
        await on.run.call(text(METADATA), text(b"\xff"), *fragments, binary(b""), last)
        _, dump = await on.saved()

    assert dump.shapes(THEM)[1:] == [
        (0x81, True, b"\xff"),
        (0x01, True, b'{"event":"dt'),
        (0x89, True, b"p"),
        (0x80, True, b'mf","dtmf":"1"}'),
        (0x82, True, b""),
        shape,
    ]
    assert (0x8A, False, b"p") in dump.shapes(US)


async def test_a_dumped_call_is_read_at_once(tmp_path: Path) -> None:
    async with dumping_server(tmp_path, faster(read_interval=60, ping_interval=float("inf"))) as on:
        peer = await on.run.call(text(METADATA))
        await peer.send(text('{"event":"dtmf","dtmf":"1"}'))
        await on.run.events.wait_for("dtmf")
        (connection,) = on.run.server._connection_of
        # A tool that comes and goes changes nothing.
        on.run.server._connection_of[connection].read_at_once(True)
        on.run.server._connection_of[connection].read_at_once(False)
        await peer.send(text('{"event":"dtmf","dtmf":"2"}'))
        await on.run.events.wait_for("dtmf", 2)


async def test_audio_has_the_time_at_which_it_arrived_although_it_is_processed_later(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with dumping_server(tmp_path) as on:
        peer = await on.run.call(text(METADATA))
        await on.run.events.wait_for("call-started")
        (call,) = on.run.server.live
        sent: list[float] = []
        batches: set[int] = set()
        for number in range(150):
            await asyncio.sleep(0.02 + 0.001 * (number % 3))
            sent.append(round(loop.time() - call.started_at, 6))
            await peer.send(binary(AUDIO))
            batches.add(call.session.position)
        await peer.send(close())
        _, dump = await on.saved()

    assert [timed.at for timed in dump.frames[1:-2]] == pytest.approx(sent, abs=1e-6)
    assert dump.payloads(THEM)[1:-1] == [AUDIO] * 150
    assert len(batches) < 30


async def test_audio_is_processed_before_whatever_follows_it(tmp_path: Path) -> None:
    async with dumping_server(tmp_path) as on:
        peer = await on.run.call(text(METADATA))
        await on.run.events.wait_for("call-started")
        for number in range(1, 4):
            await peer.send(binary(AUDIO), binary(AUDIO), text('{"event":"dtmf","dtmf":"1"}'), binary(AUDIO))
            await on.run.events.wait_for("dtmf", number)
            await asyncio.sleep(0.01)
            say(on, '{"type":"killAudio"}')
        await peer.send(binary(AUDIO), binary(AUDIO)[:50])
        peer.end_writing()
        ended = await on.run.events.wait_for("call-ended")
        _, dump = await on.saved()

    assert [event["position"] for event in on.run.events.of("dtmf")] == [320, 800, 1280]
    assert ended["received_samples"] == 10 * 160
    order = [(timed.sender, timed.frame.opcode) for timed in dump.frames if timed.frame.opcode in (TEXT, BINARY)]
    round_of_four = [(THEM, BINARY), (THEM, BINARY), (THEM, TEXT), (THEM, BINARY), (US, TEXT)]
    assert order == [(THEM, TEXT), *round_of_four * 3, (THEM, BINARY)]
    times = [timed.at for timed in dump.frames]
    assert times == sorted(times)


async def test_a_crash_costs_at_most_the_last_second(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with dumping_server(tmp_path) as on:
        peer = await on.run.call(text(METADATA))
        await on.run.events.wait_for("call-started")
        (call,) = on.run.server.live
        for number in range(300):
            await asyncio.sleep(0.02)
            await peer.send(binary(AUDIO))
            if number > 50:
                assert load(tmp_path / "CS-A.jsonl").frames[-1].at > loop.time() - call.started_at - 1
        await peer.send(close())


async def test_a_flood_of_small_frames_is_no_audio_that_may_wait(tmp_path: Path) -> None:
    # 63 frames are one read, and their lengths have 16 bits, as that of longer audio.
    tiny = b"\x82\xfe\x00\x02" + binary(bytes(2))[2:]
    async with dumping_server(tmp_path) as on:
        peer = await on.run.call(text(METADATA))
        await on.run.events.wait_for("call-started")
        with contextlib.suppress(ConnectionError):
            while not on.run.events.of("call-ended"):
                await peer.send(tiny * 63)
                await asyncio.sleep(0.005)
                await peer.send(frame(PING, b""))
                await asyncio.sleep(0.005)
        ended = await on.run.events.wait_for("call-ended")

    assert ended["close_code"] == 1008
    assert [warning["rule"] for warning in on.run.events.of("warning")][-1] == "frame-flood"


async def test_a_fault_in_audio_that_waits_ends_the_call_and_harms_no_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault")

    async with dumping_server(tmp_path) as on:
        peer = await on.run.call(text(METADATA))
        await on.run.events.wait_for("call-started")
        (connection,) = on.run.server._connection_of.values()
        for _ in range(2):
            await peer.send(binary(AUDIO))
            await asyncio.sleep(0.01)
        assert connection._arrivals
        monkeypatch.setattr(ListenSession, "receive_audio_reads", fail)
        sent = connection.send_command(b'{"type":"killAudio"}')
        ended = await on.run.events.wait_for("call-ended")

    assert not sent
    assert ended["close_code"] == 1006
    assert [record.message for record in caplog.records] == ["a call failed unexpectedly"]


async def test_what_waits_is_dumped_when_the_dumper_ends_before_the_call(tmp_path: Path) -> None:
    async with running(FAST) as run:
        async with call_dumper.dumping(run.server, tmp_path) as dumper:
            assert dumper is not None
            wait_for_writer(dumper._writer)
            peer = await run.call(text(METADATA))
            await run.events.wait_for("call-started")
            await peer.send(binary(AUDIO), text('{"event":"dtmf","dtmf":"1"}'))
            await run.events.wait_for("dtmf")
        frames = load(tmp_path / "CS-A.jsonl").frames

    assert [timed.frame.opcode for timed in frames] == [TEXT, BINARY, TEXT]


async def test_a_dumped_call_is_pinged_no_earlier_than_others(tmp_path: Path) -> None:
    settings = faster(metadata_timeout=0.1, ping_interval=60.0)
    async with dumping_server(tmp_path, settings) as on:
        peer = await on.run.call(text(METADATA))
        await on.run.events.wait_for("call-started")
        (connection,) = on.run.server._connection_of.values()

        assert connection._deadline > asyncio.get_running_loop().time() + 50
        await peer.close()


async def test_our_own_farewell_to_a_peer_that_is_gone_is_there(tmp_path: Path) -> None:
    async with dumping_server(tmp_path, faster(ping_interval=0.05, unanswered_pings=1)) as on:
        peer = await on.run.call(text(METADATA))
        _, dump = await on.saved()
        received = cut_frames(await peer.read_to_end())

    assert dump.shapes(US) == shapes_of(received)
    assert received[-1].payload[:2] == b"\x03\xf3"


async def test_a_server_that_is_stopped_dumps_its_own_close_and_the_answer(tmp_path: Path) -> None:
    async with dumping_server(tmp_path) as on:
        peer = await on.run.call(text(METADATA))
        await on.run.events.wait_for("call-started")
        on.run.server.shutdown.begin()
        await peer.read_frame()
        await peer.send(close(1001))
        _, dump = await on.saved()

    assert dump.payloads(US) == [b"\x03\xe9server is stopping"]
    assert dump.payloads(THEM)[-1] == b"\x03\xe9"
    assert dump.end is not None
    assert dump.end.closed_by == "listenctl"


async def test_a_connection_that_ended_before_it_was_a_call_is_dumped_too(tmp_path: Path) -> None:
    async with dumping_server(tmp_path) as on:
        await on.run.call(frame(PING, b"?"), close(1001))
        event, dump = await on.saved()

    assert (event["call"], event["path"]) == (None, str(tmp_path / "unknown.jsonl"))
    assert dump.header.call is None
    assert dump.payloads(THEM) == [b"?", b"\x03\xe9"]
    assert dump.payloads(US)[0] == b"?"


async def test_nothing_is_left_of_a_connection_on_which_nothing_was_said(tmp_path: Path) -> None:
    async with dumping_server(tmp_path) as on:
        peer = await on.run.call()
        await peer.close()
        await until(lambda: not on.run.server.live)

    assert names_in(tmp_path) == []


async def test_audio_before_the_metadata_is_there_in_its_place(tmp_path: Path) -> None:
    async with dumping_server(tmp_path) as on:
        await on.run.call(binary(AUDIO), binary(b"\x01\x00"), text(METADATA), close())
        _, dump = await on.saved()

    assert dump.header.call == "CS-A"
    assert dump.payloads(THEM)[:3] == [AUDIO, b"\x01\x00", METADATA.encode()]


@pytest.mark.parametrize(
    ("last", "fault", "end"),
    [
        (binary(AUDIO)[:100], "the connection ended within a frame, of which there are 100 bytes", ("nobody", 1006)),
        (b"\x82\xfe\x10\x00" + bytes(4), "a frame of 4096 bytes, which is more than 1024", ("listenctl", 1009)),
    ],
)
async def test_a_frame_that_is_not_whole_ends_what_is_dumped_of_that_side(
    last: bytes, fault: str, end: tuple[str, int], tmp_path: Path
) -> None:
    async with dumping_server(tmp_path, faster(max_message=1024)) as on:
        peer = await on.run.call(text(METADATA), last)
        peer.end_writing()
        _, dump = await on.saved()

    assert [(one.sender, one.detail) for one in dump.faults] == [(THEM, fault)]
    assert dump.end is not None
    assert (dump.end.closed_by, dump.end.code) == end


async def test_names_are_harmless_and_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "___x.jsonl").write_text("mine")
    for _ in range(2):
        async with dumping_server(tmp_path) as on:
            await on.run.call(text(METADATA.replace("CS-A", "../x")), close())
            await on.saved()

    assert names_in(tmp_path) == ["___x-2.jsonl", "___x-3.jsonl", "___x.jsonl"]
    assert (tmp_path / "___x.jsonl").read_text() == "mine"


async def test_a_folder_that_cannot_take_dumps_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    check_folder(tmp_path / "new" / "folder")

    assert mode_of(tmp_path / "new") == 0o700
    with pytest.raises(UsageError, match="not a folder, so dumps can't be written there"):
        check_folder(tmp_path / "file")
    with pytest.raises(UsageError, match="can't create the folder for dumps: Not a directory"):
        check_folder(tmp_path / "file" / "below")


# A disk that fails, or is slow.


async def test_a_full_disk_costs_the_frames_it_did_not_take_and_not_the_call(tiny: Path) -> None:
    async with dumping_server(tiny) as on:
        peer = await on.run.call(text(METADATA))
        (ballast := tiny / "ballast").write_bytes(bytes(150_000))
        sent = await send_until(peer, BLOCK, on.run.events.wait_for("dump-failed"))
        ballast.unlink()
        sent += await send_until(peer, BLOCK, on.run.events.wait_for_warning("dump-resumed"))
        await peer.send(close())
        ended = await on.run.events.wait_for("call-ended")
        event, dump = await on.saved()

    (failed,) = on.run.events.of("dump-failed")
    assert failed["reason"] == "No space left on device"
    assert ended["received_samples"] == sent * 500
    assert dump.lost == event["lost_frames"] > 0
    assert len(dump.payloads(THEM)) + dump.lost == sent + 2
    assert len(dump.frames) == event["frames"]
    assert on.dumper.lost_frames


async def test_a_dump_that_is_deleted_during_a_call_is_restored(tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    async with dumping_server(folder) as on:
        peer = await on.run.call(text(METADATA), binary(BLOCK))
        await until(lambda: any(path.stat().st_size for path in folder.iterdir()))
        shutil.rmtree(folder)
        await peer.send(binary(BLOCK), close())
        event, dump = await on.saved()

    assert Path(event["path"]).parent == folder
    assert (len(dump.payloads(THEM)), event["lost_frames"]) == (4, 0)
    assert [warning["rule"] for warning in on.run.events.of("warning")] == ["dump-restored"]


async def test_what_a_slow_disk_leaves_behind_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_dumper, "MAX_WAITING_BYTES", 5000)
    async with dumping_server(tmp_path) as on:
        peer = await on.run.call(text(METADATA))
        await on.run.events.wait_for("call-started")
        # Far more than may wait, and before the next write is due.
        await peer.send(binary(BLOCK) * 20)
        await on.run.events.wait_for("dump-failed")
        await peer.send(close())
        event, dump = await on.saved()

    (failed,) = on.run.events.of("dump-failed")
    assert failed["reason"] == "the disk is too slow"
    assert dump.lost == event["lost_frames"] > 0
    assert dump.payloads(THEM).count(BLOCK) + dump.lost >= 20
    assert dump.header.call == "CS-A"
    assert on.dumper.lost_frames


async def test_what_waits_for_an_id_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_dumper, "MAX_HELD_BYTES", 5000)
    async with dumping_server(tmp_path) as on:
        await on.run.call(binary(BLOCK) * 20, text(METADATA), close())
        event, dump = await on.saved()

    assert dump.lost == event["lost_frames"]
    assert len(dump.payloads(THEM)) + dump.lost >= 22
    assert dump.payloads(THEM).count(BLOCK) == 3


async def test_a_folder_that_has_gone_costs_the_dump_and_not_the_call(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    async with dumping_server(folder) as on:
        folder.rmdir()
        folder.touch()
        await on.run.call(text(METADATA), close())
        failed = await on.run.events.wait_for("dump-failed")

    assert failed["path"] == str(folder / "CS-A.jsonl")
    assert on.run.events.of("call-ended")
    assert on.run.events.of("dump-saved") == []


async def test_masked_frames_are_in_the_file_within_a_second_though_some_wait_for_what_follows(tmp_path: Path) -> None:
    async with dumping_server(tmp_path, faster(mask_dtmf=True)) as dumping:
        peer = await dumping.run.call(text(METADATA))
        for _ in range(50):
            await peer.send(binary(AUDIO))
            await asyncio.sleep(0.02)
        await peer.send(text('{"event":"dtmf","dtmf":"4"}'))
        await asyncio.sleep(0.9)
        *_, last = load(tmp_path / "CS-A.jsonl").items
        await peer.send(binary(AUDIO), close(1000))
        _, dump = await dumping.saved()

    assert isinstance(last, TimedFrame)
    assert last.frame.payload == b'{"event":"dtmf","dtmf":"x"}'
    frames = [frame for _, sender, frame in dump.frames if sender is THEM]
    assert b"".join(frame.payload for frame in frames if frame.opcode == Opcode.BINARY) == AUDIO * 51
