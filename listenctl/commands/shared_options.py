"""
Options that several commands share.

A dataclass with fields annotated for Typer is a set of options; ``with_options`` turns a function that takes one into a
command. So each option is defined once.
"""

import inspect
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import typer

from listenctl.commands.config_sources import REREAD, option_name
from listenctl.errors import UsageError
from listenctl.play_to_call.stream_lead import MAX_LEAD, MIN_LEAD, STREAM_LEAD

Options = TypeVar("Options")
Result = TypeVar("Result")

DEFAULT_LEAD = f"{STREAM_LEAD * 1000:.0f}ms"
"""The default of --lead."""

_SECONDS_OF = {"ms": 0.001, "s": 1.0, "": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

ProfileName = Literal["ideal", "current", "old", "next"]
"""The names of ``PROFILES``."""


def with_options(options: type[Options], run: Callable[[Options], int]) -> Callable[..., int]:
    """Return a function with a parameter for each field of ``options``, which calls ``run`` with them."""
    hints = get_type_hints(options, include_extras=True)
    of_context = {"given", "reread"} if issubclass(options, GivenOptions) else set()

    def command(ctx: typer.Context, **values: Any) -> int:
        if of_context:
            given = frozenset(name for name in values if _is_on_command_line(ctx, name))
            values.update(given=given, reread=ctx.meta.get(REREAD, dict))
        return run(options(**values))

    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=_completed(field.name, hints[field.name]),
        )
        for field in fields(options)  # type: ignore[arg-type]
        if field.name not in of_context
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters.insert(0, context)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = run.__doc__
    return command


def run_async(work: Coroutine[object, object, Result]) -> Result:
    """Run the work of a command; asyncio is imported here, because the help of a command doesn't need it."""
    import asyncio

    return asyncio.run(work)


def _is_on_command_line(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@dataclass(frozen=True, kw_only=True)
class GivenOptions:
    """Options that know where they come from."""

    given: frozenset[str] = frozenset()
    """Parameters that are on the command line itself; a variable or a file may be meant for other commands."""
    reread: Callable[[], Mapping[str, Any]] = dict
    """Return the parameters of a command that starts now, as the settings file may have changed; raises UsageError."""


def check_contradictions(options: GivenOptions, *pairs: tuple[str, str]) -> None:
    """Refuse two parameters on one command line that contradict each other."""
    for pair in pairs:
        if options.given.issuperset(pair):
            one, other = (f"--{option_name(name)}" for name in pair)
            raise UsageError(f"{one} and {other} contradict each other; give one of them")


def option(help_text: str, *names: str, panel: str, **more: Any) -> Any:
    """Describe an option: its help, its names if not its own, and the panel of the help it is listed in."""
    return typer.Option(*names, help=help_text, rich_help_panel=panel, **more)


def local_path(text: str) -> Path:
    """Return the path of a file or folder to write, the parser of such options; raises UsageError for a URL."""
    from listenctl.media.files.recording_names import check_no_url

    check_no_url(text)
    return Path(text)


output = partial(option, panel="Output")
waiting = partial(option, panel="Waiting")

TotalTimeout = Annotated[
    float, waiting("Exit with status 124 after this many seconds [default: no limit]", min=0.001, show_default=False)
]


def _completed(name: str, annotation: Any) -> Any:
    """Let ``LISTENCTL_NAME`` set an option too, unless it names another variable; a flag has no opposite."""
    for parameter in annotation.__metadata__:
        parameter.envvar = parameter.envvar or f"LISTENCTL_{name.rstrip('_').upper()}"
        parameter.show_envvar = False
        if annotation.__origin__ is bool and parameter.default is ...:
            parameter.param_decls = (f"--{option_name(name)}",)
    return annotation


def check_finite(**seconds: float | None) -> None:
    """Check options that take seconds; raises UsageError if one is infinite or not a number."""
    for name, value in seconds.items():
        if not isfinite(value or 0.0):
            raise UsageError(f"--{option_name(name)} must be a number of seconds")


def parse_lead(text: str) -> float:
    """Parse --lead; raises UsageError if it is no time, or too short or long."""
    lead = parse_seconds(text, "--lead")
    if not MIN_LEAD <= lead <= MAX_LEAD:
        raise UsageError(f"--lead {text}: must be between 20ms and 5s")
    return lead


def parse_seconds(text: str, option: str, wanted: str = "a time such as 100ms or 2s") -> float:
    """Return the seconds of a time such as ``100ms``, ``2`` or ``4h``; raises UsageError if it is no time, or zero."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d|)", text.strip())
    value = float(found[1]) * _SECONDS_OF[found[2]] if found else 0.0
    if not value:
        raise UsageError(f"{option} {text!r} isn't {wanted}")
    return value


def parse_size(text: str, option: str) -> int:
    """Return the bytes of a size such as ``500MB``, ``1.5GiB`` or ``0``; raises UsageError if it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kKMGT])(i?)B?|B)?", text.strip())
    if found is None:
        raise UsageError(f"{option} {text!r} isn't a size such as 500MB or 1.5GiB")
    power = "KMGT".find((found[2] or " ").upper()) + 1
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)
