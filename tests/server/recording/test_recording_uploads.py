"""A real server whose recordings go to a real S3 server, which goes away, or whose server is killed."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from listenctl.background_task import background_task
from listenctl.events import Reporter
from listenctl.object_storage.recording_spool import SpoolLock
from listenctl.object_storage.storage_destination import StorageDestination
from listenctl.server.recording.recording_uploads import RecordingUploads, UploadSettings
from tests.helpers.cli import Service, listenctl_beside, service
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.object_storage import MemoryStore, S3Server, s3_server
from tests.helpers.server import LIMIT, Event, Peer, until

AUDIO = bytes(range(256)) * 125  # two seconds


@pytest.fixture
async def s3() -> AsyncIterator[S3Server]:
    with s3_server() as server:
        yield server


def record(
    tmp_path: Path, s3: S3Server, *more: str, dest: str = "s3://calls/{end.year}/{callSid}.wav"
) -> tuple[str, ...]:
    return ("record", dest, "--port", "0", "--no-control", "--json", "--spool", str(tmp_path / "spool"), *more)


async def place_call(port: int, name: str, *, ends: bool = True) -> Peer:
    peer = await Peer.open(port)
    await peer.send(HANDSHAKE)
    await peer.read_head()
    await peer.send(text(json.dumps({"callSid": name, "sampleRate": 8000, "mixType": "mono"})))
    for at in range(0, len(AUDIO), 320):
        await peer.send(binary(AUDIO[at : at + 320]))
    if ends:
        await peer.send(close())
        await peer.close()
    return peer


async def saved(server: Service, count: int) -> dict[str, str]:
    """Return the URLs of the next recordings by call."""
    events = [await server.next("recording-saved") for _ in range(count)]
    return {event["call_sid"]: event["url"] for event in events}


async def warning(server: Service, rule: str) -> Event:
    while (event := await server.next("warning"))["rule"] != rule:
        pass
    return event


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def audio_at(s3: S3Server, url: str) -> bytes:
    return s3.read(url.removeprefix("s3://calls/"))[80:]


async def test_recordings_are_reported_as_saved_when_the_store_has_them(tmp_path: Path, s3: S3Server) -> None:
    async with service(*record(tmp_path, s3, "--calls", "2"), home=tmp_path, env=s3.environ) as server:
        port = (await server.started())["port"]
        await warning(server, "no-lifecycle-rule")
        await place_call(port, "CS-1")
        await place_call(port, "CS-2")
        urls = await saved(server, 2)
        ended = await server.next("server-ended")
        status, _ = await server.status()

    assert status == 0
    assert ended["complete_calls"] == 2
    assert [audio_at(s3, urls[name]) for name in ("CS-1", "CS-2")] == [AUDIO, AUDIO]
    assert not list((tmp_path / "spool").iterdir())


async def test_an_outage_of_the_store_costs_nothing(tmp_path: Path, s3: S3Server) -> None:
    async with service(*record(tmp_path, s3), home=tmp_path, env=s3.environ) as server:
        port = (await server.started())["port"]
        s3.stop()
        for number in range(5):
            await place_call(port, f"CS-{number}")
        delayed = await warning(server, "upload-delayed")
        s3.start()
        urls = await saved(server, 5)
        await server.end()

    assert "127.0.0.1" in delayed["detail"]
    assert "secret-value" not in delayed["detail"]
    assert [audio_at(s3, url) for url in urls.values()] == [AUDIO] * 5


async def test_an_outage_across_a_restart_costs_nothing(tmp_path: Path, s3: S3Server) -> None:
    s3.stop()
    async with service(*record(tmp_path, s3), home=tmp_path, env=s3.environ) as server:
        port = (await server.started())["port"]
        await place_call(port, "CS-1")
        await warning(server, "upload-delayed")
        live = await place_call(port, "CS-2", ends=False)
        await until(lambda: len(list((tmp_path / "spool").glob("CS-2.*"))) == 2)
        server.process.kill()
        await live.close()
    killed = (tmp_path / "spool" / "CS-2.wav").read_bytes()[80:]
    s3.start()
    async with service(*record(tmp_path, s3), home=tmp_path, env=s3.environ) as server:
        events = [await server.next("recording-saved") for _ in range(2)]
        await server.end()

    found = {event["call_sid"]: event for event in events}
    assert audio_at(s3, found["CS-1"]["url"]) == AUDIO
    assert audio_at(s3, found["CS-2"]["url"]) == killed == AUDIO[: len(killed)]
    assert [found[name]["complete"] for name in ("CS-1", "CS-2")] == [True, False]
    assert found["CS-2"]["samples"] == len(killed) // 2
    sidecar = json.loads(s3.read(found["CS-2"]["sidecar_url"].removeprefix("s3://calls/")))
    assert (sidecar["finished"], sidecar["complete"]) == (True, False)
    assert sidecar["audio"]["samples"] == len(killed) // 2
    assert not list((tmp_path / "spool").iterdir())


async def test_the_recording_of_a_dead_worker_is_uploaded_by_its_parent(tmp_path: Path, s3: S3Server) -> None:
    async with service(*record(tmp_path, s3, "--workers", "2"), home=tmp_path, env=s3.environ) as server:
        port = (await server.started())["port"]
        live = await place_call(port, "CS-1", ends=False)
        await server.next("call-started")
        wav = tmp_path / "spool" / "CS-1.wav"
        await until(lambda: wav.exists() and wav.stat().st_size > 80)
        # What a worker says comes in order: with this, the parent knows the files.
        await live.send(text('{"event":"dtmf","dtmf":"1"}'))
        await server.next("dtmf")
        for child in children_of(server.process.pid):
            os.kill(child, signal.SIGKILL)
        event = await server.next("recording-saved")
        await live.close()
        status, _ = await server.end()

    assert status == 3
    assert event["complete"] is False
    assert audio_at(s3, event["url"]) == AUDIO[: event["samples"] * 2]
    assert not list((tmp_path / "spool").iterdir())


async def test_what_is_not_uploaded_at_the_end_is_reported_with_its_place(tmp_path: Path, s3: S3Server) -> None:
    s3.stop()
    async with service(*record(tmp_path, s3), home=tmp_path, env=s3.environ) as server:
        port = (await server.started())["port"]
        await place_call(port, "CS-1")
        await warning(server, "upload-delayed")
        server.process.terminate()
        failed = await server.next("recording-failed")
        status, _ = await server.status()

    assert status == 3
    assert failed["path"] == str(tmp_path / "spool" / "CS-1.wav")
    assert failed["reason"].startswith("it is not in object storage: s3://calls: ")
    assert (tmp_path / "spool" / "CS-1.wav").read_bytes()[80:] == AUDIO


async def test_the_portal_finds_the_recording_of_a_call_that_jambonz_records(tmp_path: Path, s3: S3Server) -> None:
    (tmp_path / "credentials").write_text("recorder:pass-word\n")
    (tmp_path / "credentials").chmod(0o600)
    env = {**s3.environ, "LISTENCTL_AUTH": "recorder:pass-word"}
    arguments = record(tmp_path, s3, "--layout", "jambonz", "--once", dest="s3://calls/")
    async with service(*arguments, home=tmp_path, env=env) as server:
        url = f"ws://127.0.0.1:{(await server.started())['port']}/record/s3_compatible"
        caller = ["call", url, "--kind", "record", "--duration", "1", "--dtmf", "0.5:7", "--auth-file", "credentials"]
        called = await listenctl_beside(*caller, home=tmp_path)
        event = await server.next("recording-saved")
        status, _ = await server.status()

    ended = datetime.now(UTC)
    days = {f"{day:%Y/%m/%d}" for day in (ended - timedelta(minutes=1), ended)}
    key = event["url"].removeprefix("s3://calls/")
    sidecar = json.loads(s3.read(key.replace(".wav", ".json")))
    assert (called.returncode, status) == (0, 0), called.stderr
    assert key in {f"{day}/{event['call_sid']}.wav" for day in days}
    assert (sidecar["audio"]["channels"], sidecar["target"]) == (2, "/record/s3_compatible")
    assert [entry["digit"] for entry in sidecar["events"] if entry["event"] == "dtmf"] == ["7"]


async def test_a_server_waits_for_its_spool_without_blocking_the_event_loop(tmp_path: Path) -> None:
    # Given somebody who has the spool alone, such as `listenctl upload`.
    other = SpoolLock(tmp_path)
    other.lock_alone()
    blocked = threading.Timer(LIMIT, other.release)
    blocked.start()
    store = MemoryStore()
    store.url = "memory://"  # whose lifecycle rules nobody asks S3 for
    uploads = RecordingUploads(UploadSettings(tmp_path, [(StorageDestination.parse("s3://calls"), store)]), Reporter())
    started = asyncio.Event()

    async def upload() -> None:
        async with uploads.running():
            started.set()
            await asyncio.Event().wait()

    async with background_task(upload()):
        await asyncio.sleep(0)
        waited = not started.is_set()
        blocked.cancel()
        other.release()
        await started.wait()

    assert waited


async def test_options_of_object_storage_need_it(tmp_path: Path, s3: S3Server) -> None:
    async with service("record", "calls/", "--layout", "jambonz", home=tmp_path) as server:
        status, said = await server.status()

    assert status == 2
    assert "--layout jambonz needs DEST in object storage" in said
