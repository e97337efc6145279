"""``listenctl demo``: the whole thing on one machine in ten seconds."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Argument(help="Where to record to. Default: a new temporary folder.")] = None,
) -> int:
    """
    Take, meter and record a simulated call of speech, and show what came of it.

    It needs no jambonz, no sound device and no network beyond this machine.
    """
    from listenctl.console.demo import run_demo
    from listenctl.media.naming import Destination

    if folder is not None:
        Destination.parse(f"{folder}/").check_folder()
    target = folder or Path(tempfile.mkdtemp(prefix="listenctl-demo-"))
    return asyncio.run(run_demo(target, sys.stdout))
