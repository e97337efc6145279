"""
The commands, one file each: options in, one call out.

A command's module is imported when the command is run or shown, and imports in turn what it needs when it runs.
"""

import atexit
import os
import re
import signal
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer._click.exceptions import (
    BadParameter,
    ClickException,
    NoArgsIsHelpError,
    NoSuchOption,
)  # Typer 0.28 carries a click of its own
from typer._click.exceptions import (
    UsageError as ClickUsageError,
)
from typer.core import TyperArgument, TyperCommand, TyperGroup

from listenctl import __version__
from listenctl.errors import ExitStatus, ListenctlError
from listenctl.terminal.standard_streams import flush_stdout, write_stdout

COMMANDS = {
    "demo": "demo",
    "record": "serve.record",
    "serve": "serve.command",
    "calls": "live_calls.calls",
    "events": "live_calls.follow_events",
    "play-to-call": "live_calls.play_to_call",
    "mark": "live_calls.mark",
    "kill-audio": "live_calls.kill_audio",
    "clear-marks": "live_calls.clear_marks",
    "disconnect": "live_calls.disconnect",
    "send-json": "live_calls.send_json",
    "monitor": "monitor.command",
    "call": "call.command",
    "load": "load.command",
    "replay": "replay.command",
    "send-dtmf": "live_calls.send_dtmf",
    "inspect": "inspect.command",
    "recover": "recover",
    "passwd": "passwd",
}
"""The module of each command below ``listenctl.commands``, most wanted first."""


class LazyGroup(TyperGroup):
    """A group that imports a command's module only when that command is asked for."""

    def list_commands(self, _ctx: Any) -> list[str]:
        """Return the names of all commands, most wanted first."""
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        """Return one command, None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"listenctl.commands.{COMMANDS[cmd_name]}")
        return _command(module.app, cmd_name)


def _command(app: typer.Typer, name: str) -> TyperCommand:
    found = typer.main.get_command(app)
    assert isinstance(found, TyperCommand)
    found.name = name
    # Lines of a docstring are no lines of the help.
    found.help = "\n\n".join(" ".join(part.split()) for part in (found.help or "").split("\n\n"))
    for parameter in found.params:
        if isinstance(parameter, TyperArgument):
            parameter.metavar = parameter.metavar or str(parameter.name).upper()
    return found


def group() -> TyperGroup:
    """Return the command with all its subcommands."""
    app = typer.Typer(cls=LazyGroup, add_completion=True, no_args_is_help=True, context_settings=_CONTEXT)
    app.callback()(_root)
    found = typer.main.get_command(app)
    assert isinstance(found, TyperGroup)
    return found


_CONTEXT = {"help_option_names": ["-h", "--help"]}


def _root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(envvar="LISTENCTL_CONFIG", help="Settings, instead of listenctl/config.toml in the XDG places."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and exit.")] = False,
) -> None:
    """Receive, record and simulate the audio streams of jambonz calls (the listen protocol)."""
    if version:
        typer.echo(f"listenctl {__version__}")
        raise typer.Exit
    from listenctl.commands.config_file import read_defaults

    ctx.default_map = read_defaults(config, os.environ, _known_settings(ctx))


def _known_settings(ctx: typer.Context) -> dict[str, dict[str, bool] | None]:
    """Return the parameters of the command that was called, and which may be repeated; the others stay unimported."""
    known: dict[str, dict[str, bool] | None] = dict.fromkeys(COMMANDS)
    name = ctx.invoked_subcommand
    called = ctx.command.get_command(ctx, name) if isinstance(ctx.command, LazyGroup) and name else None
    if name is not None and called is not None:
        known[name] = {str(parameter.name): getattr(parameter, "multiple", False) for parameter in called.params}
    return known


def run(command: TyperGroup, arguments: Sequence[str]) -> int:
    """Run one command line; print one line for what went wrong, and return the exit status."""
    # Registered first, so done last: from then on Python would let Ctrl-C be the end that is seen, not our status.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    status = _run(command, arguments)
    status = status if flush_stdout() else status or ExitStatus.FAILED
    # Before that comes what may hang, and Ctrl-C ends it.
    signal.signal(signal.SIGINT, lambda *_: os._exit(status))
    return status


def _run(command: TyperGroup, arguments: Sequence[str]) -> int:
    try:
        status = command.main(args=list(arguments), prog_name="listenctl", standalone_mode=False)
    except NoArgsIsHelpError as exc:
        exc.show()
        return ExitStatus.USAGE
    except ClickException as exc:
        _print_error(_usage_error(exc))
        return ExitStatus.USAGE
    except (typer.Abort, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    except ListenctlError as exc:
        _print_error(str(exc))
        return exc.exit_status
    except OSError:
        # If it was stdout, that fails again; if not, an empty line before a traceback does no harm.
        if write_stdout("\n"):
            raise
        return ExitStatus.FAILED
    return status if isinstance(status, int) else 0


def _usage_error(exc: ClickException) -> str:
    """Say in one line what is wrong with the command line, and where to look."""
    from listenctl.commands.option_errors import origin, plain

    context = exc.ctx if isinstance(exc, ClickUsageError) else None
    if isinstance(exc, BadParameter) and context is not None:
        exc.param_hint = exc.param_hint or origin(context, exc.param)
    if isinstance(exc, NoSuchOption) and context is not None and context.info_name == "record":
        from listenctl.commands.serve.record import is_option_of_serve

        if is_option_of_serve(exc.option_name):
            return f"record has no {exc.option_name}, but `listenctl serve --record DEST` has; see `listenctl serve -h`"
    # Click names the variable that could have set an option, also where another source did.
    message = plain(re.sub(r" \(env var: '\w+'\)", "", exc.format_message()).rstrip("."))
    return f"{message}; see `{context.command_path} -h`" if context else message


def _print_error(text: str) -> None:
    from listenctl.terminal.printable_text import printable
    from listenctl.terminal.standard_streams import write_message

    write_message(printable(text))
