"""A command that says of a wrong value where it stands: on the command line, in a variable, or in the file."""

import os
from typing import Any

from typer._click.core import Context, Parameter, ParameterSource
from typer._click.exceptions import BadParameter  # Typer 0.28 carries a click of its own
from typer.core import TyperCommand

from listenctl.commands.config import option_name, settings_file


class ConfigurableCommand(TyperCommand):
    """A command whose options can be set elsewhere than on the command line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; a wrong value is reported under the name that it was given by."""
        try:
            return super().parse_args(ctx, args)
        except BadParameter as exc:
            exc.param_hint = exc.param_hint or origin(ctx, exc.param)
            raise


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
