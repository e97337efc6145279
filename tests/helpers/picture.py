"""
Draw `man/listenctl.svg`, the picture in the README: the meters of a server with five calls.

    .venv/bin/python -m tests.helpers.picture
"""

import io
import re
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from listenctl.commands.serve.server_meters import CallView, ServerView, render
from listenctl.terminal.level_meter import ChannelLevel

PICTURE = Path(__file__).parent.parent.parent / "man" / "listenctl.svg"
COLUMNS, ROWS = 100, 12
NOW = 3600.0


def call(parties: str, audio: str, age: float, *levels: tuple[float, float]) -> CallView:
    """Return the row of a recorded call, with the level and the peak of each channel in dB."""
    caller, callee = parties.split(" to ")
    rate, mix_type = audio.split()
    channels = tuple(ChannelLevel(level, peak, clipped=peak >= 0) for level, peak in levels)
    return CallView(caller, NOW - age, caller, callee, int(rate), mix_type, channels=channels, recording="call.wav")


CALLS = (
    replace(call("15083084809 to 15084901000", "8000 mono", 649, (-13, -8)), last_dtmf="2"),
    replace(
        call("+4930901820 to 15084901000", "16000 stereo", 282, (-16, -10), (-48, -21)), last_dtmf="#", gap_seconds=2.9
    ),
    replace(call("alice to 15084901001", "8000 stereo", 113, (-55, -30), (-2, 0)), warnings=1),
    replace(call("15551230042 to 15084901000", "8000 mixed", 59, (-20, -12)), state="paused"),
    call("+33140205050 to 15084901001", "48000 stereo", 3, (-40, -24), (-12, -6)),
)
VIEW = ServerView(
    url="wss://calls.example.com:3000/",
    title="recording to {date}/{callSid}.flac",
    calls_live=len(CALLS),
    calls_total=312,
    calls_failed=1,
    gap_seconds=2.9,
    recorded_bytes=1_940_000_000,
    recorded_seconds=61_704.0,
    calls=CALLS,
)


def draw() -> str:
    """Return the picture as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in render(VIEW, (COLUMNS, ROWS), NOW):
        console.print(Text.from_ansi(line), no_wrap=True)
    picture = console.export_svg(title="listenctl record", unique_id="listenctl")
    # A picture in a page must not fetch fonts, and the reader's own will do.
    return re.sub(r"\s*@font-face {.*?}", "", picture, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(draw())
