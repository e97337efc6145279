"""Recordings in a spool, and stores for them: a real S3 server, and one in memory that fails when it should."""

import asyncio
import hashlib
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.request import Request, urlopen
from weakref import WeakValueDictionary

from listenctl.events import Completeness
from listenctl.media.files.sidecar import Sidecar, SidecarAudio
from listenctl.media.files.wav_header import wav_header
from listenctl.object_storage.object_store import FileDigests, ObjectStore, StorageError
from listenctl.object_storage.recording_spool import SpooledRecording
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata

REGION = "eu-central-1"


def make_recording(
    folder: Path,
    name: str = "CS-1",
    *,
    started: float = 1.0e9,
    ended: float | None = 1.0e9 + 5,
    audio: bytes = b"\1\0" * 800,
) -> SpooledRecording:
    """Write a recording with its sidecar, as a server leaves it in its spool."""
    metadata = CallMetadata.parse(
        f'{{"callSid":"{name}","accountSid":"AC-1","from":"+1555","sampleRate":8000}}'.encode()
    )
    samples = len(audio) // 2
    sidecar = Sidecar(
        call=name,
        remote="127.0.0.1:1",
        target="/",
        subprotocol=None,
        started=started,
        ended=ended,
        metadata=metadata,
        audio=SidecarAudio(
            files=[f"{name}.wav"], format="wav", sample_rate=8000, channels=1, samples=samples, seconds=samples / 8000
        ),
        completeness=Completeness(
            received_samples=samples,
            lost_samples=0,
            paused_samples=0,
            unrecorded_samples=0,
            completeness=1.0,
            complete=True,
            clock_drift_ppm=None,
        ),
    )
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.wav").write_bytes(wav_header(AudioFormat(8000, 1), len(audio)) + audio)
    (folder / f"{name}.json").write_bytes(sidecar.serialize())
    return SpooledRecording.read(folder / f"{name}.json")


class MemoryStore(ObjectStore):
    """A store in memory; while ``problem`` isn't empty, it takes nothing."""

    def __init__(self) -> None:
        self.url = "s3://memory"
        self.name_locks = WeakValueDictionary()
        self.objects: dict[str, bytes] = {}
        self.problem = ""
        self.attempts = 0

    async def find(self, key: str, digests: FileDigests) -> Literal["nothing", "same", "other"]:
        self.attempts += 1
        if self.problem:
            raise StorageError(self.problem)
        if key not in self.objects:
            return "nothing"
        return "same" if hashlib.sha256(self.objects[key]).hexdigest() == digests.sha256 else "other"

    async def put_file(
        self, path: Path, key: str, _: FileDigests, *, metadata: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        assert metadata["callSid"] == tags["callSid"]
        self.objects[key] = await asyncio.to_thread(path.read_bytes)


@dataclass
class S3Server:
    """A real S3 server, with the bucket ``calls``; it can stop and come back with what it has."""

    port: int
    client: Any
    environ: Mapping[str, str]
    _running: list[Any] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        return [found["Key"] for found in self.client.list_objects_v2(Bucket="calls").get("Contents", [])]

    def read(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket="calls", Key=key)["Body"].read()
        return content

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        server.start()
        self._running.append(server)

    def stop(self) -> None:
        while self._running:
            self._running.pop().stop()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    import boto3

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret-value"}
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )
    server = S3Server(port, client, {**keys, "AWS_ENDPOINT_URL": url, "AWS_REGION": REGION})
    server.start()
    try:
        # All servers of a process share what they store.
        urlopen(Request(f"{url}/moto-api/reset", method="POST")).close()
        client.create_bucket(Bucket="calls", CreateBucketConfiguration={"LocationConstraint": REGION})
        yield server
    finally:
        with suppress(Exception):
            client.close()
        server.stop()
