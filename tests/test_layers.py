"""
The layers of the package: imports point one way, the protocol is pure, and nothing heavy is imported before its use.

commands → server, simulator, load, replay, live_client, inspection → terminal, play_to_call, capture, object_storage
→ media, net → events, call_listing → protocol → errors; a layer may skip, never go back.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "listenctl"
MODULES = sorted(PACKAGE.rglob("*.py"))

# The package itself holds the version, and `__main__` ties everything together.
HEIGHTS = {
    "listenctl": 0,
    "background_task": 0,
    "background_writer": 0,
    "errors": 0,
    "installed_versions": 1,
    "json_lines": 0,
    "percentiles": 0,
    "protocol": 1,
    "call_listing": 2,
    "events": 2,
    "media": 3,
    "net": 3,
    "capture": 4,
    "object_storage": 4,
    "play_to_call": 4,
    "terminal": 4,
    "server": 5,
    "simulator": 5,
    "load": 5,
    "replay": 5,
    "live_client": 5,
    "inspection": 5,
    "commands": 6,
    "__main__": 7,
}
IMPURE = {
    "asyncio", "concurrent", "datetime", "http", "logging", "multiprocessing", "os", "pathlib", "queue", "select",
    "selectors", "shutil", "signal", "socket", "socketserver", "ssl", "subprocess", "tempfile", "threading", "time",
}  # fmt: skip
SANS_IO = {
    "client", "datastructures", "exceptions", "extensions", "frames", "headers", "http11", "protocol", "server",
    "speedups", "streams", "typing", "uri", "utils",
}  # fmt: skip
# Each takes a noticeable part of the start-up of a command that doesn't need it.
HEAVY = {
    "boto3",
    "cryptography",
    "matplotlib",
    "pyrage",
    "numpy",
    "opentelemetry",
    "requests",
    "rich",
    "sounddevice",
    "soundfile",
    "soxr",
    "zstandard",
}

# Packages that compute with numpy in nearly every function: they import it at the start, and are themselves imported
# only where they are used.
NUMERIC = (
    "listenctl.commands.inspect.text_plot_view",
    "listenctl.inspection.extract_audio.",
    "listenctl.inspection.plot.",
    "listenctl.inspection.sound_checks.",
    "listenctl.media.sound_checks.",
    "listenctl.simulator.streamed_sound",
    "listenctl.media.devices.jitter_buffer",
)

# The classes of these libraries are its bases.
SPAN_EXPORT = "listenctl.server.telemetry.span_export"


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, or a name of it: ``a.b`` for ``import a.b`` and for ``from a import b``."""

    name: str
    line: int
    at_start: bool

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


def imports_of(source: str) -> list[Import]:
    return list(_imports(ast.parse(source), at_start=True))


def _imports(node: ast.AST, *, at_start: bool) -> Iterator[Import]:
    match node:
        case ast.Import():
            yield from (Import(alias.name, node.lineno, at_start) for alias in node.names)
        case ast.ImportFrom():
            # Relative imports are banned by the linter.
            yield from (Import(f"{node.module}.{alias.name}", node.lineno, at_start) for alias in node.names)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            at_start = False
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            at_start = False
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, at_start=at_start)


def faults(module: str, source: str) -> list[str]:
    """Return what is wrong with the imports of ``module``, a dotted name such as ``listenctl.errors``."""
    rules = [_layer_fault, _purity_fault, _start_up_fault]
    found = ((one, rule(module, one)) for one in imports_of(source) for rule in rules)
    return [f"{module}:{one.line}: {fault}" for one, fault in found if fault]


def _layer(name: str) -> str:
    """Return the layer of ``listenctl.LAYER.x``; names that the package itself holds count as its own."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in HEIGHTS else "listenctl"


def _layer_fault(module: str, one: Import) -> str | None:
    if one.top != "listenctl":
        return None
    layer, other = _layer(module), _layer(one.name)
    if other == layer or HEIGHTS[other] < HEIGHTS[layer]:
        return None
    return f"{layer} must not import {one.name}"


def _purity_fault(module: str, one: Import) -> str | None:
    if _layer(module) != "protocol" or one.top == "listenctl":
        return None
    if one.top == "websockets":
        pure = not SANS_IO.isdisjoint(one.name.split(".")[1:2])
    else:
        pure = one.top in sys.stdlib_module_names and one.top not in IMPURE
    return None if pure else f"protocol must stay pure, without {one.name}"


def _start_up_fault(module: str, one: Import) -> str | None:
    if not one.at_start or (module.startswith(NUMERIC) and (one.top == "numpy" or one.name.startswith(NUMERIC))):
        return None
    if module == SPAN_EXPORT and one.top in ("opentelemetry", "requests"):
        return None
    typer_is_needed = _layer(module) in ("commands", "__main__")
    if one.top in HEAVY or one.name.startswith((*NUMERIC, SPAN_EXPORT)) or (one.top == "typer" and not typer_is_needed):
        return f"{one.name} is imported before it is needed"
    return None


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_keep_to_the_layers(path: Path) -> None:
    assert faults(dotted(path), path.read_text()) == []


def test_every_module_belongs_to_a_layer() -> None:
    assert {dotted(path).split(".")[1] for path in MODULES if path.parent != PACKAGE} <= set(HEIGHTS)
    assert {path.stem for path in PACKAGE.glob("*.py")} <= {"__init__", *HEIGHTS}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("listenctl.errors", "import listenctl.protocol.audio"),
        ("listenctl.protocol.audio", "from listenctl.media import wav"),
        ("listenctl.protocol.audio", "def late():\n    from listenctl import media"),
        ("listenctl.server.recording.call_recorder", "from listenctl.live_client.control_client import attach"),
        ("listenctl.live_client.control_client", "from listenctl import server"),
        ("listenctl.terminal.screen", "from listenctl.commands import serve"),
        (
            "listenctl.capture.packets.read_pcap",
            "if TYPE_CHECKING:\n    from listenctl.server.calls.live_call_log import Call",
        ),
        ("listenctl.protocol.listen_session", "import time"),
        ("listenctl.protocol.listen_session", "from asyncio import Queue"),
        ("listenctl.protocol.listen_session", "def late():\n    import logging"),
        ("listenctl.protocol.listen_session", "import numpy.typing"),
        ("listenctl.protocol.listen_session", "from websockets import ServerProtocol"),
        ("listenctl.protocol.listen_session", "from websockets.asyncio.server import serve"),
        ("listenctl.media.measure_levels", "import numpy as np"),
        ("listenctl.media.devices.sound_devices", "try:\n    import sounddevice\nexcept OSError:\n    pass"),
        ("listenctl.terminal.tables", "from rich.table import Table"),
        ("listenctl.terminal.tables", "class Table:\n    import rich"),
        (
            "listenctl.inspection.call_inspector",
            "from listenctl.inspection.sound_checks.call_sound import CallSoundReport",
        ),
        ("listenctl.inspection.plot.plot_figure", "from matplotlib.figure import Figure"),
        ("listenctl.server.jambonz_connection", "import typer"),
    ],
    ids=str,
)
def test_a_bad_import_is_found(module: str, source: str) -> None:
    assert faults(module, source) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("listenctl.errors", "import enum"),
        ("listenctl.protocol.listen_session", "from listenctl.protocol.audio import AudioFormat"),
        ("listenctl.protocol.frames.client_frame_reader", "from websockets.frames import Opcode"),
        ("listenctl.protocol.timeline", "import json\nfrom dataclasses import dataclass"),
        ("listenctl.server.recording.call_recorder", "from listenctl.errors import ListenctlError"),
        ("listenctl.server.server_handshake", "from listenctl import __version__"),
        ("listenctl.commands.serve.command", "import typer\nfrom listenctl.simulator.simulated_call import place"),
        ("listenctl.media.measure_levels", "if TYPE_CHECKING:\n    import numpy as np"),
        ("listenctl.media.sound_checks.correlation", "import numpy as np"),
        ("listenctl.terminal.tables", "async def draw():\n    from rich.table import Table"),
        ("listenctl.__main__", "from listenctl.commands import app"),
    ],
    ids=str,
)
def test_a_good_import_is_accepted(module: str, source: str) -> None:
    assert faults(module, source) == []


def test_the_version_is_told_without_importing_anything_heavy() -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "listenctl", "--version"], capture_output=True, text=True, check=True
    )

    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if line.startswith("import time:")}
    assert run.stdout.startswith("listenctl ")
    assert imported.isdisjoint({*HEAVY, "asyncio", "click", "typer", "websockets"})


def test_every_task_is_in_a_group() -> None:
    """The linter bans ``asyncio.create_task``; this finds the same method of a loop."""
    found = [dotted(path) for path in MODULES if re.search(r"loop(\(\))?\.create_task\(", path.read_text())]

    assert found == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {dotted(path): path for path in MODULES}
    graph = {name: _imported(name, path.read_text(), modules) for name, path in modules.items()}

    # Raises CycleError, with the modules of the circle.
    assert set(TopologicalSorter(graph).static_order()) == set(modules)


def _imported(name: str, source: str, modules: Container[str]) -> set[str]:
    """Return the modules that are imported at start; a module doesn't depend on the package that it is in."""
    found = set()
    for one in imports_of(source):
        module = one.name if one.name in modules else one.name.rpartition(".")[0]
        if one.at_start and module in modules and not f"{name}.".startswith(f"{module}."):
            found.add(module)
    return found
