"""Settings from a file: option over ``LISTENCTL_*`` variable over file over default."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from listenctl.errors import UsageError

FILE = Path("listenctl/config.toml")


def read_defaults(chosen: Path | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the settings of each command, keyed by parameter name.

    The file has a table for each command, with its long options: ``[record]``, ``sample-rate = 16000``.

    Raises:
        UsageError: the file can't be read or isn't TOML.
    """
    path = chosen or _find(environ)
    if path is None:
        return {}
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"{path}: can't be read as settings: {exc}") from exc
    return {command: _parameters(path, command, table) for command, table in tables.items()}


def _find(environ: Mapping[str, str]) -> Path | None:
    folders = [environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")]
    folders += (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    return next((path for folder in folders if (path := Path(folder) / FILE).is_file()), None)


def _parameters(path: Path, command: str, table: object) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {command!r} stands alone; settings belong into a table such as [record]")
    return {name.replace("-", "_"): value for name, value in table.items()}
