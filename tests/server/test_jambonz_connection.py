"""One call on a real socket: its first frames, its deadlines, and every way to end."""

import asyncio
import ssl
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.server import ServerProtocol

from listenctl.background_task import background_task
from listenctl.net.client_connection import FLOOD
from listenctl.net.nonblocking_socket import TlsSocket
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.frame_rate_limit import FLOOD_AFTER
from listenctl.server.jambonz_connection import ClosingState
from listenctl.server.recording.call_recorder import FileRecording
from listenctl.server.settings import ServerSettings
from tests.helpers.capture import client_bytes, odd_pieces, received_audio, replay
from tests.helpers.control import Controlled
from tests.helpers.frames import CLOSE, HANDSHAKE, PING, PONG, binary, close, frame, text
from tests.helpers.server import FAST, Event, Events, Peer, faster, read_sidecar, recorded_audio, recorded_file, running
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')
# 20 ms at 8 kHz mono; no two samples alike.
AUDIO = struct.pack("<160h", *range(1000, 1160))


def later(number: int) -> bytes:
    """Return the audio of a later frame."""
    return struct.pack("<160h", *range(number * 160, number * 160 + 160))


async def ended(events: Events) -> tuple[str, int | None, str]:
    """Return who ended the call and how."""
    event = await events.wait_for("call-ended")
    return event["closed_by"], event["close_code"], event["close_reason"]


# First frames.


async def record(folder: Path, *messages: bytes, settings: ServerSettings = FAST) -> tuple[Events, Event]:
    """Record a call of these messages; return all events, and that of the recording."""
    async with running(settings, record=folder) as run:
        await run.call(*messages)
        return run.events, await run.events.wait_for("recording-saved")


@pytest.mark.parametrize(
    "rest",
    [b""""OBrien"}'""", b'"' + b"\xc3\xbc" * 4069, b'"\n\t"}'],
    ids=["apostrophe", "cut in a character", "controls"],
)
async def test_a_broken_first_frame_costs_nothing(rest: bytes, tmp_path: Path) -> None:
    first = b'{"sampleRate":16000,"mixType":"mono","callSid":"c","x":' + rest
    events, saved = await record(tmp_path, text(first[:8192]), binary(AUDIO), close())

    (started,) = events.of("call-started")
    assert started["call_sid"] == "c"
    assert (started["sample_rate"], started["channels"]) == (16000, 1)
    assert not started["metadata_valid"]
    assert recorded_audio(saved) == AUDIO
    warnings = [event["detail"] for event in events.of("warning") if event["rule"] == "first-frame"]
    assert warnings
    sidecar = read_sidecar(saved)
    assert [entry["detail"] for entry in sidecar["warnings"]] == warnings
    assert sidecar["metadata_raw"].encode()[:60] == first[:60]


@pytest.mark.parametrize("first", [b"{}", b"not json", b"", b"[1]"])
async def test_a_first_frame_without_a_format_means_the_defaults(first: bytes, tmp_path: Path) -> None:
    settings = faster(default_format=AudioFormat(24000, 2))
    events, saved = await record(tmp_path, text(first), binary(AUDIO), close(), settings=settings)

    (started,) = events.of("call-started")
    assert (started["call"], started["call_sid"]) == ("unknown-1", None)
    assert (started["sample_rate"], started["channels"]) == (24000, 2)
    assert recorded_audio(saved) == AUDIO


async def test_a_call_without_metadata_has_the_defaults_until_metadata_comes(tmp_path: Path) -> None:
    late = text('{"sampleRate":16000,"mixType":"stereo","callSid":"late"}')
    async with running(faster(metadata_timeout=0.05), record=tmp_path) as run:
        peer = await run.call(binary(AUDIO))
        missing = await run.events.wait_for_warning("no-metadata")
        await peer.send(late, binary(later(1)), close())
        saved = await run.events.wait_for("recording-saved")
        warning = await run.events.wait_for_warning("late-metadata")

    sidecar = read_sidecar(saved)
    assert "8000 Hz, 1 channel" in missing["detail"]
    assert warning["call_sid"] == "late"
    assert sidecar["call_sid"] == "late"
    assert sidecar["metadata"]["mixType"] == "stereo"
    assert (sidecar["audio"]["sample_rate"], sidecar["audio"]["channels"]) == (16000, 2)
    assert sidecar["audio"]["samples"] == saved["samples"] == 160
    assert recorded_audio(saved) == AUDIO + later(1)
    assert struct.unpack_from("<HI", recorded_file(saved), 58) == (2, 16000)


async def test_a_peer_that_says_nothing_is_closed_and_never_becomes_a_call(tmp_path: Path) -> None:
    async with running(faster(first_frame_timeout=5.0), record=tmp_path) as run:
        peer = await run.call(frame(PING, b""))
        live = await run.call(METADATA, binary(AUDIO))
        refused = await run.events.wait_for("connection-refused")
        end = await peer.read_to_end()
        await live.send(binary(later(1)), close())
        saved = await run.events.wait_for("recording-saved")
        metrics = await run.ask(b"GET /metrics HTTP/1.1\r\n\r\n")

    assert (refused["status"], refused["limit"]) == (408, "first-frame-timeout")
    reason = b"nothing followed the handshake within --first-frame-timeout"
    assert end == frame(PONG, b"", mask=None) + frame(CLOSE, b"\x03\xf0" + reason, mask=None)
    assert [event["call"] for event in run.events.of("call-started")] == ["CS-A"]
    assert recorded_audio(saved) == AUDIO + later(1)
    assert run.server.recorder is not None
    assert run.server.recorder.recorded_bytes == saved["bytes"]
    assert b'listenctl_limits_reached_total{limit="first-frame-timeout"} 1.0' in metrics


async def test_metadata_that_come_before_the_peer_is_given_up_start_the_call() -> None:
    async with running(faster(metadata_timeout=1.0)) as run:
        peer = await run.call()
        await asyncio.sleep(9.0)
        await peer.send(METADATA, close())
        ended_call = await run.events.wait_for("call-ended")

    assert (ended_call["call"], ended_call["warnings"]) == ("CS-A", 0)


async def test_without_a_limit_a_peer_that_says_nothing_is_a_call_without_metadata() -> None:
    async with running(faster(first_frame_timeout=None, metadata_timeout=1.0)) as run:
        await run.call()
        await run.events.wait_for_warning("no-metadata")


# What comes between.


async def test_texts_are_reported_and_none_of_them_reaches_the_audio(tmp_path: Path) -> None:
    texts = [
        '{"event":"dtmf","dtmf":"2","duration":"1600"}',
        '{"event":"dtmf","dtmf":"1","duration":"1600"}{"event":"dtmf","dtmf":"#","duration":200}',
        '{"type": "mark", "data": {"name":"my-mark-1", "event": "playout"}}',
        '{"type":"playDone","data":{"id":"v7","playbackSeconds":"1","playbackMilliseconds":"1240"}}',
        '{"type":"playDone"}',
        '{"type":"session:summary","data":{"call_start":"2026-04-16T18:24:43.955Z"}}',
        '{"hello":1}',
        "not json",
        "",
    ]
    events, saved = await record(tmp_path, METADATA, binary(AUDIO), *map(text, texts), binary(later(1)), close())

    messages = [event for event in events.all if event["event"] in ("dtmf", "mark", "play-done", "message")]
    assert [event["event"] for event in messages] == (["dtmf"] * 3 + ["mark"] + ["play-done"] * 2 + ["message"] * 4)
    assert [(event["digit"], event["duration_ms"]) for event in messages[:3]] == [("2", 200), ("1", 200), ("#", 200)]
    assert (messages[3]["name"], messages[3]["result"]) == ("my-mark-1", "playout")
    assert (messages[4]["id"], messages[4]["played_ms"]) == ("v7", 1240)
    assert {event["position"] for event in messages} == {160}
    assert recorded_audio(saved) == AUDIO + later(1)
    assert [entry["event"] for entry in read_sidecar(saved)["events"]] == [event["event"] for event in messages]


# Deadlines.


@pytest.mark.parametrize("answer", [frame(PONG, b""), binary(AUDIO)], ids=["pong", "audio"])
async def test_pings_are_sent_and_any_sign_of_life_keeps_the_call(answer: bytes) -> None:
    timeouts = {"drain_timeout": 0.02, "metadata_timeout": 0.02}
    async with running(faster(ping_interval=0.05, unanswered_pings=2, **timeouts)) as run:
        peer = await run.call(METADATA, binary(AUDIO))
        for _ in range(10):
            assert await peer.read_frame() == b"\x89\x00"
            await peer.send(answer)
        assert run.events.of("call-ended") == []


async def test_a_peer_that_answers_no_ping_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    settings = faster(ping_interval=0.05, unanswered_pings=2)
    events, saved = await record(tmp_path, METADATA, binary(AUDIO), settings=settings)

    assert await ended(events) == ("listenctl", 1011, "no answer to pings")
    assert recorded_audio(saved) == AUDIO


@pytest.mark.parametrize("last", [b"", binary(b"")], ids=["pings", "draining"])
async def test_who_waits_for_our_disk_is_not_silent(
    last: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = [True]
    monkeypatch.setattr(FileRecording, "is_behind", property(lambda _: behind[0]))
    settings = faster(ping_interval=0.05, unanswered_pings=2, drain_timeout=0.1)
    async with running(settings, record=tmp_path) as run:
        peer = await run.call(METADATA, binary(AUDIO) * 700, last)
        await run.events.wait_for("call-started")
        await peer.send(binary(AUDIO) * 5000, close())
        await asyncio.sleep(3)
        assert run.events.of("call-ended") == []
        behind[0] = False
        saved = await run.events.wait_for("recording-saved")

    assert await ended(run.events) == ("jambonz", 1000, "")
    assert (saved["samples"], saved["complete"]) == (160 * 5700, True)


async def test_a_call_that_lasts_too_long_is_closed_and_complete_as_far_as_it_goes(tmp_path: Path) -> None:
    reason = "the call has reached --max-call-length"
    async with running(faster(max_call_length=30.0, ping_interval=7.0), record=tmp_path) as run:
        began = simulated_loop().time()
        peer = await run.call(METADATA, binary(AUDIO))
        while (sent := await peer.read_frame()) == b"\x89\x00":
            await peer.send(frame(PONG, b""))
        lasted = simulated_loop().time() - began
        await peer.send(binary(later(1)), close(1000, reason))
        saved = await run.events.wait_for("recording-saved")
        metrics = await run.ask(b"GET /metrics HTTP/1.1\r\n\r\n")

    assert sent == frame(CLOSE, b"\x03\xe8" + reason.encode(), mask=None)
    assert 30.0 <= lasted < 31.0
    assert await ended(run.events) == ("listenctl", 1000, reason)
    assert recorded_audio(saved) == AUDIO + later(1)
    sidecar = read_sidecar(saved)
    assert sidecar["close"]["reason"] == reason
    assert [warning["rule"] for warning in sidecar["warnings"]] == ["max-call-length"]
    assert b'listenctl_limits_reached_total{limit="max-call-length"} 1.0' in metrics


async def test_silence_after_an_empty_message_is_closed_by_us(tmp_path: Path) -> None:
    async with running(faster(drain_timeout=0.1), record=tmp_path) as run:
        peer = await run.call(METADATA, binary(AUDIO), binary(b""))
        assert await peer.read_frame() == b"\x88\x02\x03\xe8"
        await peer.send(binary(later(1)), close())
        assert await ended(run.events) == ("listenctl", 1000, "")
        saved = await run.events.wait_for("recording-saved")

    assert recorded_audio(saved) == AUDIO + later(1)
    assert [entry["rule"] for entry in read_sidecar(saved)["warnings"]] == ["empty-message"]


@pytest.mark.parametrize("before", [(METADATA, binary(AUDIO)), ()], ids=["metadata", "no metadata"])
async def test_a_peer_that_does_not_answer_our_close_is_hung_up_on(before: tuple[bytes, ...]) -> None:
    async with running(faster(drain_timeout=0.1, close_timeout=0.1, metadata_timeout=0.05)) as run:
        peer = await run.call(*before, binary(b""))
        assert await peer.read_to_end() == b"\x88\x02\x03\xe8"
        if before:
            assert await ended(run.events) == ("listenctl", 1000, "")


# Ends.


@pytest.mark.parametrize(
    ("closing", "answer", "code", "reason"),
    [
        (close(), b"\x88\x02\x03\xe8", 1000, ""),
        (close(1000, "bye"), b"\x88\x05\x03\xe8bye", 1000, "bye"),
        (close(4001), b"\x88\x02\x0f\xa1", 4001, ""),
        (close(None), b"\x88\x00", 1005, ""),
    ],
    ids=["plain", "with a reason", "own code", "without a code"],
)
async def test_a_close_is_echoed(closing: bytes, answer: bytes, code: int, reason: str) -> None:
    async with running() as run:
        peer = await run.call(METADATA, closing)
        assert await peer.read_to_end() == answer
        assert await ended(run.events) == ("jambonz", code, reason)


@pytest.mark.parametrize(("closing", "end"), [(close(), ("jambonz", 1000)), (b"", ("nobody", 1006))])
async def test_a_fin_loses_nothing(closing: bytes, end: tuple[str, int], tmp_path: Path) -> None:
    async with running(record=tmp_path) as run:
        peer = await run.call(METADATA, b"".join(binary(later(number)) for number in range(100)) + closing)
        peer.end_writing()
        assert (await ended(run.events))[:2] == end
        saved = await run.events.wait_for("recording-saved")

    assert recorded_audio(saved) == b"".join(map(later, range(100)))
    assert saved["complete"]


@pytest.mark.parametrize(
    ("read_interval", "between"),
    [(0.02, b""), (0.5, b""), (0.5, frame(PING, b"x"))],
    ids=["often", "seldom", "a pong fails"],
)
async def test_a_reset_right_after_the_last_audio_loses_nothing(
    read_interval: float, between: bytes, tmp_path: Path
) -> None:
    before, after = (b"".join(binary(later(number)) for number in part) for part in (range(100), range(100, 200)))
    async with running(faster(read_interval=read_interval), record=tmp_path) as run:
        peer = await run.call(METADATA, before)
        await run.events.wait_for("call-started")
        await peer.send(between + after)
        await peer.reset()
        assert (await ended(run.events))[:2] == ("nobody", 1006)
        saved = await run.events.wait_for("recording-saved")

    assert recorded_audio(saved) == b"".join(map(later, range(200)))


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (frame(0x2, AUDIO, mask=None), 1002),
        (frame(0x3, AUDIO), 1002),
        (frame(0x2, AUDIO, rsv=4), 1002),
        (frame(PING, bytes(126)), 1002),
        (frame(0x0, AUDIO), 1002),
        (close(999), 1002),
        (binary(bytes(4098)), 1009),
    ],
    ids=["unmasked", "reserved opcode", "RSV1", "long ping", "stray continuation", "bad close code", "too long"],
)
async def test_a_bad_frame_closes_the_call_and_keeps_the_audio_before_it(bad: bytes, code: int, tmp_path: Path) -> None:
    async with running(faster(max_message=4096), record=tmp_path) as run:
        peer = await run.call(METADATA, binary(bytes(4096)) + bad + binary(later(1)))
        answer = await peer.read_to_end()
        by, told, reason = await ended(run.events)
        saved = await run.events.wait_for("recording-saved")

    assert answer[:1] + answer[2:4] == b"\x88" + code.to_bytes(2, "big")
    assert (by, told) == ("listenctl", code)
    assert reason
    assert recorded_audio(saved) == bytes(4096)


@pytest.mark.parametrize(
    ("last", "refused"),
    [
        (binary(bytes(32_000)), 16_000),
        (frame(0x2, bytes(4000), fin=False) + frame(0x0, bytes(6000)), 5_000),
        (frame(0x2, bytes(3000), fin=False), 1_500),
        (binary(bytes(4000))[:-1000], 1_500),
        (binary(AUDIO)[:-100], 0),
        (text("x" * 5000), 0),
    ],
    ids=["too long", "fragments too long", "unfinished message", "cut burst", "cut frame", "long text"],
)
async def test_audio_that_arrived_but_was_not_taken_is_lost(last: bytes, refused: int, tmp_path: Path) -> None:
    async with running(faster(max_message=4096), record=tmp_path) as run:
        peer = await run.call(METADATA, binary(AUDIO), binary(AUDIO), last)
        peer.end_writing()
        saved = await run.events.wait_for("recording-saved")
        gaps = run.events.of("gap")
        sidecar = read_sidecar(saved)

    assert [(gap["kind"], gap["position"], gap["missing"]) for gap in gaps] == [("refused", 320, refused)] * (
        refused > 0
    )
    assert (sidecar["lost_samples"], sidecar["complete"]) == (refused, refused == 0)
    assert run.server.lost_audio is (refused > 0)


async def test_a_burst_of_five_seconds_at_64_khz_is_one_message(tmp_path: Path) -> None:
    burst = bytes(range(256)) * 5000
    metadata = text('{"sampleRate":64000,"mixType":"stereo","callSid":"burst"}')
    _, saved = await record(tmp_path, metadata, binary(burst), close())

    assert recorded_audio(saved) == burst


@pytest.mark.parametrize("at_once", [False, True], ids=["in batches", "at once"])
@pytest.mark.parametrize(("late", "kind"), [(True, "unknown"), (False, "pause")])
async def test_silence_while_the_server_is_late_is_unknown(
    late: bool, kind: str, at_once: bool, tmp_path: Path
) -> None:
    async def speak(seconds: float) -> None:
        for number in range(round(50 * seconds)):
            await peer.send(binary(later(number % 100)))
            await asyncio.sleep(0.02)

    async with running(faster(read_interval=0.7), record=tmp_path) as run:
        peer = await run.call(METADATA)
        await run.events.wait_for("call-started")
        for connection in run.server.connections:
            connection.read_at_once(at_once)
        await speak(2)
        if late:
            simulated_loop().advance(3)
        else:
            await asyncio.sleep(3)
        await speak(3)
        await peer.send(close())
        saved = await run.events.wait_for("recording-saved")

    missing = {gap["kind"]: gap["length"] for gap in run.events.of("gap") if gap["missing"] > 0}
    assert max(missing, key=lambda kind: missing[kind]) == kind
    assert sum(missing.values()) == pytest.approx(3, abs=0.7)
    assert saved["complete"] is (kind == "pause")


SMALL_FRAMES = {
    "empty texts": text(""),
    "glued texts": text('{"event":"dtmf","dtmf":"1","duration":"1600"}' * 100),
    "empty audio": binary(b""),
    "two bytes of audio": binary(b"ab"),
    "audio of two sizes": binary(b"ab") + binary(b"abcd"),
    "pings": frame(PING, bytes(125)),
    "pongs": frame(PONG, b""),
    "fragments": frame(0x1, b"", fin=False) + frame(0x0, b"", fin=False) * 1000 + frame(0x0, b""),
}


async def send_for_ever(peer: Peer, data: bytes) -> None:
    with suppress(ConnectionError):
        while True:
            await peer.send(data)


@pytest.mark.parametrize("small", SMALL_FRAMES.values(), ids=SMALL_FRAMES)
@pytest.mark.parametrize("at_once", [False, True], ids=["in batches", "at once"])
async def test_a_flood_of_small_frames_is_read_slowly_and_then_closed(small: bytes, at_once: bool) -> None:
    flood = small * (64 * 1024 // len(small) + 1)
    async with running() as run:
        peer = await run.call(METADATA)
        await run.events.wait_for("call-started")
        for connection in run.server.connections:
            connection.read_at_once(at_once)
        started = simulated_loop().time()
        async with background_task(send_for_ever(peer, flood)):
            assert await ended(run.events) == ("listenctl", 1008, FLOOD)
            took = simulated_loop().time() - started

    assert [event["rule"] for event in run.events.of("warning")][-1] == "frame-flood"
    assert FLOOD_AFTER <= took < 2 * FLOOD_AFTER
    # Those of a backlog, those of the rate, and those of the last turn.
    reported = [event for event in run.events.all if event["event"] in ("message", "dtmf")]
    assert len(reported) < 5000 + 1000 * 6 + 10_000


@pytest.mark.parametrize("size", [2, 16, 60])
@pytest.mark.parametrize("rate", [1000, 8000])
async def test_a_declared_format_does_not_make_small_frames_free(size: int, rate: int) -> None:
    flood = (binary(bytes(size)) + binary(bytes(size + 2))) * 1000
    async with running() as run:
        peer = await run.call(text(f'{{"sampleRate":{rate},"mixType":"mono","callSid":"CS-A"}}'))
        await run.events.wait_for("call-started")
        async with background_task(send_for_ever(peer, flood)):
            assert await ended(run.events) == ("listenctl", 1008, FLOOD)


@pytest.mark.parametrize("answer", ['{"type": "mark", "data": {"name":"m", "event": "playout"}}', ""])
async def test_a_backlog_of_a_minute_with_a_text_for_each_frame_is_no_flood(answer: str, tmp_path: Path) -> None:
    backlog = b"".join(text(answer) + binary(later(number % 100)) for number in range(3000))
    events, saved = await record(tmp_path, METADATA, backlog, close())

    assert (await ended(events))[:2] == ("jambonz", 1000)
    assert len(events.of("mark") + events.of("message")) == 3000
    assert saved["samples"] == 160 * 3000
    assert saved["complete"]


async def test_a_replay_at_full_speed_is_no_flood(tmp_path: Path) -> None:
    minutes = b"".join(text("") + binary(later(number % 100)) for number in range(8000))
    events, saved = await record(tmp_path, METADATA, minutes, close())

    assert (await ended(events))[:2] == ("jambonz", 1000)
    assert saved["samples"] == 160 * 8000


async def test_what_is_left_unread_of_a_peer_that_is_behind_is_not_complete(tmp_path: Path) -> None:
    flood = b"".join(binary(bytes(size)) for size in range(100, 400, 2)) * 100
    async with running(record=tmp_path) as run:
        peer = await run.call(METADATA)
        await run.events.wait_for("call-started")
        await peer.send(flood)
        await asyncio.sleep(0.5)
        for connection in list(run.server.connections):
            connection.abort()
        saved = await run.events.wait_for("recording-saved")

    assert saved["lost_samples"]
    assert not saved["complete"]


@pytest.mark.parametrize(
    "hostile",
    [b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"9" * 5000 + b"}", b'{"a":NaN,"b":1e999}', b'{"a":"\\ud800"}'],
    ids=["brackets", "braces", "digits", "no numbers", "surrogate"],
)
async def test_hostile_texts_end_nothing(hostile: bytes, tmp_path: Path) -> None:
    _, saved = await record(tmp_path, text(hostile), binary(AUDIO), text(hostile), binary(later(1)), close())

    assert recorded_audio(saved) == AUDIO + later(1)
    assert read_sidecar(saved)["finished"]


# Through TLS.


@pytest.fixture
def tls_settings(serving_tls: ssl.SSLContext) -> ServerSettings:
    return faster(tls=serving_tls, drain_timeout=0.2)


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


@pytest.mark.parametrize("name", ["d_wss_mono16k_decrypted", "i_stereo48k", "g_slow_handshake_backlog"])
async def test_a_call_through_tls_is_recorded_sample_for_sample(
    name: str, tls_settings: ServerSettings, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    async with running(tls_settings, record=tmp_path) as run:
        await replay("127.0.0.1", run.port, client_bytes(name), cut=odd_pieces(seed=4), tls=trusting)
        saved = await run.events.wait_for("recording-saved")

    assert recorded_audio(saved) == received_audio(name).data


async def test_a_call_through_tls_is_read_in_batches(
    tls_settings: ServerSettings, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    def read(one: TlsSocket) -> bytes | None:
        data = whole_read(one)
        reads.append(len(data or b""))
        return data

    whole_read = TlsSocket.read
    async with running(tls_settings) as run:
        peer = await run.call(METADATA, tls=trusting)
        await run.events.wait_for("call-started")
        monkeypatch.setattr(TlsSocket, "read", read)
        for _ in range(50):
            await peer.send(binary(bytes(320)))
        await peer.send(close())
        ended = await run.events.wait_for("call-ended")

    assert ended["received_samples"] == 50 * 160
    assert len([size for size in reads if size]) < 25


async def test_a_tool_talks_to_a_call_through_tls(
    tls_settings: ServerSettings, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    socket_path = tmp_path / "listenctl" / "default.sock"
    async with running(replace(tls_settings, control=socket_path, read_interval=1.5)) as run:
        peer = await run.call(METADATA, tls=trusting)
        await run.events.wait_for("call-started")
        async with Controlled(run, socket_path).attach(audio=True) as tool:
            await tool.send('{"type":"killAudio"}', b"\1\2")
            frames = [await peer.read_frame(), await peer.read_frame()]
            for number in range(10):
                await peer.send(binary(bytes([number]) * 320))
                assert await tool.audio(320) == bytes([number]) * 320
        [connection] = run.server.connections
        unsent = connection.unsent

    assert frames == [b'\x81\x14{"type":"killAudio"}', b"\x82\x02\1\2"]
    assert unsent == 0


async def test_plaintext_on_a_tls_port_is_refused_and_reported(tls_settings: ServerSettings) -> None:
    async with running(tls_settings) as run:
        answer = await run.ask(HANDSHAKE)
        refused = await run.events.wait_for("connection-refused")

    assert b"101" not in answer
    assert refused["reason"] == "TLS failed: the client speaks ws://, this port wss://"


async def test_a_tls_handshake_that_stalls_is_given_up(tls_settings: ServerSettings) -> None:
    async with running(replace(tls_settings, handshake_timeout=0.2, close_timeout=0.1)) as run:
        peer = await run.open(b"\x16\x03\x01\x02\x00\x01")
        assert await peer.read_to_end() == b""
        refused = await run.events.wait_for("connection-refused")

    assert refused["status"] == 408


# The end of a connection.


def test_a_peer_that_reads_at_all_is_told_from_one_that_doesnt() -> None:
    closing = ClosingState(ServerProtocol())

    progress = [closing.makes_progress(unsent) for unsent in (100, 60, 60, 10, 0, 0)]

    assert progress == [True, True, False, True, False, False]
