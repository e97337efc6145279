"""``listenctl demo``: record a simulated call on this machine and show the result."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from listenctl.commands.shared_options import local_path, run_async


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", parser=local_path, help="Folder to record to [default: a new temporary folder]"
        ),
    ] = None,
) -> int:
    """
    Record a simulated call on this machine and show the result.

    It takes ten seconds and needs no jambonz, sound device or network.
    """
    from listenctl.commands.demo_run import run_demo
    from listenctl.media.files.recording_names import RecordingDestination

    if folder is not None:
        RecordingDestination.parse(f"{folder}/").check_folder()
    target = folder or Path(tempfile.mkdtemp(prefix="listenctl-demo-"))
    return run_async(run_demo(target, sys.stdout))


command = demo
