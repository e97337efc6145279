"""``listenctl play-to-call``: play a file, a tone, a microphone or stdin to the caller of a live call."""

import os
import sys
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from listenctl.commands.live_calls.live_call_options import RecipientOptions, recipient_of
from listenctl.commands.shared_options import (
    DEFAULT_LEAD,
    TotalTimeout,
    option,
    parse_lead,
    parse_seconds,
    run_async,
    waiting,
    with_options,
)
from listenctl.errors import UsageError
from listenctl.protocol.audio import MAX_RATE

if TYPE_CHECKING:
    from listenctl.play_to_call.settings import PlaySettings
    from listenctl.play_to_call.trim_and_gain import SoundEdits

playback = partial(option, panel="Playback")
sound = partial(option, panel="Sound")


@dataclass(frozen=True, kw_only=True)
class PlayOptions(RecipientOptions):
    """All options of ``play-to-call``."""

    source: Annotated[str, typer.Argument(help="Sound file, - for stdin, tone:HZ, mic, mic:DEVICE, speech or silence")]
    mode: Annotated[Literal["auto", "clip", "stream"], playback("How to send the sound; auto detects it")] = "auto"
    stream_rate: Annotated[
        int | None,
        playback(
            "Stream rate of the call (bidirectionalAudio.sampleRate); 0 for clips", metavar="HZ", min=0, max=MAX_RATE
        ),
    ] = None
    interrupt: Annotated[bool, playback("Stop the current audio first")] = False
    lead: Annotated[str, playback("How far ahead a stream is sent, 20ms to 5s", metavar="TIME")] = DEFAULT_LEAD
    exact: Annotated[bool, playback("Stream samples of value -1 unchanged; jambonz takes them for marks")] = False
    loop: Annotated[bool, sound("Repeat a file")] = False
    gain: Annotated[float, sound("Gain; a negative one is quieter", metavar="DB")] = 0.0
    fade: Annotated[str | None, sound("Duration of the fade-in and fade-out", metavar="TIME")] = None
    start: Annotated[str | None, sound("Position to start at", metavar="TIME")] = None
    duration: Annotated[str | None, sound("Duration to play", metavar="TIME")] = None
    channel: Annotated[int | None, sound("Channel of a file to play, from 1 [default: mix of all]", min=1)] = None
    wait: Annotated[
        bool | None, waiting("Wait until the sound has been played [default: on a terminal]", "--wait/--no-wait")
    ] = None
    timeout: TotalTimeout = inf


def play_to_call(options: PlayOptions) -> int:
    """Play a sound to the caller of a live call."""
    from listenctl.commands.live_calls.play_to_call_run import run_play
    from listenctl.terminal.screen import can_draw

    settings = play_settings(options)
    live = settings.wait and can_draw(sys.stderr, os.environ)
    return run_async(
        run_play(recipient_of(options, endless=True), options.source, sound_edits(options), settings, live=live)
    )


command = with_options(PlayOptions, play_to_call)


def play_settings(options: PlayOptions) -> "PlaySettings":
    """Return how to play; raises UsageError if options contradict each other."""
    from listenctl.play_to_call.delivery_mode import ModeChoice, check_mode_options
    from listenctl.play_to_call.settings import PlaySettings
    from listenctl.protocol.call_sharing.stream_rate import PLAYS_CLIPS, stream_rate

    choice, rate = ModeChoice(options.mode), options.stream_rate
    check_mode_options(choice, rate)
    if rate not in (None, PLAYS_CLIPS) and stream_rate(rate) is None:
        raise UsageError(f"--stream-rate {rate} isn't an audio rate; give one in Hz such as 8000, or 0 for clips")
    lead = parse_lead(options.lead)
    wait = sys.stdout.isatty() if options.wait is None else options.wait
    return PlaySettings(
        choice=choice, stream_rate=rate, interrupt=options.interrupt, lead=lead, exact=options.exact, wait=wait
    )


def sound_edits(options: PlayOptions) -> "SoundEdits":
    from listenctl.play_to_call.trim_and_gain import SoundEdits

    return SoundEdits(
        gain_db=options.gain,
        fade=parse_seconds(options.fade, "--fade") if options.fade else 0.0,
        start=parse_seconds(options.start, "--start") if options.start else 0.0,
        duration=parse_seconds(options.duration, "--duration") if options.duration else None,
        loop=options.loop,
        channel=None if options.channel is None else options.channel - 1,
    )
