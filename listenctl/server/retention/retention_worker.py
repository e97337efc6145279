"""
A process that deletes recordings once, at the lowest priority: reading thousands of sidecars would take the turns of
the event loop. It writes a line of JSON for each recording that it deleted, or could not delete, and is safe to kill.
"""

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from listenctl.json_lines import json_line
from listenctl.server.retention.delete_recordings import (
    Deletion,
    RetentionPolicy,
    RetentionSettings,
    delete_recordings,
)

PAUSE = 0.001
"""Seconds after each recording, so that the server can report many of them beside its calls."""


def run_retention(arguments: str) -> None:
    fields = json.loads(arguments)
    policy = RetentionPolicy(fields["max_age"], fields["max_bytes"])
    settings = RetentionSettings(Path(fields["folder"]), fields["depth"], policy)
    with suppress(BrokenPipeError):
        try:
            delete_recordings(settings, time.time(), _report)
        except OSError as exc:
            _write({"problem": f"{settings.folder}: can't be read: {exc.strerror or exc}"})


def describe_settings(settings: RetentionSettings) -> str:
    """Return the arguments of ``run_retention``."""
    policy = settings.policy
    return json.dumps(
        {
            "folder": str(settings.folder),
            "depth": settings.depth,
            "max_age": policy.max_age,
            "max_bytes": policy.max_bytes,
        }
    )


def _report(deletion: Deletion) -> None:
    recording = deletion.recording
    if deletion.kept_because:
        if deletion.kept_because != recording.kept_because:
            _write({"problem": f"{recording.folder / recording.sidecar}: {deletion.kept_because}"})
        return
    _write(
        {
            "paths": list(map(str, recording.paths)),
            "sidecar": str(recording.folder / recording.sidecar),
            "bytes": recording.size,
            "ended": recording.ended,
            "reason": deletion.reason,
        }
    )
    time.sleep(PAUSE)


def _write(line: dict[str, object]) -> None:
    os.write(sys.stdout.fileno(), f"{json_line(line)}\n".encode())
