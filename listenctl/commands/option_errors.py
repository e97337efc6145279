"""Where a wrong value stands, and what is wrong with it: on the command line, in a variable, or in the file."""

import os
import re

from typer._click.core import Context, Parameter, ParameterSource  # Typer 0.28 carries a click of its own
from typer._click.globals import get_current_context

from listenctl.commands.config_file import option_name, settings_file

_WORDS = (
    (r"is not a valid float( range)?$", "is not a number"),
    (r"is not a valid int(eger)?( range)?$", "is not a whole number"),
    (r"is not in the range ([^<=>\s]+)<=x<=([^<=>\s]+)$", r"is not from \1 to \2"),
    (r"is not in the range x>=([^<=>\s]+)$", r"is not \1 or more"),
)


def origin(ctx: Context, parameter: Parameter | None) -> str | None:
    """Return the variable, or the file and its setting, that the value of ``parameter`` comes from; else None."""
    if parameter is None or parameter.name is None:
        return None
    match ctx.get_parameter_source(parameter.name):
        case ParameterSource.ENVIRONMENT:
            return str(parameter.envvar)
        case ParameterSource.DEFAULT_MAP:
            chosen = ctx.parent.params.get("config") if ctx.parent else None
            return f"{option_name(parameter.name)} in [{ctx.info_name}] of {settings_file(chosen, os.environ)}"
        case _:
            return None


def plain(complaint: str) -> str:
    """Return what Click says of a wrong number in words that are no programmer's."""
    for pattern, words in _WORDS:
        complaint = re.sub(pattern, words, complaint)
    return complaint


def on_command_line(parameter: str) -> bool:
    """Tell whether the command line itself gives ``parameter``; a variable or a file may mean other commands, too."""
    context = get_current_context(silent=True)
    return context is not None and context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE
