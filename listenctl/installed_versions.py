"""
What ``--version`` prints: the versions of listenctl, Python, the libraries, and those of the extras.

The folders of installed packages have the versions in their names. importlib.metadata reads the same, but importing it
takes four times as long as a bare interpreter.
"""

import os
import sys

from listenctl import __version__

LIBRARIES = ("numpy", "rich", "sounddevice", "soundfile", "soxr", "typer", "websockets")
EXTRAS = {
    "cryptography": "tls",
    "zstandard": "zstd",
    "matplotlib": "plot",
    "opentelemetry-exporter-otlp-proto-http": "otel",
    "obstore": "s3",
    "boto3": "s3",
    "pyrage": "encrypt",
}
"""The extra of each other library."""


def describe_versions() -> str:
    installed = _installed_versions()
    python = ".".join(map(str, sys.version_info[:3]))
    lines = [("Python", python), *((name, installed.get(name, "not installed")) for name in LIBRARIES)]
    lines += [(name, f"{installed.get(name, 'not installed')} (extra {extra})") for name, extra in EXTRAS.items()]
    width = max(len(name) for name, _ in lines)
    # Scripts read the first line.
    return f"listenctl {__version__}\n" + "".join(f"  {name.ljust(width)}  {version}\n" for name, version in lines)


def _installed_versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")  # noqa: PTH208 - importing pathlib takes as long as all of this
        except OSError:
            continue
        for entry in entries:
            stem, _, kind = entry.rpartition(".")
            name, _, version = stem.partition("-")
            if kind in ("dist-info", "egg-info") and version:
                # As on sys.path, the first one counts. Debian adds the version of Python.
                found.setdefault(name.lower().replace("_", "-"), version.partition("-py")[0])
    return found
