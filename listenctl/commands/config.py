"""Settings from a file: option over ``LISTENCTL_*`` variable over file over default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from listenctl.errors import UsageError

FILE = Path("listenctl/config.toml")


def read_defaults(chosen: Path | None, environ: Mapping[str, str], known: Mapping[str, set[str]]) -> dict[str, Any]:
    """
    Return the settings of each command, keyed by parameter name.

    The file has a table for each command, with its long options: ``[record]``, ``sample-rate = 16000``.

    Args:
        known: the parameter names of each command whose table is to be understood; other tables wait for their command.

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
    return {command: _parameters(path, command, table, known.get(command)) for command, table in tables.items()}


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
    return settings
