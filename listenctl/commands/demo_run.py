"""Run the demo: a server records a simulated call on this machine."""

import asyncio
from pathlib import Path
from typing import TextIO

from listenctl.background_task import background_task
from listenctl.commands.connection_options import ReportOptions
from listenctl.commands.serve.run import run_server
from listenctl.errors import CheckFailedError, ExitStatus
from listenctl.events import Reporter
from listenctl.json_lines import JsonObject
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.files.sidecar import Sidecar
from listenctl.media.sources.sample_speech import SPEECH_DIGIT_AT
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from listenctl.server.recording.recording_writer import RecordSettings
from listenctl.server.settings import ServerSettings
from listenctl.simulator.plan import CallPlan, DtmfPress
from listenctl.simulator.simulated_call import SimulatedCall


async def run_demo(folder: Path, out: TextIO) -> int:
    """Record one simulated call into ``folder`` and print the result; return the exit status."""
    out.write("A simulated jambonz places a call of ten seconds to a listenctl server on this machine.\n")
    out.flush()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    saved: list[Path] = []

    def note_saved(event: JsonObject) -> None:
        if event["event"] == "recording-saved":
            saved.append(Path(str(event["sidecar"])))

    async with background_task(_place_call(url)) as call:
        status = await run_server(
            ServerSettings(port=0),
            ReportOptions(),
            title="the demo",
            on_start=url.set_result,
            on_event=note_saved,
            recording=RecordSettings(RecordingDestination.parse(f"{folder}/")),
            stop_after=1,
            patience=10,
        )
        if status == ExitStatus.DONE:
            await call
    if saved:
        out.write(describe_demo_recording(saved[0]))
    elif status == ExitStatus.DONE:
        raise CheckFailedError(f"{folder}: nothing was recorded")
    return status


async def _place_call(url: asyncio.Future[str]) -> None:
    plan = CallPlan(
        target=CallTarget(address=parse_websocket_url(await url)),
        verb=ListenVerb(sample_rate=16000, mix_type="stereo", pass_dtmf=True),
        caller="speech",
        dtmf_presses=(DtmfPress(SPEECH_DIGIT_AT, "1"),),
    )
    await SimulatedCall(plan, Reporter()).run()


def describe_demo_recording(path: Path) -> str:
    """Return what a sidecar says about its recording, and what to try next."""
    sidecar = Sidecar.parse(path.read_bytes())
    assert sidecar is not None
    audio, close, completeness = sidecar.audio, sidecar.close, sidecar.completeness
    assert audio is not None
    assert close is not None
    wav = path.with_name(audio.files[0])
    digits = " ".join(f"{event['digit']} at {event['time']:.1f} s" for event in sidecar.events)
    share = completeness["completeness"] or 0.0
    complete = f"{share:.0%}, {'nothing' if completeness['complete'] else 'audio is'} missing"
    return f"""
Recorded  {wav}
          {audio.seconds:.2f} s, {audio.channels} channels of {audio.samples} samples at {audio.sample_rate} Hz
Complete  {complete}
Keys      {digits or "none"}
Closed    by {close.by} with {close.code}
Sidecar   {path}

Try next
  listen to it         play {wav}      (from the package sox, or any player)
  read its sidecar     cat {path}
  record real calls    export LISTENCTL_AUTH=jambonz:PASSWORD
                       listenctl record --host 0.0.0.0
                       and use a `listen` verb with the name of this machine:
                       {{"verb": "listen", "url": "ws://HOST:3000/", "wsAuth":
                        {{"username": "jambonz", "password": "PASSWORD"}}}}
"""
