"""``listenctl demo``: the whole thing on one machine in ten seconds."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, TextIO

import typer

from listenctl.commands.serve.run import Presentation, run_server
from listenctl.errors import CheckFailedError
from listenctl.events import Reporter
from listenctl.json_lines import Report
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.sources.sample_speech import SPEECH_DIGIT_AT
from listenctl.net.call_target import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from listenctl.server.recording.recording_writer import RecordSettings
from listenctl.server.settings import ServerSettings
from listenctl.simulator.plan import CallPlan, DtmfPress
from listenctl.simulator.simulated_call import SimulatedCall

VERB = ListenVerb(sample_rate=16000, mix_type="stereo", pass_dtmf=True)


async def run_demo(folder: Path, out: TextIO) -> int:
    """Record one simulated call into ``folder`` and say on ``out`` what came of it; return the exit status."""
    out.write("A simulated jambonz places a call of ten seconds to a listenctl server on this machine.\n")
    out.flush()
    calling: list[asyncio.Task[object]] = []
    saved: list[Path] = []

    def note_saved(report: Report) -> None:
        if report["event"] == "recording-saved":
            saved.append(Path(str(report["sidecar"])))

    def place(url: str) -> None:
        plan = CallPlan(
            target=CallTarget(address=parse_websocket_url(url)),
            verb=VERB,
            caller="speech",
            dtmf_presses=(DtmfPress(SPEECH_DIGIT_AT, "1"),),
        )
        calling.append(asyncio.create_task(SimulatedCall(plan, Reporter()).run()))

    status = await run_server(
        ServerSettings(port=0),
        Presentation(title="the demo", on_start=place, on_event=note_saved),
        recording=RecordSettings(RecordingDestination.parse(f"{folder}/")),
        stop_after=1,
        patience=10,
    )
    if status == 0:
        await asyncio.gather(*calling)
    for call in calling:
        call.cancel()
    if saved:
        out.write(describe(saved[0]))
    elif status == 0:
        raise CheckFailedError(f"{folder}: nothing was recorded")
    return status


def describe(path: Path) -> str:
    """Return what a sidecar says of its recording, and what to try next."""
    sidecar = json.loads(path.read_text())
    audio, close = sidecar["audio"], sidecar["close"]
    rate = audio["sample_rate"]
    wav = path.with_name(audio["files"][0])
    digits = " ".join(f"{event['digit']} at {event['time']:.1f} s" for event in sidecar["events"])
    complete = f"{sidecar['completeness']:.0%}" + (", nothing missing" if sidecar["complete"] else ", audio is missing")
    return f"""
Recorded  {wav}
          {audio["seconds"]:.2f} s, {audio["channels"]} channels of {audio["samples"]} samples at {rate} Hz
Complete  {complete}
Keys      {digits or "none"}
Closed    by {close["by"]} with {close["code"]}
Sidecar   {path}

Try next
  listen to it         play {wav}      (from the package sox, or any player)
  read its sidecar     cat {path}
  record real calls    listenctl record
                       and put the URL that it shows into a `listen` verb:
                       {{"verb": "listen", "url": "ws://HOST:3000/"}}
"""


app = typer.Typer(add_completion=False)


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Argument(help="Where to record to. Default: a new temporary folder.")] = None,
) -> int:
    """
    Take, meter and record a simulated call of speech, and show what came of it.

    It needs no jambonz, no sound device and no network beyond this machine.
    """
    from listenctl.commands.demo import run_demo
    from listenctl.media.files.recording_names import RecordingDestination

    if folder is not None:
        RecordingDestination.parse(f"{folder}/").check_folder()
    target = folder or Path(tempfile.mkdtemp(prefix="listenctl-demo-"))
    return asyncio.run(run_demo(target, sys.stdout))
