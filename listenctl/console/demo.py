"""The demo: a server and a caller in one process, then what was recorded and what to try next."""

import asyncio
import json
from pathlib import Path
from typing import TextIO

from listenctl.client.address import parse_address
from listenctl.client.call import SimulatedCall
from listenctl.client.plan import CallPlan, KeyPress
from listenctl.client.target import Target
from listenctl.console.service import Presentation, run_server
from listenctl.errors import CheckFailed
from listenctl.media.naming import Destination
from listenctl.media.samples import SPEECH_KEY_PRESS
from listenctl.protocol.verb import ListenVerb
from listenctl.reports import Report, Reporter
from listenctl.server.settings import ServerSettings
from listenctl.server.track import RecordSettings

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
            target=Target(address=parse_address(url)),
            verb=VERB,
            caller="speech",
            keys=(KeyPress(SPEECH_KEY_PRESS, "1"),),
        )
        calling.append(asyncio.create_task(SimulatedCall(plan, Reporter()).run()))

    status = await run_server(
        ServerSettings(port=0),
        Presentation(title="the demo", on_start=place, on_event=note_saved),
        recording=RecordSettings(Destination.parse(f"{folder}/")),
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
        raise CheckFailed(f"{folder}: nothing was recorded")
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
