"""Options of what a server does with each call by itself."""

import asyncio
import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.config_file import option_name
from listenctl.commands.option_errors import on_command_line
from listenctl.commands.shared_options import option
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.server.responders.call_responders import Responder

DOING = "What it does with a call"
PIPES = 4
"""Open files for a program: its three pipes, and one for its end."""
MIN_LEAD, MAX_LEAD = 0.02, 5.0


class ExecChannel(StrEnum):
    """The values of ``--exec-channel``."""

    AS_IS = "as-is"
    LEFT = "left"
    RIGHT = "right"
    MIX = "mix"


class ExecEnding(StrEnum):
    """The values of ``--exec-end``."""

    STAY = "stay"
    DISCONNECT = "disconnect"


@dataclass(frozen=True, kw_only=True)
class ResponderOptions:
    """Options of a server that does more than to listen."""

    play: Annotated[
        str | None,
        option("Greet each caller with a sound file, or speech.", panel=DOING, metavar="SOURCE"),
    ] = None
    echo: Annotated[bool, option("Send each caller's audio back.", "--echo", panel=DOING)] = False
    exec: Annotated[
        str | None,
        option(
            "Run a program for each call: it reads the call's audio, and the caller hears what it writes.",
            "--exec",
            panel=DOING,
            metavar="COMMAND",
        ),
    ] = None
    exec_channel: Annotated[ExecChannel, option("What of a stereo call the program reads.", panel=DOING)] = (
        ExecChannel.AS_IS
    )
    exec_end: Annotated[ExecEnding, option("What becomes of a call whose program has ended.", panel=DOING)] = (
        ExecEnding.STAY
    )
    lead: Annotated[
        str, option("How far ahead of the clock the caller is sent what is played.", panel=DOING, metavar="TIME")
    ] = "200ms"


def make_responders(options: ResponderOptions, lead: float) -> "list[Responder]":
    """
    Return who sees to each call, in the order in which they are heard.

    Raises:
        UsageError: they contradict each other, or what they need isn't there.
    """
    if options.echo and options.exec is not None:
        raise UsageError("--echo and --exec both answer the caller; leave one of them out")
    if not MIN_LEAD <= lead <= MAX_LEAD:
        raise UsageError(f"--lead must be between {MIN_LEAD:g} and {MAX_LEAD:g} s")
    _check_use(options)
    return [
        *([_greeting(options.play, lead)] if options.play is not None else []),
        *([_echo()] if options.echo else []),
        *([_program(options, options.exec, lead)] if options.exec is not None else []),
    ]


def _check_use(options: ResponderOptions) -> None:
    """See that what the command line gives is of use; a variable or a file may mean it for another day."""
    if options.exec is None:
        for name in ("exec_channel", "exec_end"):
            if on_command_line(name):
                raise UsageError(f"--{option_name(name)} says something of a program; give --exec, too")
        if options.play is None and on_command_line("lead"):
            raise UsageError("--lead is for what --play and --exec stream; give one of them, too")


def descriptors(options: object) -> int:
    """Return how many files each call keeps open for its responders."""
    runs_program = isinstance(options, ResponderOptions) and options.exec is not None
    return PIPES if runs_program else 0


def _greeting(source: str, lead: float) -> "Responder":
    from listenctl.play_to_call.playable_sound import STDIN, prepare_sound
    from listenctl.server.responders.greeting_responder import GreetingResponder

    if source == STDIN:
        raise UsageError("--play - can't be: each caller would hear another part of stdin; give a file")
    try:
        sound = asyncio.run(prepare_sound(source))
    except UsageError as exc:
        # What else could be done is advice for other commands.
        problem = str(exc).removeprefix(f"{source}: ").partition("; ")[0]
        raise UsageError(f"--play {source!r}: {problem}; give a sound file, or speech") from exc
    if sound.endless:
        raise UsageError(f"--play {source!r}: a greeting needs an end, and this has none; give a sound file, or speech")
    return GreetingResponder(sound, lead=lead)


def _echo() -> "Responder":
    from listenctl.server.responders.echo_responder import EchoResponder

    return EchoResponder()


def _program(options: ResponderOptions, text: str, lead: float) -> "Responder":
    from listenctl.media.channel_layout import ChannelLayout
    from listenctl.server.responders.exec_responder import ExecEnd, ExecProgram, ExecResponder

    return ExecResponder(
        ExecProgram(
            command=read_command(text),
            channel=ChannelLayout(options.exec_channel.value),
            end=ExecEnd(options.exec_end.value),
            lead=lead,
        )
    )


def read_command(text: str) -> list[str]:
    """
    Split a command line as a shell does, without being one.

    Raises:
        UsageError: it can't be split, or there is no such program.
    """
    from shutil import which

    try:
        command = shlex.split(text)
    except ValueError as exc:
        raise UsageError(f"--exec {text!r}: {str(exc).lower()}") from exc
    if not command:
        raise UsageError("--exec needs a command, such as --exec 'python agent.py'")
    if which(command[0]) is None:
        raise UsageError(f"--exec {text!r}: there is no program {command[0]!r} that can be run")
    return command
