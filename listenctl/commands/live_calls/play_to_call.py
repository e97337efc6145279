"""``listenctl play-to-call``: play a file, a tone, a microphone or what is piped in to the caller of a live call."""

import asyncio
import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isnan
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.live_calls.recipient_options import SERVER, RecipientOptions, check_call, socket_of
from listenctl.commands.shared_options import option, with_options
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.commands.live_calls.command_run import Recipient
    from listenctl.play_to_call.settings import PlaySettings
    from listenctl.play_to_call.trim_and_gain import SoundEdits

SOUND, PLAYING = "The sound", "How it is played"
_LEADS = (0.02, 5.0)

app = typer.Typer(add_completion=False)


class Mode(StrEnum):
    """In which way."""

    AUTO = "auto"
    CLIP = "clip"
    STREAM = "stream"


@dataclass(frozen=True, kw_only=True)
class PlayOptions(RecipientOptions):
    """All options of ``play-to-call``."""

    source: Annotated[
        str, typer.Argument(help="A sound file, - for stdin, tone:HZ, mic, mic:DEVICE, speech or silence.")
    ]
    mode: Annotated[
        Mode, option("As a clip, as a stream, or as the call takes it.", panel=PLAYING, show_default=True)
    ] = Mode.AUTO
    stream_rate: Annotated[
        int | None,
        option(
            "What the call streams at (bidirectionalAudio.sampleRate); 0 for clips.",
            panel=PLAYING,
            metavar="HZ",
            min=0,
            max=384000,
        ),
    ] = None
    interrupt: Annotated[bool, option("Stop what plays first.", "--interrupt", panel=PLAYING)] = False
    lead: Annotated[str, option("How far a stream is sent ahead, 20ms to 5s.", panel=PLAYING, metavar="TIME")] = "200ms"
    exact: Annotated[
        bool, option("Stream samples of value -1 too, which jambonz takes for marks.", "--exact", panel=PLAYING)
    ] = False
    loop: Annotated[bool, option("Begin a file again at its end.", "--loop", panel=SOUND)] = False
    gain: Annotated[float, option("Make it louder, or quieter if negative.", panel=SOUND, metavar="DB")] = 0.0
    fade: Annotated[str | None, option("Fade in and out for so long.", panel=SOUND, metavar="TIME")] = None
    start: Annotated[str | None, option("Leave out so much of the beginning.", panel=SOUND, metavar="TIME")] = None
    duration: Annotated[str | None, option("Play so much.", panel=SOUND, metavar="TIME")] = None
    channel: Annotated[int | None, option("One channel of a file, from 1. Default: mix all.", panel=SOUND, min=1)] = (
        None
    )
    wait: Annotated[
        bool | None,
        option("Wait until it has been heard. Default: on a terminal.", "--wait/--no-wait", panel=SERVER),
    ] = None
    timeout: Annotated[
        float, option("Seconds for all of it (status 124). Default: none.", panel=SERVER, min=0.001, show_default=False)
    ] = inf


def play_to_call(options: PlayOptions) -> int:
    """Play a sound to the caller of a live call, and say what became of it."""
    from listenctl.commands.live_calls.play_to_call_run import run_play
    from listenctl.commands.serve.server_meters import can_draw

    settings = play_settings(options)
    live = settings.wait and can_draw(sys.stderr, os.environ)
    return asyncio.run(run_play(recipient(options), options.source, shaping_of(options), settings, live=live))


app.command()(with_options(PlayOptions, play_to_call))


def recipient(options: PlayOptions) -> "Recipient":
    """
    Return which call is meant; without --timeout there is no limit.

    Raises:
        UsageError: no server or call can have such a name, or the time is none.
    """
    from listenctl.commands.live_calls.command_run import Recipient

    check_call(options.call)
    if isnan(options.timeout):
        raise UsageError("--timeout must be a number of seconds")
    return Recipient(socket=socket_of(options), call=options.call, timeout=options.timeout, json=options.json)


def play_settings(options: PlayOptions) -> "PlaySettings":
    """
    Understand how to play.

    Raises:
        UsageError: options contradict each other.
    """
    from listenctl.commands.serve.command import seconds
    from listenctl.play_to_call.delivery_mode import ModeChoice, check_mode_options
    from listenctl.play_to_call.settings import PlaySettings
    from listenctl.protocol.call_sharing.stream_rate import CLIPS, stream_rate

    choice, rate = ModeChoice(options.mode.value), options.stream_rate
    check_mode_options(choice, rate)
    if rate not in (None, CLIPS) and stream_rate(rate) is None:
        raise UsageError(f"--stream-rate {rate} is no rate of audio; give one in Hz such as 8000, or 0 for clips")
    lead = seconds(options.lead, "--lead")
    if not _LEADS[0] <= lead <= _LEADS[1]:
        raise UsageError(f"--lead {options.lead}: must be between 20ms and 5s")
    wait = sys.stdout.isatty() if options.wait is None else options.wait
    return PlaySettings(
        choice=choice, stream_rate=rate, interrupt=options.interrupt, lead=lead, exact=options.exact, wait=wait
    )


def shaping_of(options: PlayOptions) -> "SoundEdits":
    """Understand what is to be changed about the sound."""
    from listenctl.commands.serve.command import seconds
    from listenctl.play_to_call.trim_and_gain import SoundEdits

    return SoundEdits(
        gain_db=options.gain,
        fade=seconds(options.fade, "--fade") if options.fade else 0.0,
        start=seconds(options.start, "--start") if options.start else 0.0,
        duration=seconds(options.duration, "--duration") if options.duration else None,
        loop=options.loop,
        channel=None if options.channel is None else options.channel - 1,
    )
