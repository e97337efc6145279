"""Settings from a file: option over ``LISTENCTL_*`` variable over file over default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from listenctl.errors import UsageError

FILE = Path("listenctl/config.toml")


def read_defaults(
    chosen: Path | None, environ: Mapping[str, str], known: Mapping[str, set[str] | None]
) -> dict[str, Any]:
    """
    Return the settings of each command, keyed by parameter name.

    The file has a table for each command, with its long options: ``[record]``, ``sample-rate = 16000``.

    Args:
        known: the parameter names of each command; None where they don't matter now.

    Raises:
        UsageError: the file can't be read, isn't TOML, or sets what isn't known.
    """
    path = chosen or _find(environ)
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


def _find(environ: Mapping[str, str]) -> Path | None:
    folders = [environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")]
    folders += (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    return next((path for folder in folders if (path := Path(folder) / FILE).is_file()), None)


def _parameters(path: Path, command: str, table: object, known: set[str] | None) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {command!r} stands alone; settings belong into a table such as [record]")
    settings = {name.replace("-", "_"): value for name, value in table.items()}
    if known is not None and (unknown := sorted(settings.keys() - known)):
        raise UsageError(
            f"{path}: [{command}] has no setting {unknown[0].replace('_', '-')!r}; see `listenctl {command} -h`"
        )
    for name, value in settings.items():
        if not isinstance(value, str | int | float):
            raise UsageError(f"{path}: [{command}] {name.replace('_', '-')} is a single value, not {value!r}")
    return settings
