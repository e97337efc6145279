"""``listenctl upload``: upload the recordings that are left in a spool."""

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.serve.options.storage_options import KeyLayout, read_zone, storage
from listenctl.commands.shared_options import run_async, with_options
from listenctl.errors import ListenctlError, UsageError

if TYPE_CHECKING:
    from listenctl.object_storage.object_store import ObjectStore
    from listenctl.object_storage.recording_spool import SpooledRecording
    from listenctl.object_storage.storage_destination import StorageDestination
    from listenctl.object_storage.upload_recording import UploadedRecording

TRIES = 5
"""Of each recording; the last one comes about 15 seconds after the first."""


@dataclass(frozen=True, kw_only=True)
class UploadOptions:
    """All options of ``upload``."""

    folder: Annotated[Path, typer.Argument(help="The spool, or any folder of recordings with their sidecars")]
    dest: Annotated[str, typer.Argument(help="Object storage, such as s3://BUCKET/{year}/{callSid}.wav")]
    layout: Annotated[
        KeyLayout, storage("Names in object storage: template is DEST's, jambonz where its portal looks for recordings")
    ] = KeyLayout.TEMPLATE
    time_zone: Annotated[
        str | None, storage("Time zone of dates in names, such as Europe/Berlin [default: UTC]", metavar="ZONE")
    ] = None


def upload(options: UploadOptions) -> int:
    """
    Upload recordings that are left in a spool.

    It deletes each recording when the store has confirmed size and content. Recordings whose server died are uploaded
    as far as they go.
    """
    from listenctl.object_storage.object_store import ObjectStore
    from listenctl.object_storage.storage_destination import StorageDestination

    if not options.folder.is_dir():
        raise UsageError(f"{options.folder}: is no folder; give the spool")
    zone, for_portal = read_zone(options.time_zone), options.layout is KeyLayout.JAMBONZ
    destination = StorageDestination.parse(options.dest, zone=zone, for_portal=for_portal)
    run_async(_upload_folder(options.folder, destination, ObjectStore(destination.store_url)))
    return 0


command = with_options(UploadOptions, upload)


async def _upload_folder(folder: Path, destination: "StorageDestination", store: "ObjectStore") -> None:
    """Upload all recordings below ``folder``; raises ListenctlError if one stays there."""
    from listenctl.object_storage.recording_spool import SpoolLock
    from listenctl.object_storage.upload_queue import Upload, UploadQueue
    from listenctl.server.recording.recording_uploads import find_left

    lock = SpoolLock(folder)
    problems: list[str] = []
    try:
        if not lock.lock_alone():
            raise UsageError(f"{folder}: a server uses it, and uploads what is in it by itself")
        queue = UploadQueue([(destination, store)], max_tries=TRIES)
        left = await asyncio.to_thread(find_left, folder)
        problems += left.problems
        async with queue.running(patience=0):
            for one, _ in left.recordings:
                queue.add(Upload(one, one.size(), partial(_print_stored, one), partial(_note, one, problems)))
            await queue.wait_until_idle()
    finally:
        lock.release()
    if problems:
        count = "1 recording stays" if len(problems) == 1 else f"{len(problems)} recordings stay"
        raise ListenctlError(f"{count} in {folder}: {'; '.join(dict.fromkeys(problems))}")


def _print_stored(recording: "SpooledRecording", stored: "UploadedRecording") -> None:
    from listenctl.terminal.printable_text import printable

    for path, url in zip(recording.audio_paths, stored.urls, strict=True):
        typer.echo(printable(f"{path.name} -> {url}"))


def _note(recording: "SpooledRecording", problems: list[str], problem: str) -> None:
    problems.append(f"{recording.audio_paths[0].name}: {problem}")
