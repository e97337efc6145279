"""``listenctl prune``: delete old recordings, or say which ones would be deleted."""

import time
from dataclasses import dataclass
from typing import Annotated

import typer

from listenctl.commands.serve.options.retention_options import RetentionOptions, read_retention
from listenctl.commands.shared_options import with_options
from listenctl.errors import ListenctlError, UsageError
from listenctl.json_lines import timestamp
from listenctl.terminal.printable_text import printable


@dataclass(frozen=True, kw_only=True)
class PruneOptions(RetentionOptions):
    """All options of ``prune``."""

    dest: Annotated[
        str, typer.Argument(help="Folder or name template of the recordings, as for `listenctl record`")
    ] = "recordings/"
    dry_run: Annotated[bool, typer.Option(help="Delete nothing; say what would be deleted, and why")] = False


def prune(options: PruneOptions) -> int:
    """
    Delete old recordings, or say which ones would be deleted.

    It deletes what `listenctl record` with the same DEST has recorded, and nothing else. Recordings that are not
    finished are kept.
    """
    from listenctl.media.files.recording_names import RecordingDestination
    from listenctl.server.retention.delete_recordings import Deletion, delete_recordings

    settings = read_retention(options, RecordingDestination.parse(options.dest))
    if settings is None:
        raise UsageError("give --retain, --retain-bytes, or both")
    failures: list[str] = []
    deleted = size = 0

    def report(deletion: Deletion) -> None:
        nonlocal deleted, size
        recording, kept = deletion.recording, deletion.kept_because
        paths = " and ".join(map(str, recording.paths))
        if kept:
            typer.echo(printable(f"{paths}: kept, because {kept}"))
            if kept != recording.kept_because:
                failures.append(f"{paths}: {kept}")
            return
        deleted += 1
        size += recording.size
        reason = f"--retain {options.retain}" if deletion.reason == "age" else f"--retain-bytes {options.retain_bytes}"
        done = "would be deleted" if options.dry_run else "deleted"
        ended = timestamp(recording.ended)
        typer.echo(printable(f"{paths}: {done}, {recording.size} bytes, its call ended {ended} ({reason})"))

    try:
        delete_recordings(settings, time.time(), report, dry_run=options.dry_run)
    except BrokenPipeError:  # The reader of stdout is gone; it is not a problem of the folder.
        raise
    except OSError as exc:
        raise ListenctlError(f"{settings.folder}: can't be read: {exc.strerror or exc}") from exc
    typer.echo(f"{deleted} recordings, {size} bytes {'would be deleted' if options.dry_run else 'deleted'}")
    if failures:
        raise ListenctlError(f"{len(failures)} recordings could not be deleted, such as {failures[0]}")
    return 0


command = with_options(PruneOptions, prune)
