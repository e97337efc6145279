"""Options of ``call``: the listen verb, the caller, playout and faults."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from listenctl.commands.connection_options import ConnectionOptions, ReportOptions
from listenctl.commands.shared_options import ProfileName, local_path, option
from listenctl.protocol.audio import MAX_RATE, MIN_RATE, MixType

listen = partial(option, panel="Call")
caller_side = partial(option, panel="Caller")
playout = partial(option, panel="Playout")
faults = partial(option, panel="Faults")


@dataclass(frozen=True, kw_only=True)
class SimulatedCallOptions:
    """The ``listen`` verb, the caller, the playout of what the server sends, and faults."""

    verb: Annotated[
        str | None,
        listen("File with the listen verb, or with the application that has it; - is stdin", metavar="FILE|-"),
    ] = None
    base_url: Annotated[str | None, listen("URL of the application, for relative URLs in the verb", metavar="URL")] = (
        None
    )
    kind: Annotated[
        Literal["inbound", "outbound", "dial", "config", "record", "room", "member"] | None,
        listen("What starts the listen verb [default: by the nesting of the verb, else inbound]"),
    ] = None
    mix_type: Annotated[MixType | None, listen("Mix type [default: mono]")] = None
    sample_rate: Annotated[
        int | None, listen("Sample rate to send [default: 8000]", metavar="HZ", min=MIN_RATE, max=MAX_RATE)
    ] = None
    metadata: Annotated[
        list[str] | None,
        listen(
            "Metadata for the first text: KEY=TEXT, KEY:=JSON or @FILE; repeatable",
            "--metadata",
            "-m",
            metavar="KEY=TEXT",
        ),
    ] = None
    pass_dtmf: Annotated[bool | None, listen("Send DTMF events to the server [default: no]")] = None
    finish_on_key: Annotated[
        str | None, listen("Key that hangs up; see the manual for several keys", metavar="KEYS")
    ] = None
    max_length: Annotated[float | None, listen("Hang up after this many seconds, including the handshake")] = None
    play_beep: Annotated[bool | None, listen("Play a beep before connecting")] = None
    silence_timeout: Annotated[
        float | None, listen("Hang up after this many seconds of silence (the verb's `timeout`; needs --profile ideal)")
    ] = None
    action_hook: Annotated[str | None, listen("URL to post the result to", metavar="URL")] = None
    from_: Annotated[str | None, listen("Caller's number", "--from", metavar="NUMBER")] = None
    to: Annotated[str | None, listen("Called number", metavar="NUMBER")] = None
    audio: Annotated[
        str,
        caller_side(
            "Sound file, tone:HZ, tone:HZ@DBFS, silence, speech, mic, mic:DEVICE, or - for stdin", metavar="SOURCE"
        ),
    ] = "speech"
    callee: Annotated[
        str | None, caller_side("Other party, for stereo and mixed [default: channel 2 of --audio]", metavar="SOURCE")
    ] = None
    loop: Annotated[bool, caller_side("Repeat files")] = False
    duration: Annotated[
        float | None, caller_side("Hang up after this many seconds [default: at the end of --audio]")
    ] = None
    dtmf: Annotated[
        str, caller_side("Keys to press and when, such as '2.0:1 3.5:#'", metavar="TIME:KEYS", show_default=False)
    ] = ""
    ptime: Annotated[int, caller_side("Frame duration in milliseconds: 10, 20, 30, 40 or 60", metavar="MS")] = 20
    call_rate: Annotated[int, caller_side("Sample rate of the phone's codec: 8000, 16000 or 48000", metavar="HZ")] = (
        8000
    )
    profile: Annotated[ProfileName, listen("Version of jambonz to simulate")] = "current"
    streaming: Annotated[
        int | None, playout("Play binary audio at this rate [default: playAudio only]", metavar="HZ", min=1000)
    ] = None
    disable_bidirectional_audio: Annotated[
        bool | None,
        playout("Don't play audio from the server", "--disable-bidirectional-audio", show_default=False),
    ] = None
    answer_within: Annotated[
        float | None, playout("Expect an answer within this many seconds after the caller has stopped talking")
    ] = None
    heard: Annotated[
        Path | None,
        playout(
            "Record the call as WAV: the caller on the left, what the caller hears on the right",
            metavar="FILE",
            parser=local_path,
        ),
    ] = None
    speaker: Annotated[bool, playout("Play what the caller hears")] = False
    speaker_device: Annotated[str | None, playout("Device to play it on [default: the system's]", metavar="DEVICE")] = (
        None
    )
    fault: Annotated[
        list[str] | None, faults("Simulate a fault; repeatable, listed in the manual", metavar="NAME[=VALUE]")
    ] = None


@dataclass(frozen=True, kw_only=True)
class CallOptions(ReportOptions, ConnectionOptions, SimulatedCallOptions):
    """All options of ``call``."""

    url: Annotated[str | None, typer.Argument(help="Server, ws:// or wss://; not needed if the verb has a URL")] = None
