"""
The entry point: parse the command line, run the command, and turn an error into one line and an exit status.

``--version`` is answered before anything else is imported, because start-up time matters.
"""

import atexit
import gc
import os
import sys

from listenctl.errors import ExitStatus

# Type checkers take this name for true; importing it from typing would take longer than the rest of --version.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from sys import UnraisableHookArgs

    from typer.core import TyperGroup

_COLLECT_AFTER = 50_000
"""Objects allocated, less those freed, before the next collection."""


def main() -> int:
    """Run the command line and return the exit status."""
    sys.unraisablehook = _exit_at_interrupt
    # Imported modules are never garbage: few collections while they are imported, and none at exit, save a small
    # command a sixth of its time.
    gc.set_threshold(_COLLECT_AFTER)
    atexit.register(_skip_last_collection)
    try:
        return _main()
    except KeyboardInterrupt:  # While modules were imported, or output was flushed.
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return ExitStatus.INTERRUPTED


def _skip_last_collection() -> None:
    # soxr reports objects that are not collected as leaks.
    if "soxr" not in sys.modules:
        gc.freeze()


def _exit_at_interrupt(unraisable: "UnraisableHookArgs") -> None:
    """Exit at a Ctrl-C where Python would print a traceback and go on, as during an import."""
    if unraisable.exc_type is KeyboardInterrupt:
        os._exit(ExitStatus.INTERRUPTED)
    sys.__unraisablehook__(unraisable)


def _main() -> int:
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from listenctl.terminal.standard_streams import replace_closed_streams

        replace_closed_streams()
    if sys.argv[1:] in (["--version"], ["-V"]):
        return _print_version()
    from listenctl.commands.command_line import run_command_line

    return run_command_line(command(), sys.argv[1:])


def _print_version() -> int:
    from listenctl.installed_versions import describe_versions

    try:
        sys.stdout.write(describe_versions())
        sys.stdout.flush()
    except OSError as exc:
        from listenctl.terminal.standard_streams import discard_stdout

        discard_stdout(exc)
        return ExitStatus.FAILED
    return 0


def command() -> "TyperGroup":
    """Return the command with all its subcommands, none of which is imported yet."""
    from listenctl.commands.command_line import command_group

    return command_group()


if __name__ == "__main__":
    sys.exit(main())
