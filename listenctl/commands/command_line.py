"""
The command line as a whole: the list of commands, the run of one, its exit status and its error message.

A command's module is imported when that command runs or shows its help.
"""

import atexit
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from listenctl.errors import ExitStatus, ListenctlError, UsageError
from listenctl.terminal.standard_streams import write_message, write_stdout

COMMANDS = {
    "demo": ("demo", "Record a simulated call on this machine and show the result"),
    "record": ("serve.record", "Accept calls and record each to a file"),
    "serve": ("serve.command", "Accept calls and show them live"),
    "calls": ("live_calls.calls", "List the live calls of a running server"),
    "events": ("live_calls.events_command", "Print the events of a running server as they happen"),
    "play-to-call": ("live_calls.play_to_call", "Play a sound to the caller of a live call"),
    "mark": ("live_calls.mark", "Mark the end of the queued audio and report when it plays"),
    "kill-audio": (
        "live_calls.plain_commands:kill_audio",
        "Stop the audio playing to the caller and clear the queue",
    ),
    "clear-marks": ("live_calls.plain_commands:clear_marks", "Clear all pending marks of a call"),
    "disconnect": ("live_calls.plain_commands:disconnect", "End the listen session of a call"),
    "send-json": ("live_calls.send_json", "Send a JSON text to jambonz unchanged"),
    "monitor": ("monitor.command", "Listen to live calls and watch their levels"),
    "call": ("call.command", "Place a simulated call to a listen server"),
    "load": ("load.command", "Place many simulated calls and measure the server"),
    "replay": ("replay.command", "Replay a captured call to a server or a client"),
    "send-dtmf": ("live_calls.send_dtmf", "Send DTMF digits to a live call or to a server"),
    "inspect": ("inspect.command", "Explain captured calls and check them against the protocol"),
    "recover": ("recover", "Repair recordings with a broken header"),
    "decrypt": ("decrypt", "Decrypt recordings that were made with --encrypt-to"),
    "upload": ("upload.command", "Upload recordings that are left in a spool"),
    "hooks": ("hooks.command", "Send again the events that hooks have not taken"),
    "prune": ("prune", "Delete old recordings, or say which ones would be deleted"),
    "passwd": ("passwd", "Set the password of a user in an auth file"),
    "generate": ("generate.command", "Print a systemd unit or a Grafana dashboard"),
}
"""The module of each command below ``listenctl.commands``, its name there, and its summary; most useful first."""

# Typer exports one of its parser's errors; this is the base of all of them.
ParserError: type[Exception] = typer.BadParameter.__bases__[0].__bases__[0]

_WRONG_NUMBERS = (
    (r"is not a valid float( range)?$", "is not a number"),
    (r"is not a valid int(eger)?( range)?$", "is not a whole number"),
    (r"is not in the range ([^<=>\s]+)<=x<=([^<=>\s]+)$", r"is not from \1 to \2"),
    (r"is not in the range x>=([^<=>\s]+)$", r"is not \1 or more"),
)


_FIRST_SECTIONS = (
    "Arguments",
    "Listening",
    "Recording",
    "Answering the caller",
    "Relay",
    "Calls",
    "Access and TLS",
    "Limits",
    "Running as a service",
    "Hooks",
    "Object storage",
    "Logs and privacy",
)
_LAST_SECTIONS = ("Server", "Connection", "Waiting", "Output", "Options")
"""Sections of the help in their order; others are between these, in the order of their options."""
_METAVARS = {"int": "NUMBER", "float": "SECONDS", "path": "FILE"}


class LazyGroup(TyperGroup):
    """A group that imports a command's module only when that command is used. (Typer's own context type is private.)"""

    def list_commands(self, _ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = import_module(f"listenctl.commands.{module}")
        return _make_command(cmd_name, getattr(found, attribute or "command"))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the summaries of the commands, which takes none of their modules."""
        commands = [TyperCommand(name, help=summary) for name, (_, summary) in COMMANDS.items()]
        listing = TyperGroup(
            name=self.name, help=self.help, params=self.params, commands=commands, rich_markup_mode=None
        )
        listing.format_help(ctx, formatter)


class SectionedCommand(TyperCommand):
    """
    A command whose help lists its options in sections, as plain text.

    The boxes that rich draws take longer than everything else that a ``--help`` does.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from listenctl.commands.config_sources import REREAD

        ctx.meta[REREAD] = partial(_parse_again, ctx, tuple(args))
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage without the braces that Typer puts around a required argument."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                usual = "Arguments" if isinstance(parameter, TyperArgument) else "Options"
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
        middle = [title for title in sections if title not in (*_FIRST_SECTIONS, *_LAST_SECTIONS)]
        for title in filter(sections.get, (*_FIRST_SECTIONS, *middle, *_LAST_SECTIONS)):
            with formatter.section(title):
                formatter.write_dl(sections[title])


def _make_command(name: str, function: Callable[..., int]) -> TyperCommand:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=SectionedCommand)(function)
    found = typer.main.get_command(app)
    assert isinstance(found, TyperCommand)
    # The line breaks of a docstring don't belong in the help.
    found.help = "\n\n".join(" ".join(part.split()) for part in (found.help or "").split("\n\n"))
    for parameter in found.params:
        named = str(parameter.name).upper() if isinstance(parameter, TyperArgument) else None
        parameter.metavar = parameter.metavar or named or _METAVARS.get(parameter.type.name.split()[0])
    return found


def command_group() -> TyperGroup:
    context = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(cls=LazyGroup, add_completion=True, context_settings=context, rich_markup_mode=None)
    app.callback()(_root)
    found = typer.main.get_command(app)
    assert isinstance(found, TyperGroup)
    return found


def _root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="LISTENCTL_CONFIG",
            metavar="FILE",
            help="Settings file [default: ~/.config/listenctl/config.toml, else below /etc/xdg]",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", help="Print the versions of listenctl, Python and the libraries, and exit."),
    ] = False,
) -> None:
    """Receive, record and simulate the audio streams of jambonz calls (the listen protocol)."""
    if version:
        from listenctl.installed_versions import describe_versions

        typer.echo(describe_versions(), nl=False)
        raise typer.Exit
    from listenctl.commands.config_sources import read_defaults

    ctx.default_map = read_defaults(config, os.environ, _known_settings(ctx))


def _parse_again(ctx: Any, arguments: Sequence[str]) -> Mapping[str, Any]:
    """Return what ``arguments`` of a command mean with the settings file of now; raises UsageError."""
    from listenctl.commands.config_sources import read_defaults

    name, parent = ctx.info_name, ctx.parent
    chosen = parent.params["config"]
    defaults = read_defaults(Path(chosen) if chosen else None, os.environ, _known_settings(parent))
    try:
        # The parser takes what it parses off the list.
        again = ctx.command.make_context(name, [*arguments], parent=parent, default_map=defaults.get(name, {}))
    except ParserError as exc:
        raise UsageError(_usage_error(exc)) from exc
    values: Mapping[str, Any] = again.params
    return values


def _known_settings(ctx: typer.Context) -> dict[str, dict[str, bool] | None]:
    """Return the parameters of the invoked command and whether each may be repeated; the others stay unimported."""
    known: dict[str, dict[str, bool] | None] = dict.fromkeys(COMMANDS)
    name = ctx.invoked_subcommand
    invoked = ctx.command.get_command(ctx, name) if isinstance(ctx.command, LazyGroup) and name else None
    if name is not None and invoked is not None:
        known[name] = {str(parameter.name): getattr(parameter, "multiple", False) for parameter in invoked.params}
    return known


def run_command_line(command: TyperGroup, arguments: Sequence[str]) -> int:
    """Run one command line, print one line if it fails, and return the exit status."""
    # Registered first, so run last: after that, Python would let Ctrl-C decide the exit status.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    status = _run(command, arguments)
    status = status if write_stdout("") else status or ExitStatus.FAILED
    # What other exit handlers do may hang, and Ctrl-C ends it.
    signal.signal(signal.SIGINT, lambda *_: os._exit(status))
    return status


def _run(command: TyperGroup, arguments: Sequence[str]) -> int:
    try:
        status = command.main(args=list(arguments) or ["--help"], prog_name="listenctl", standalone_mode=False)
    except ParserError as exc:
        write_message(_usage_error(exc))
        return ExitStatus.USAGE
    except (typer.Abort, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    except ListenctlError as exc:
        write_message(str(exc))
        return exc.exit_status
    except OSError:
        # If stdout is the cause, this fails again; if not, an empty line before the traceback does no harm.
        if write_stdout("\n"):
            raise
        return ExitStatus.FAILED
    if not arguments:
        return ExitStatus.USAGE
    return status if isinstance(status, int) else ExitStatus.DONE


def _usage_error(exc: Exception) -> str:
    """Return one line: what is wrong with the command line, and where its help is."""
    from listenctl.commands.config_sources import source_of

    context: typer.Context | None = getattr(exc, "ctx", None)
    if isinstance(exc, typer.BadParameter) and context is not None:
        exc.param_hint = exc.param_hint or source_of(context, exc.param)
    unknown = getattr(exc, "option_name", None)
    if unknown is not None and context is not None and context.info_name == "record":
        from listenctl.commands.serve.record import is_option_of_serve

        if is_option_of_serve(unknown):
            return f"record has no {unknown}, but `listenctl serve --record DEST` has; see `listenctl serve -h`"
    text: str = getattr(exc, "format_message", exc.__str__)()
    # Typer names the variable that could have set an option, also where another source did.
    message = re.sub(r" \(env var: '\w+'\)", "", text).rstrip(".")
    for pattern, replacement in _WRONG_NUMBERS:
        message = re.sub(pattern, replacement, message)
    return f"{message}; see `{context.command_path} -h`" if context else message
