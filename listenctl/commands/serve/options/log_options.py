"""Options of what a server logs to stderr, and hides."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from listenctl.commands.connection_options import ReportOptions
from listenctl.commands.shared_options import GivenOptions, check_contradictions, option
from listenctl.errors import ListenctlError

if TYPE_CHECKING:
    from listenctl.terminal.stderr_log import LogSettings

Options = TypeVar("Options", bound="LogOptions")

logs = partial(option, panel="Logs and privacy")


@dataclass(frozen=True, kw_only=True)
class LogOptions(GivenOptions, ReportOptions):
    """How a server logs, and what it hides."""

    log_format: Annotated[
        Literal["text", "logfmt", "json"], logs("Format of the lines on stderr; only text has a live view")
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        logs("Lowest level to log to stderr [default: info; error with --quiet or --json]"),
    ] = None
    redact: Annotated[bool, logs("Shorten phone numbers on stderr, in the live view, and in names of recordings")] = (
        False
    )
    mask_dtmf: Annotated[
        bool, logs("Hide DTMF digits, and silence their tones, in all that is stored, shown or heard (slower)")
    ] = False


def log_settings(options: LogOptions) -> "LogSettings":
    """Return how to log; raises UsageError if options contradict each other."""
    from listenctl.terminal.event_lines import LogLevel
    from listenctl.terminal.log_lines import LogFormat
    from listenctl.terminal.stderr_log import LogSettings

    check_contradictions(options, ("quiet", "log_level"))
    # The reader of the JSON may print to the same terminal.
    level = options.log_level or ("error" if options.quiet or options.json else "info")
    return LogSettings(LogFormat(options.log_format), LogLevel[level.upper()], limited=True, redact=options.redact)


def logging_errors(run: Callable[[Options], int]) -> Callable[[Options], int]:
    """Make a command report why it failed in the format of its log, because what collects the log reads no other."""

    @wraps(run)
    def logged(options: Options) -> int:
        try:
            return run(options)
        except ListenctlError as exc:
            if options.log_format == "text":
                raise
            from listenctl.terminal.log_lines import LogFormat
            from listenctl.terminal.stderr_log import problem_writer

            problem_writer(LogFormat(options.log_format))(str(exc))
            return exc.exit_status

    return logged
