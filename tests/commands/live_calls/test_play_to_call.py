"""Options of ``play-to-call``."""

import subprocess
import sys
from pathlib import Path

import pytest

from listenctl.commands.live_calls.play_to_call import PlayOptions, sound_edits
from listenctl.play_to_call.trim_and_gain import SoundEdits
from tests.helpers.cli import refusal


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--mode", "clip", "--stream-rate", "8000"], "--mode clip has no --stream-rate"),
        (["--stream-rate", "12"], "--stream-rate 12 isn't an audio rate"),
        (["--lead", "10ms"], "--lead 10ms: must be between 20ms and 5s"),
        (["--lead", "soon"], "--lead 'soon' isn't a time"),
        (["--duration", "-1"], "--duration '-1' isn't a time"),
        (["--timeout", "nan"], "--timeout must be a number of seconds"),
        (["--channel", "0"], "--channel"),
    ],
)
def test_unusable_options_are_refused(tmp_path: Path, arguments: list[str], problem: str) -> None:
    assert problem in refusal("play-to-call", "@latest", "silence", *arguments, home=tmp_path)


def test_edits_of_the_sound() -> None:
    options = PlayOptions(call="a", source="b", start="200ms", duration="0.3", gain=-3.0, fade="10ms", channel=2)

    assert sound_edits(options) == SoundEdits(gain_db=-3.0, fade=0.01, start=0.2, duration=0.3, channel=1)


def test_imports_before_playback() -> None:
    code = (
        "import sys, listenctl.commands.live_calls.play_to_call, listenctl.commands.serve.command;"
        "import listenctl.commands.live_calls.play_to_call_run;"
        "print(*sorted({'numpy', 'rich', 'sounddevice', 'soundfile', 'soxr'} & sys.modules.keys()))"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"\n"
