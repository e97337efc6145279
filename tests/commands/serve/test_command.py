"""``serve`` and ``record`` as users run them."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import soundfile

from listenctl.commands.serve.command import ServeOptions, read_sync, server_settings
from listenctl.errors import UsageError
from listenctl.media.files.wav_header import stream_header
from listenctl.protocol.audio import AudioFormat
from tests.helpers.cli import (
    COMMAND,
    Service,
    environment,
    listenctl,
    listenctl_beside,
    process_service,
    refusal,
    service,
)
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.server import Event, Peer, until

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A","from":"\\u001b[31mevil"}')
AUDIO = struct.pack("<160h", *range(1000, 1160))
SERVE = ("serve", "--port", "0", "--json")
RECORD = ("record", "out", "--port", "0", "--json")


async def call(port: int, *messages: bytes, metadata: bytes = METADATA) -> Peer:
    peer = await Peer.open(port)
    await peer.send(HANDSHAKE)
    await peer.read_head()
    await peer.send(metadata, *messages)
    return peer


def port_in(line: str) -> int:
    """Return the port in the line that says where a server listens."""
    return int(line.rsplit(":", 1)[1].strip().strip("/"))


def sox_samples(wav: Path) -> int:
    return int(subprocess.run(["sox", "--info", "-s", wav], check=True, capture_output=True, text=True).stdout)


async def whole_call(port: int) -> None:
    peer = await call(port, binary(AUDIO), close())
    await peer.read_to_end()
    await peer.close()


async def test_each_event_is_a_json_line_with_what_all_have(tmp_path: Path) -> None:
    async with service(*SERVE, "--once", "--levels", "20ms", home=tmp_path) as server:
        port = (await server.started())["port"]
        await whole_call(port)
        lines = (await server.events.read()).splitlines()
        status, said = await server.status()

    events = [json.loads(line) for line in lines]
    assert status == 0
    assert said == ""
    assert [event["event"] for event in events] == ["call-started", "levels", "call-ended", "server-ended"]
    for event in events:
        assert list(event)[:5] == ["v", "ts", "event", "call", "call_sid"]
        call = None if event["event"] == "server-ended" else "CS-A"
        assert (event["v"], event["call"], event["call_sid"]) == (1, call, call)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["ts"])


async def test_without_json_people_read_lines_without_colour_or_escapes(tmp_path: Path) -> None:
    async with service("serve", "--port", "0", "--once", "--events", "log", home=tmp_path) as server:
        await whole_call(port_in(await server.says("server-started")))
        status, said = await server.status()

    assert status == 0
    assert "\x1b" not in said
    assert "call-started CS-A" in said
    assert "call-ended CS-A" in said
    assert "[31mevil" in said
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events == ["server-started", "call-started", "call-ended", "server-ended"]


async def test_quiet_says_nothing(tmp_path: Path) -> None:
    async with service("record", "--port", "0", "--once", "--quiet", "--events", "log", home=tmp_path) as server:
        await until(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text().endswith("\n"))
        await whole_call(json.loads((tmp_path / "log").read_text())["port"])
        out = await server.events.read()
        status, said = await server.status()

    assert (status, out, said) == (0, b"", "")
    assert (tmp_path / "recordings" / "CS-A.wav").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_server_in_order(number: int, tmp_path: Path) -> None:
    async with service(*RECORD, home=tmp_path) as server:
        peer = await call((await server.started())["port"], binary(AUDIO))
        await server.next("call-started")
        server.process.send_signal(number)
        assert await peer.read_frame() == b"\x88\x14\x03\xe9server is stopping"
        await peer.send(close(1001))
        await peer.close()
        warning = await server.next("warning")
        saved = await server.next("recording-saved")
        status, _ = await server.status()

    assert status == 0
    assert warning["rule"] == "calls-cut"
    assert (saved["path"], saved["samples"]) == ("out/CS-A.wav", 160)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_before_the_work_is_done_is_told_by_the_status(number: int, status: int, tmp_path: Path) -> None:
    async with service(*SERVE, "--once", home=tmp_path) as server:
        await server.started()
        assert await server.end(number) == (status, "")


async def test_a_second_signal_ends_at_once_and_leaves_a_playable_file(tmp_path: Path) -> None:
    async with service(*RECORD, home=tmp_path) as server:
        peer = await call((await server.started())["port"], binary(bytes(16000)))
        await server.next("call-started")
        wav = tmp_path / "out" / "CS-A.wav"
        # A file has its header a moment after it has its name.
        await until(lambda: wav.exists() and wav.stat().st_size > 0)
        server.process.send_signal(signal.SIGTERM)
        await peer.read_frame()
        status, _ = await server.end(signal.SIGTERM)
        await peer.close()

    assert status == 143
    assert soundfile.info(wav).samplerate == 8000


async def test_a_server_that_drains_closes_its_calls_at_the_second_signal(tmp_path: Path) -> None:
    async with service(*RECORD, "--drain-timeout", "900", "--admin", "127.0.0.1:0", home=tmp_path) as server:
        started = await server.started()
        peer = await call(started["port"], binary(AUDIO))
        await server.next("call-started")
        server.process.send_signal(signal.SIGTERM)
        rules = [(await server.next("warning"))["rule"]]
        await peer.send(binary(AUDIO))
        admin = await Peer.open(int(started["admin"].rpartition(":")[2]))
        await admin.send(b"GET /readyz HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = await admin.read_to_end()
        await admin.close()
        server.process.send_signal(signal.SIGTERM)
        rules.append((await server.next("warning"))["rule"])
        assert await peer.read_frame() == b"\x88\x14\x03\xe9server is stopping"
        await peer.send(close(1001))
        await peer.close()
        saved = await server.next("recording-saved")
        status, _ = await server.status()

    assert (status, rules, saved["samples"]) == (0, ["draining", "calls-cut"], 320)
    assert answer.startswith(b"HTTP/1.1 503 ")


async def ready_at(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def test_a_server_is_replaced_without_a_call_being_refused_or_cut(tmp_path: Path) -> None:
    """One server drains while another takes the same port, and calls come and go all the time."""
    names = [f"CS-{number:02}" for number in range(30)]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        admin = probe.getsockname()[1]
    options = ("--json", "--reuse-port", "--drain-timeout", "900", "--name", "one", "--admin", f"127.0.0.1:{admin}")

    async def calls(port: int, wanted: slice) -> list[Peer]:
        metadata = [
            text(json.dumps({"sampleRate": 8000, "mixType": "mono", "callSid": name})) for name in names[wanted]
        ]
        return [await call(port, binary(AUDIO), metadata=one) for one in metadata]

    async with service("record", "out", "--port", "0", *options, home=tmp_path) as old:
        port = (await old.started())["port"]
        peers = await calls(port, slice(10))
        async with service("record", "out", "--port", str(port), *options, home=tmp_path) as new:
            started = await new.started()
            peers += await calls(port, slice(10, 20))
            old.process.send_signal(signal.SIGTERM)
            assert (await old.next("warning"))["rule"] == "draining"
            peers += await calls(port, slice(20, 30))
            ready = [await ready_at(admin) for _ in range(5)]
            for peer in peers:
                await peer.send(binary(AUDIO), close())
                await peer.read_to_end()
                await peer.close()
            status = await old.status()
            while (await new.next("warning"))["rule"] != "control-opened":
                pass
            listed = await listenctl_beside("calls", "--name", "one", home=tmp_path)
            statuses = [status, await new.end()]

    assert statuses == [(0, ""), (0, "")]
    assert started["control"] is None
    assert ready == [b"ready\n"] * 5
    assert listed.returncode == 0
    recorded = [soundfile.read(tmp_path / "out" / f"{name}.wav", dtype="int16")[0] for name in names]
    assert {samples.astype("<i2").tobytes() for samples in recorded} == {AUDIO * 2}


def systemd_service(*arguments: str, home: Path, listening: socket.socket) -> AbstractAsyncContextManager[Service]:
    """Run a command as systemd does: without a terminal, with a socket at descriptor 3, and a socket to notify."""
    passed = listening.fileno()
    script = f'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&{passed} {passed}<&-'
    env = environment(home, {"NOTIFY_SOCKET": str(home / "notify")})
    command = ("bash", "-c", script, "bash", *COMMAND, *arguments)
    return process_service(*command, cwd=home, env=env, pass_fds=[passed], start_new_session=True)


async def test_a_service_takes_its_socket_reloads_and_tells_its_manager(certificate: Path, tmp_path: Path) -> None:
    pair, notify = tmp_path / "pair.pem", tmp_path / "notify"
    shutil.copy(certificate, pair)
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        own_port = listening.getsockname()[1]
        told.bind(str(notify))
        told.setblocking(False)
        options = ("serve", "--json", "--events", "log", "--cert", str(pair))
        async with systemd_service(*options, home=tmp_path, listening=listening) as server:
            port = (await server.started())["port"]
            (tmp_path / "log").rename(tmp_path / "log.1")
            server.process.send_signal(signal.SIGHUP)
            first = await server.next("warning")
            pair.write_text("nothing")
            (tmp_path / "log").rename(tmp_path / "log.2")
            server.process.send_signal(signal.SIGHUP)
            second = await server.next("warning")
            peer = await Peer.open(port, tls=ssl.create_default_context(cafile=certificate))
            await peer.send(HANDSHAKE)
            answer = await peer.read_head()
            await peer.send(METADATA, close())
            await peer.read_to_end()
            await peer.close()
            ended = await server.end(signal.SIGTERM)
        messages = [told.recv(1000).decode().partition("\n")[0] for _ in range(6)]

    assert (port, ended) == (own_port, (0, ""))
    assert (first["rule"], second["rule"]) == ("reloaded", "reload-failed")
    assert second["detail"].endswith("it contains no certificate in PEM format; what was used before stays in use")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert messages == ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    logs = [(tmp_path / name).read_text().splitlines() for name in ("log.1", "log.2", "log")]
    assert [[json.loads(line)["event"] for line in log] for log in logs] == [
        ["server-started"],
        ["warning"],
        ["warning", "call-started", "call-ended", "server-ended"],
    ]


async def test_limits_of_the_settings_file_are_reread_while_calls_go_on(tmp_path: Path) -> None:
    settings = tmp_path / "limits.toml"
    options = ("--config", str(settings), "serve", "--json", "--max-header", "2000")

    async def refusal_after(text_of_file: str, request: bytes = HANDSHAKE) -> tuple[Event, Event]:
        """Reload; return how that went, and how a request is refused then."""
        settings.write_text(f"[serve]\n{text_of_file}\n")
        server.process.send_signal(signal.SIGHUP)
        warning = await server.next("warning")
        peer = await Peer.open(port)
        await peer.send(request)
        await peer.read_to_end()
        await peer.close()
        return warning, await server.next("connection-refused")

    settings.write_text("[serve]\nmax-calls = 2\n")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with systemd_service(*options, home=tmp_path, listening=listening) as server:
            port = (await server.started())["port"]
            peers = [await call(port), await call(port)]
            lowered, full = await refusal_after("max-calls = 1")
            wrong, still_full = await refusal_after("max-calls = 0")
            # An option on the command line counts more than the file, as at the start.
            raised, too_long = await refusal_after("max-calls = 3\nmax-header = 5000", HANDSHAKE[:-2] + bytes(2000))
            peers.append(await call(port))
            for peer in peers:
                await peer.send(binary(AUDIO), close())
                await peer.read_to_end()
                await peer.close()
            ends = [await server.next("call-ended") for _ in peers]
            status = await server.end()

    assert [warning["rule"] for warning in (lowered, wrong, raised)] == ["reloaded", "reload-failed", "reloaded"]
    wrong_value = f"Invalid value for max-calls in [serve] of {settings}: 0 is not 1 or more"
    assert wrong["detail"].startswith(wrong_value)
    assert [one["limit"] for one in (full, still_full, too_long)] == ["max-calls", "max-calls", "max-header"]
    assert [ended["closed_by"] for ended in ends] == ["jambonz"] * 3
    assert status == (0, "")


async def test_killed_in_mid_call_the_file_opens_and_lacks_less_than_a_second(tmp_path: Path) -> None:
    async with service(*RECORD, home=tmp_path) as server:
        peer = await call((await server.started())["port"])
        await server.next("call-started")
        wav = tmp_path / "out" / "CS-A.wav"
        sent = 0
        ended = asyncio.ensure_future(server.process.wait())
        while not wav.exists() or wav.stat().st_size < 200_000 or not wav.with_suffix(".json").exists():
            await peer.send(binary(AUDIO * 25))
            sent += 4000
            await asyncio.wait({ended}, timeout=0.05)
        server.process.kill()
        await ended
        await peer.close()

    heard, _ = soundfile.read(wav, dtype="int16")
    said = sox_samples(wav)
    assert len(heard) >= 40_000
    assert heard.astype("<i2").tobytes() == (AUDIO * (sent // 160))[: len(heard) * 2]
    assert said == len(heard)
    assert json.loads((tmp_path / "out" / "CS-A.json").read_text())["metadata"]["callSid"] == "CS-A"


async def test_audio_that_could_not_be_recorded_is_status_3(tmp_path: Path) -> None:
    (tmp_path / "CS-A").write_text("a file is in the way")
    async with service("record", "{callSid}/a.wav", *RECORD[2:], "--once", home=tmp_path) as server:
        await whole_call((await server.started())["port"])
        failed = await server.next("recording-failed")
        status, said = await server.status()

    assert status == 3
    assert failed["reason"] in ("File exists", "Not a directory")
    assert "recording-failed" in said


# stdout as the recording.


@pytest.mark.parametrize(("kind", "header"), [("wav", stream_header(AudioFormat(8000, 1))), ("raw", b"")])
async def test_the_audio_of_one_call_goes_to_stdout(kind: str, header: bytes, tmp_path: Path) -> None:
    arguments = ("record", "-", "--format", kind, "--port", "0", "--events", "log")
    async with service(*arguments, home=tmp_path) as server:
        await whole_call(port_in(await server.says("server-started")))
        out = await server.events.read()
        status, _ = await server.status()

    assert status == 0
    assert out == header + AUDIO
    assert "call-ended" in (tmp_path / "log").read_text()


async def test_a_reader_of_stdout_that_leaves_is_status_3_and_no_traceback(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    async with service("record", "-", "--port", "0", home=tmp_path, stdout=theirs) as server:
        os.close(theirs)
        os.close(ours)
        peer = await call(port_in(await server.says("server-started")), binary(AUDIO))
        await peer.read_frame()
        await peer.close()
        status, said = await server.status()

    assert status == 3
    assert "recording-failed CS-A -: its reader is gone" in said
    assert "recording-saved CS-A -: 0.00 s, 0 B, NOT complete" in said
    assert "Traceback" not in said


@asynccontextmanager
async def whose_reader_leaves(command: Sequence[str], folder: Path) -> AsyncIterator[tuple[Service, str]]:
    """Run a server, let the reader of its events leave while a call is live; yield it, and what it said of that."""
    ours, theirs = os.pipe()
    async with service(*command, home=folder, stdout=theirs) as server:
        os.close(theirs)
        with os.fdopen(ours, "rb") as reader:
            port = json.loads(await asyncio.to_thread(reader.readline))["port"]
            peer = await call(port, binary(AUDIO))
            assert b"call-started" in await asyncio.to_thread(reader.readline)
        said = await server.says("")
        await peer.send(binary(AUDIO), close())
        await peer.read_to_end()
        await peer.close()
        yield server, said


async def test_a_reader_of_the_events_that_leaves_costs_no_call(tmp_path: Path) -> None:
    async with whose_reader_leaves(RECORD, tmp_path) as (server, said):
        status, _ = await server.end()

    assert said == "listenctl: stdout: events can't be written: its reader is gone; recording goes on without\n"
    assert status == 1
    assert (tmp_path / "out" / "CS-A.wav").read_bytes()[80:] == AUDIO * 2


async def test_a_server_whose_events_nobody_reads_ends_with_its_last_call(tmp_path: Path) -> None:
    async with whose_reader_leaves(SERVE, tmp_path) as (server, said):
        status, _ = await server.status()

    assert said == "listenctl: stdout: events can't be written: its reader is gone; no more calls are accepted\n"
    assert status == 1


# Wrong usage: one line, status 2.


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 lets other hosts connect: set credentials with --auth-file"),
        (["--host", "localhost.example.com"], "--host localhost.example.com lets other hosts connect"),
        (["--host", "::12"], "--host ::12 lets other hosts connect"),
        (["--key", "k.pem"], "--key needs --cert"),
        (["--cert", "none.pem"], "none.pem: can't be used as a certificate"),
        (["--path", "foo"], "--path foo: a path begins with /, as in --path /foo"),
        (["--path", "/foo?a=1"], "--path /foo?a=1: give the path only"),
        (["--once", "--calls", "3"], "--once and --calls 3 contradict each other"),
        (["--no-auth", "--auth-file", "users"], "--no-auth and --auth-file contradict each other; give one of them"),
        (["--no-control", "--name", "here"], "--no-control and --name contradict each other; give one of them"),
        (["--record", "-", "--calls", "3"], "stdout takes one call; leave out --calls 3, or record to a folder"),
        (["--auth-file", "none"], "none: can't read the file"),
        (["--levels", "often"], "--levels 'often' isn't a time such as 100ms or 2s"),
        (["--max-calls", "100000000"], "--max-calls 100000000 needs"),
        (["--record", "x.aiff"], "can't record to .aiff files"),
        (["--record", "calls.m3u"], "can't record to .m3u files; end the name with one of .wav"),
        (["--record", "{bad"], "name template '{bad"),
        (["--record", "{callsid}.wav"], "name template '{callsid}.wav': did you mean {callSid} instead of {callsid}?"),
        (["--record", "ftp://host/calls"], "ftp://host/calls: can't record there; object storage is s3://BUCKET/"),
        (["--dump", "s3://bucket/calls"], "s3://bucket/calls: can't write to s3://; give a local path"),
        (["--record", "/proc/calls/"], "/proc: recordings can't be written there: No such file or directory"),
        (["--pauses", "fill"], "--pauses needs --record: calls are not recorded without it"),
        (["--format", "flac"], "--format needs --record"),
        (["--channels", "split"], "--channels needs --record"),
        (["--fsync", "end"], "--fsync needs --record"),
        (["--max-recording", "1MB"], "--max-recording needs --record"),
        (["--min-free", "5%"], "--min-free '5%' isn't a size such as 500MB or 1.5GiB"),
        (["--max-memory", "lots"], "--max-memory 'lots' isn't a size"),
        (["--max-call-length", "never"], "--max-call-length 'never' isn't a time such as 90min or 4h"),
        (["--first-frame-timeout", "inf"], "--first-frame-timeout must be a number of seconds"),
        (["--max-frame-rate", "1"], "--max-frame-rate': 1 is not 100 or more"),
        (["--record", "-", "--json"], "stdout has the audio"),
        (["--record", "-", "--channels", "split"], "stdout can't carry two files"),
        (["--record", "-", "--format", "flac"], "only wav and raw can be written to stdout"),
        (["--record", "x", "--fsync", "often"], "--fsync 'often' isn't never, end, or seconds such as 5s"),
        (["--events", "no/where"], "no/where: can't be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str], line: str, tmp_path: Path) -> None:
    assert line in refusal("serve", "--port", "0", "--timeout", "0", *arguments, home=tmp_path)


@pytest.mark.parametrize(
    ("cert", "key", "reason"),
    [
        ("cert", None, "it contains no private key; give that with --key"),
        ("key", None, "it contains no certificate in PEM format"),
        ("cert", "cert", "cert contains no private key"),
        ("cert", "none", "none: No such file or directory"),
        ("cert", "other", "other contains the private key of another certificate"),
    ],
)
def test_a_certificate_that_cannot_be_used_says_which_file_lacks_what(
    cert: str, key: str | None, reason: str, certificate: Path, tmp_path: Path
) -> None:
    only_certificate = certificate.with_suffix(".crt").read_text()
    (tmp_path / "cert").write_text(only_certificate)
    (tmp_path / "key").write_text(certificate.read_text().replace(only_certificate, ""))
    other = [
        "openssl",
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
        str(tmp_path / "other"),
    ]
    subprocess.run(other, check=True, capture_output=True)
    options = ("--cert", cert, *(("--key", key) if key else ()))

    line = refusal("serve", "--port", "0", "--timeout", "0", *options, home=tmp_path)

    assert line.rstrip().endswith(reason)


def test_a_port_that_is_taken_is_one_line_and_status_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = listenctl("serve", "--port", str(taken.getsockname()[1]), home=tmp_path)

    assert run.returncode == 1
    assert "Address already in use; is another server running?" in run.stderr
    assert run.stderr.count("\n") == 1


def test_when_to_sync_is_understood() -> None:
    assert [read_sync(text_) for text_ in ("never", "end", "5s")] == ["never", "end", 5.0]


@pytest.mark.parametrize("rate", [None, 0, 8000, 48_000])
def test_a_rate_or_0_for_clips_is_understood(rate: int | None) -> None:
    assert server_settings(ServeOptions(stream_rate=rate), 0.2).stream_rate == rate


@pytest.mark.parametrize("rate", [1, 999])
def test_a_rate_that_no_stream_has_is_refused(rate: int) -> None:
    with pytest.raises(UsageError, match=f"--stream-rate {rate}: give the rate in Hz"):
        server_settings(ServeOptions(stream_rate=rate), 0.2)


def test_a_subprotocol_of_a_site_is_one_word() -> None:
    assert server_settings(ServeOptions(subprotocol="audio.example.com"), 0.2).subprotocol == "audio.example.com"
    with pytest.raises(UsageError, match="--subprotocol 'a b': is not a token"):
        server_settings(ServeOptions(subprotocol="a b"), 0.2)


async def test_a_server_for_a_laptop_says_how_to_trust_its_certificate(tmp_path: Path) -> None:
    async with service(*SERVE, "--self-signed", "--once", home=tmp_path) as server:
        port = (await server.started())["port"]
        warning = await server.next("warning")
        certificate = tmp_path / ".local/state/listenctl/self-signed.crt"
        peer = await Peer.open(port, tls=ssl.create_default_context(cafile=certificate))
        await peer.send(HANDSHAKE, METADATA, close())
        await peer.read_to_end()
        await peer.close()
        await server.next("call-ended")
        status, _ = await server.status()

    assert status == 0
    assert warning["rule"] == "self-signed"
    assert warning["detail"].startswith(f"clients need --ca {certificate} to trust the certificate; its SHA-256 ")
