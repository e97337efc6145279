"""Where the value of an option comes from: the option, then its ``LISTENCTL_*`` variable, then the config file."""

import os
from collections.abc import Mapping
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

from listenctl.errors import UsageError

if TYPE_CHECKING:
    import typer

FILE = Path("listenctl/config.toml")
REREAD = "listenctl.reread"
"""Where the context of a command has the function that parses its arguments again, with the file of now."""

Known = Mapping[str, Mapping[str, bool] | None]
"""The parameters of each command and whether they may be repeated; None for a command that isn't run."""


def read_defaults(chosen: Path | None, environ: Mapping[str, str], known: Known) -> dict[str, Any]:
    """
    Return the settings of each command, keyed by parameter name.

    The file has a table for each command, with its long options: ``[record]``, ``sample-rate = 16000``. An option that
    may be repeated takes an array or a single value.

    Raises:
        UsageError: the file can't be read, isn't TOML, or has an unknown setting.
    """
    path = settings_file(chosen, environ)
    if path is None:
        return {}
    import tomllib

    try:
        tables = tomllib.loads(path.read_text())
    except OSError as exc:
        raise UsageError(f"{path}: can't be read: {exc.strerror}") from exc
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"{path}: isn't TOML: {exc}") from exc
    if strange := next((name for name in tables if name not in known), None):
        raise UsageError(
            f"{path}: there is no command {strange!r}; tables are {', '.join(f'[{name}]' for name in known)}"
        )
    return {command: _parameters(path, command, table, known[command]) for command, table in tables.items()}


def settings_file(chosen: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the config file, None if there is none."""
    if chosen is not None:
        return chosen
    folders = [environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")]
    folders += (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    return next((path for folder in folders if (path := Path(folder) / FILE).is_file()), None)


def _parameters(path: Path, command: str, table: object, known: Mapping[str, bool] | None) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {command!r} isn't in a table; put settings in one such as [record]")
    settings = {parameter_name(option): value for option, value in table.items()}
    if known is None:
        return settings
    if unknown := sorted(settings.keys() - known.keys()):
        raise UsageError(
            f"{path}: [{command}] has no setting {option_name(unknown[0])!r}; see `listenctl {command} -h`"
        )
    where = f"{path}: [{command}]"
    return {name: _checked(where, name, value, repeatable=known[name]) for name, value in settings.items()}


def _checked(where: str, name: str, value: object, *, repeatable: bool) -> object:
    values = value if repeatable and isinstance(value, list) else [value]
    if strange := [one for one in values if not isinstance(one, str | int | float)]:
        raise UsageError(f"{where} {option_name(name)} is a single value, not {strange[0]!r}")
    return values if repeatable else value


def parameter_name(option: str) -> str:
    """Return the parameter of a long option without its dashes; a Python keyword gets a trailing underscore."""
    name = option.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def option_name(parameter: str) -> str:
    """Return the long option of a parameter, without its dashes."""
    return parameter.rstrip("_").replace("_", "-")


def source_of(ctx: "typer.Context", parameter: object) -> str | None:
    """Return the variable, or the file and its setting, that gave a wrong value; None for the command line itself."""
    name = getattr(parameter, "name", None)
    if name is None:
        return None
    source = ctx.get_parameter_source(name)
    match source and source.name:
        case "ENVIRONMENT":
            return str(getattr(parameter, "envvar", name))
        case "DEFAULT_MAP":
            chosen = ctx.parent.params.get("config") if ctx.parent else None
            return f"{option_name(name)} in [{ctx.info_name}] of {settings_file(chosen, os.environ)}"
        case _:
            return None
