"""One recording goes to a store: its audio, then its sidecar, under a name that nothing else has there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from listenctl.object_storage.object_store import FileDigests, ObjectStore, StorageError
from listenctl.object_storage.recording_spool import SpooledRecording
from listenctl.object_storage.storage_destination import StorageDestination

MAX_NUMBER = 1000
"""How many recordings may want one name, such as those of a call that listens several times."""

_METADATA_FIELDS = ("callSid", "accountSid", "applicationSid", "direction", "from", "to", "traceId")
_TAG_FIELDS = ("callSid", "accountSid")


@dataclass(frozen=True, slots=True)
class UploadedRecording:
    urls: Sequence[str]  # of the audio, in the order of the files
    sidecar_url: str


async def upload_recording(
    recording: SpooledRecording, destination: StorageDestination, store: ObjectStore
) -> UploadedRecording:
    """
    Put all files of a recording into a store. What is there already, from a time before, isn't sent again.

    Raises:
        StorageError: the store doesn't take it.
        OSError: a file can't be read.
    """
    digests = {path: await asyncio.to_thread(FileDigests.of, path) for path in recording.paths}
    stored = None
    for key in destination.keys(recording.sidecar):
        async with _free_name(recording, key, digests, store) as name:
            await _put(recording, name, digests, store)
        urls = [destination.url_of(name + recording.suffix_of(path)) for path in recording.paths]
        stored = stored or UploadedRecording(urls[:-1], urls[-1])
    assert stored is not None
    return stored


@asynccontextmanager
async def _free_name(
    recording: SpooledRecording, key: str, digests: dict[Path, FileDigests], store: ObjectStore
) -> AsyncIterator[str]:
    """Yield the key, with a number if another recording has it; no other upload gets the name during the block."""
    for number in range(1, MAX_NUMBER + 1):
        name = key if number == 1 else f"{key}-{number}"
        # Recordings of one call end together, and one would overwrite the other.
        async with store.name_locks.setdefault(name, asyncio.Lock()):
            found = [await store.find(name + recording.suffix_of(path), digests[path]) for path in recording.paths]
            if "other" not in found:
                yield name
                return
    raise StorageError(f"{store.url}/{key}: there are {MAX_NUMBER} recordings of this name")


async def _put(recording: SpooledRecording, name: str, digests: dict[Path, FileDigests], store: ObjectStore) -> None:
    lookup = recording.sidecar.metadata.get_field
    metadata = {field: value for field in _METADATA_FIELDS if isinstance(value := lookup(field), str)}
    tags = {field: value for field in _TAG_FIELDS if isinstance(value := lookup(field), str)}
    for path in recording.paths:
        key = name + recording.suffix_of(path)
        if await store.find(key, digests[path]) != "same":
            await store.put_file(path, key, digests[path], metadata=metadata, tags=tags)
