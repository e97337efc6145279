"""``listenctl call``: place a simulated call to a listen server."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from listenctl.commands.connection_options import ConnectionOptions, ReportOptions
from listenctl.commands.shared_options import ProfileName, option, run_async, with_options
from listenctl.protocol.audio import MixType

CALL, CALLER, PLAYOUT, FAULTS = "Call", "Caller", "Playout", "Faults"


@dataclass(frozen=True, kw_only=True)
class SimulatedCallOptions:
    """The ``listen`` verb, the caller, the playout of what the server sends, and faults."""

    verb: Annotated[
        str | None,
        option(
            "File with the listen verb or application that places the call; - is stdin", panel=CALL, metavar="FILE|-"
        ),
    ] = None
    base_url: Annotated[
        str | None, option("URL of the application, for relative URLs in the verb", panel=CALL, metavar="URL")
    ] = None
    kind: Annotated[
        Literal["inbound", "outbound", "dial", "config", "record", "room"] | None,
        option("What starts the listen [default: by the nesting of the verb, else inbound]", panel=CALL),
    ] = None
    mix_type: Annotated[MixType | None, option("Mix type [default: mono]", panel=CALL)] = None
    sample_rate: Annotated[
        int | None, option("Sample rate to send [default: 8000]", panel=CALL, metavar="HZ", min=1000, max=384000)
    ] = None
    metadata: Annotated[
        list[str] | None,
        option(
            "Metadata for the first text: KEY=TEXT, KEY:=JSON or @FILE; repeatable",
            "--metadata",
            "-m",
            panel=CALL,
            metavar="KEY=TEXT",
        ),
    ] = None
    pass_dtmf: Annotated[bool | None, option("Send DTMF events to the server [default: no]", panel=CALL)] = None
    finish_on_key: Annotated[
        str | None,
        option("Hang up when this key is pressed; see the manual for several keys", panel=CALL, metavar="KEYS"),
    ] = None
    max_length: Annotated[
        float | None,
        option("Hang up after this many seconds, including the handshake", panel=CALL, metavar="SECONDS"),
    ] = None
    play_beep: Annotated[bool | None, option("Play a beep before connecting", panel=CALL)] = None
    silence_timeout: Annotated[
        float | None,
        option(
            "Hang up after this many seconds of silence (`timeout` of the verb; ideal only)",
            panel=CALL,
            metavar="SECONDS",
        ),
    ] = None
    action_hook: Annotated[str | None, option("URL to post the result to", panel=CALL, metavar="URL")] = None
    from_: Annotated[str | None, option("Number of the caller", "--from", panel=CALL, metavar="NUMBER")] = None
    to: Annotated[str | None, option("Number that is called", panel=CALL, metavar="NUMBER")] = None
    audio: Annotated[
        str,
        option(
            "Sound file, tone:HZ, tone:HZ@DBFS, silence, speech, mic, mic:DEVICE, or - for stdin",
            panel=CALLER,
            metavar="SOURCE",
        ),
    ] = "speech"
    callee: Annotated[
        str | None,
        option("Other party, for stereo and mixed [default: channel 2 of --audio]", panel=CALLER, metavar="SOURCE"),
    ] = None
    loop: Annotated[bool, option("Repeat files", "--loop", panel=CALLER)] = False
    duration: Annotated[
        float | None,
        option("Hang up after this many seconds [default: at the end of --audio]", panel=CALLER, metavar="SECONDS"),
    ] = None
    dtmf: Annotated[
        str,
        option("Keys to press and when, such as '2.0:1 3.5:#'", panel=CALLER, metavar="TIME:KEYS", show_default=False),
    ] = ""
    ptime: Annotated[int, option("Milliseconds of a frame: 10, 20, 30, 40 or 60", panel=CALLER, metavar="MS")] = 20
    call_rate: Annotated[
        int, option("Sample rate of the phone's codec: 8000, 16000 or 48000", panel=CALLER, metavar="HZ")
    ] = 8000
    profile: Annotated[ProfileName, option("Version of jambonz to simulate", panel=PLAYOUT)] = "current"
    streaming: Annotated[
        int | None,
        option("Play binary audio at this rate [default: playAudio only]", panel=PLAYOUT, metavar="HZ", min=1000),
    ] = None
    disable_bidirectional_audio: Annotated[
        bool | None,
        option(
            "Disable the playback of audio from the server",
            "--disable-bidirectional-audio",
            panel=PLAYOUT,
            show_default=False,
        ),
    ] = None
    heard: Annotated[
        Path | None, option("Record the call as WAV: left the caller, right what the caller hears", panel=PLAYOUT)
    ] = None
    speaker: Annotated[bool, option("Play what the caller hears", "--speaker", panel=PLAYOUT)] = False
    speaker_device: Annotated[
        str | None, option("Device to play it on [default: the system's]", panel=PLAYOUT, metavar="DEVICE")
    ] = None
    fault: Annotated[
        list[str] | None,
        option("Simulate a fault; repeatable, listed in the manual", panel=FAULTS, metavar="NAME[=VALUE]"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class CallOptions(ReportOptions, ConnectionOptions, SimulatedCallOptions):
    """All options of ``call``."""

    url: Annotated[str | None, typer.Argument(help="Server, ws:// or wss://; not needed if the verb has a URL")] = None


def call(options: CallOptions) -> int:
    """
    Place a simulated call to a listen server.

    Behaves like jambonz and reports what jambonz would do with the answers of the server. On a terminal it shows both
    sides live, and the keyboard sends DTMF; q hangs up.
    """
    from listenctl.commands.call.plan import plan_of
    from listenctl.commands.call.run import run_call
    from listenctl.net.runtime_folder import calls_folder

    calls = calls_folder(os.environ, os.getuid())
    return run_async(run_call(plan_of(options), options, calls))


command = with_options(CallOptions, call)
