"""Options of how a server answers the caller: greeting, echo, a program."""

import shlex
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from listenctl.commands.config_sources import option_name
from listenctl.commands.shared_options import DEFAULT_LEAD, GivenOptions, option, parse_lead, run_async
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.server.responders.call_responders import Responder

answering = partial(option, panel="Answering the caller")
PIPES = 4
"""Open files for a program: its three pipes, and one for its end."""


@dataclass(frozen=True, kw_only=True)
class ResponderOptions(GivenOptions):
    """How a server answers the caller."""

    play: Annotated[str | None, answering("Greet each caller with a sound file, or `speech`", metavar="SOURCE")] = None
    echo: Annotated[bool, answering("Send the caller's audio back")] = False
    exec: Annotated[
        str | None,
        answering(
            "Run a program for each call: it reads the audio, and the caller hears what it writes",
            metavar="COMMAND",
        ),
    ] = None
    exec_channel: Annotated[
        Literal["as-is", "left", "right", "mix"], answering("Channels of a stereo call that the program reads")
    ] = "as-is"
    exec_end: Annotated[Literal["stay", "disconnect"], answering("What happens to the call when the program ends")] = (
        "stay"
    )
    lead: Annotated[str, answering("How far ahead of playback audio is sent to the caller", metavar="TIME")] = (
        DEFAULT_LEAD
    )


def make_responders(options: ResponderOptions) -> "list[Responder]":
    """
    Return the responders of each call, in the order in which they are heard; raises UsageError if options contradict
    each other, or a file or program is missing.
    """
    if options.echo and options.exec is not None:
        raise UsageError("--echo and --exec both answer the caller; use one of them")
    lead = parse_lead(options.lead)
    _check_use(options)
    responders: list[Responder] = []
    if options.play is not None:
        responders.append(_greeting(options.play, lead))
    if options.echo:
        from listenctl.server.responders.echo_responder import EchoResponder

        responders.append(EchoResponder())
    if options.exec is not None:
        responders.append(_program(options, options.exec, lead))
    return responders


def _check_use(options: ResponderOptions) -> None:
    """Refuse options on the command line that would do nothing."""
    if options.exec is None:
        for name in ("exec_channel", "exec_end"):
            if name in options.given:
                raise UsageError(f"--{option_name(name)} needs --exec")
        if options.play is None and "lead" in options.given:
            raise UsageError("--lead needs --play or --exec")


def descriptors_per_call(options: object) -> int:
    """Return how many files each call keeps open, those for its responders included."""
    from listenctl.net.listening_sockets import DESCRIPTORS_PER_CALL

    runs_program = isinstance(options, ResponderOptions) and options.exec is not None
    return DESCRIPTORS_PER_CALL + (PIPES if runs_program else 0)


def _greeting(source: str, lead: float) -> "Responder":
    from listenctl.play_to_call.playable_sound import prepare_sound
    from listenctl.server.responders.greeting_responder import GreetingResponder

    if source == "-":
        raise UsageError("--play - isn't possible: each caller would hear another part of stdin; give a file")
    try:
        sound = run_async(prepare_sound(source))
    except UsageError as exc:
        # The advice at its end is for other commands.
        problem = str(exc).removeprefix(f"{source}: ").partition("; ")[0]
        raise UsageError(f"--play {source!r}: {problem}; give a sound file or speech") from exc
    if sound.endless:
        raise UsageError(f"--play {source!r}: a greeting needs an end, and this has none; give a sound file or speech")
    return GreetingResponder(sound, lead=lead)


def _program(options: ResponderOptions, text: str, lead: float) -> "Responder":
    from listenctl.media.channel_layout import ChannelLayout
    from listenctl.server.responders.exec_responder import ExecEnd, ExecProgram, ExecResponder

    return ExecResponder(
        ExecProgram(
            command=read_command(text, "--exec"),
            channel=ChannelLayout(options.exec_channel),
            end=ExecEnd(options.exec_end),
            lead=lead,
        )
    )


def read_command(text: str, option: str) -> list[str]:
    """
    Split the command line of an option as a shell does, without running one; raises UsageError if it can't be split, or
    there is no such program.
    """
    from shutil import which

    command = split_command(text, option)
    if which(command[0]) is None:
        raise UsageError(f"{option} {text!r}: there is no executable program {command[0]!r}")
    return command


def split_command(text: str, option: str) -> list[str]:
    try:
        command = shlex.split(text)
    except ValueError as exc:
        raise UsageError(f"{option} {text!r}: {str(exc).lower()}") from exc
    if not command:
        raise UsageError(f"{option} needs a command, such as {option} 'python agent.py'")
    return command
