"""The versions that --version prints."""

import platform
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

from listenctl.installed_versions import EXTRAS, LIBRARIES, describe_versions


def test_they_are_those_that_python_knows() -> None:
    lines = dict(line.split(maxsplit=1) for line in describe_versions().splitlines())

    assert lines["Python"] == platform.python_version()
    assert {name: lines[name] for name in LIBRARIES} == {name: metadata.version(name) for name in LIBRARIES}
    assert [lines[name] for name in EXTRAS] == [
        f"{metadata.version(name)} (extra {extra})" for name, extra in EXTRAS.items()
    ]


def test_they_are_those_of_everything_that_listenctl_needs() -> None:
    required = [line for line in metadata.requires("listenctl") or () if "'dev'" not in line]
    name_of = {line: re.split(r"[<>=!;\[ ]", line)[0] for line in required}

    assert {name_of[line] for line in required if "extra ==" not in line} == set(LIBRARIES)
    assert {name_of[line] for line in required if "extra ==" in line} == set(EXTRAS)


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy-2.4.6.dist-info").mkdir()
    (tmp_path / "soxr-1.0-py3.egg-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "missing")])

    lines = dict(line.split(maxsplit=1) for line in describe_versions().splitlines())

    assert (lines["numpy"], lines["soxr"], lines["rich"]) == ("2.4.6", "1.0", "not installed")
    assert lines["matplotlib"] == "not installed (extra plot)"
