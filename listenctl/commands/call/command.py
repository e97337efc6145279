"""``listenctl call``: place a simulated call to a listen server, as jambonz would."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from listenctl.commands.connection_options import ConnectionOptions, ReportOptions
from listenctl.commands.option_choices import Kind, MixType, ProfileName
from listenctl.commands.shared_options import option, with_options

CALL, CALLER, PLAYOUT, TROUBLE = "The call", "The caller", "Playout", "Trouble"

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class VerbOptions:
    """Options that stand for those of a ``listen`` verb, and go before them."""

    verb: Annotated[
        str | None,
        option("A file with the listen verb or the application to call as; - is stdin.", panel=CALL, metavar="FILE|-"),
    ] = None
    base_url: Annotated[
        str | None, option("URL of the application, for relative URLs in the verb.", panel=CALL, metavar="URL")
    ] = None
    kind: Annotated[Kind | None, option("Who listens. Default: as the verb is nested, else inbound.", panel=CALL)] = (
        None
    )
    mix_type: Annotated[MixType | None, option("What is sent. Default: mono.", panel=CALL)] = None
    sample_rate: Annotated[
        int | None, option("Of what is sent. Default: 8000.", panel=CALL, metavar="HZ", min=1000, max=384000)
    ] = None
    metadata: Annotated[
        list[str] | None,
        option(
            "KEY=TEXT, KEY:=JSON or @FILE for the first text; repeatable.",
            "--metadata",
            "-m",
            panel=CALL,
            metavar="KEY=TEXT",
        ),
    ] = None
    pass_dtmf: Annotated[bool | None, option("Tell the server of keys. Default: no.", panel=CALL)] = None
    finish_on_key: Annotated[
        str | None, option("Hang up at this key; of several, see the manual.", panel=CALL, metavar="KEYS")
    ] = None
    max_length: Annotated[
        float | None,
        option("Hang up after so many seconds, those of the handshake included.", panel=CALL, metavar="SECONDS"),
    ] = None
    play_beep: Annotated[bool | None, option("Beep before the connection is made.", panel=CALL)] = None
    silence_timeout: Annotated[
        float | None,
        option(
            "The verb's `timeout`: hang up after so many seconds of silence; ideal only.", panel=CALL, metavar="SECONDS"
        ),
    ] = None
    action_hook: Annotated[str | None, option("Where to post how it ended.", panel=CALL, metavar="URL")] = None
    from_: Annotated[str | None, option("Number of the caller.", "--from", panel=CALL, metavar="NUMBER")] = None
    to: Annotated[str | None, option("Number that is called.", panel=CALL, metavar="NUMBER")] = None


@dataclass(frozen=True, kw_only=True)
class CallerOptions:
    """Options of what the caller does."""

    audio: Annotated[
        str,
        option(
            "A file, tone:HZ, tone:HZ@DBFS, silence, speech, mic, mic:DEVICE, or - for stdin.",
            panel=CALLER,
            metavar="SOURCE",
        ),
    ] = "speech"
    callee: Annotated[
        str | None,
        option("The other side, for stereo and mixed. Default: channel 2 of --audio.", panel=CALLER, metavar="SOURCE"),
    ] = None
    loop: Annotated[bool, option("Begin files again at their end.", "--loop", panel=CALLER)] = False
    duration: Annotated[
        float | None,
        option("Hang up after so many seconds. Default: at the end of --audio.", panel=CALLER, metavar="SECONDS"),
    ] = None
    dtmf: Annotated[
        str,
        option("Keys to press and when, such as '2.0:1 3.5:#'.", panel=CALLER, metavar="TIME:KEYS", show_default=False),
    ] = ""
    ptime: Annotated[int, option("Milliseconds of a frame: 10, 20, 30, 40 or 60.", panel=CALLER, metavar="MS")] = 20
    call_rate: Annotated[int, option("Of the phone's codec: 8000, 16000 or 48000.", panel=CALLER, metavar="HZ")] = 8000


@dataclass(frozen=True, kw_only=True)
class PlayoutOptions:
    """Options of what becomes of what the server sends."""

    profile: Annotated[ProfileName, option("Which jambonz to be.", panel=PLAYOUT)] = ProfileName.CURRENT
    streaming: Annotated[
        int | None,
        option("Play binary audio, at this rate. Default: playAudio only.", panel=PLAYOUT, metavar="HZ", min=1000),
    ] = None
    disable_bidirectional_audio: Annotated[
        bool | None,
        option("Ask for nothing to be played.", "--disable-bidirectional-audio", panel=PLAYOUT, show_default=False),
    ] = None
    heard: Annotated[
        Path | None, option("Record the call as WAV: left the caller, right what the caller hears.", panel=PLAYOUT)
    ] = None
    speaker: Annotated[bool, option("Play what the caller hears.", "--speaker", panel=PLAYOUT)] = False
    speaker_device: Annotated[
        str | None, option("Where to play it. Default: the default device.", panel=PLAYOUT, metavar="DEVICE")
    ] = None


@dataclass(frozen=True, kw_only=True)
class TroubleOptions:
    """Options of what goes wrong on purpose."""

    fault: Annotated[
        list[str] | None,
        option("Make trouble; repeatable, and listed in the manual.", panel=TROUBLE, metavar="NAME[=VALUE]"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class CallOptions(ReportOptions, ConnectionOptions, TroubleOptions, PlayoutOptions, CallerOptions, VerbOptions):
    """All options of ``call``."""

    url: Annotated[
        str | None, typer.Argument(help="The server, ws:// or wss://; not needed where the verb has one.")
    ] = None


def call(options: CallOptions) -> int:
    """
    Place a simulated call to a listen server, as jambonz would, and say what jambonz makes of its answers.

    On a terminal it draws what both sides say, and keys are pressed on the keyboard; q hangs up.
    """
    from listenctl.commands.call.plan import plan_of
    from listenctl.commands.call.run import run_call
    from listenctl.commands.connection_options import presentation_of
    from listenctl.net.runtime_folder import calls_folder

    calls = calls_folder(os.environ, os.getuid())
    return asyncio.run(run_call(plan_of(options), presentation_of(options), calls))


app.command()(with_options(CallOptions, call))
