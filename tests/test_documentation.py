"""What the commands offer stands in the README or a man page, and the man pages are sound and get installed."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from listenctl import events
from listenctl.__main__ import command
from listenctl.events import ActionHookEvent, CallFailedEvent, ConnectedEvent, EventFields, FaultEvent, VerdictEvent
from listenctl.json_lines import PARTY_NAMES
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, VerdictReason
from listenctl.simulator.fault_catalogue import FAULT_KINDS

ROOT = Path(__file__).parent.parent
MAN_PAGES = sorted((ROOT / "man").glob("*.[1-9]"))
# Typer adds these to every program.
SHELL_COMPLETION = {"--install-completion", "--show-completion"}


Command = TyperCommand | TyperGroup


def commands(parent: Command, name: str = "listenctl") -> Iterator[tuple[str, Command]]:
    """Walk a command and all below it, each with the name of its man page, such as ``listenctl-serve``."""
    if parent.hidden:
        return
    yield name, parent
    if isinstance(parent, TyperGroup):
        context = typer.Context(parent)
        for child in parent.list_commands(context):
            found = parent.get_command(context, child)
            assert isinstance(found, Command), f"{name} lists {child} but doesn't have it"
            yield from commands(found, f"{name}-{child}")


def options(one: Command) -> set[str]:
    shown = (option for option in one.params if isinstance(option, TyperOption) and not option.hidden)
    return {word for option in shown for word in (*option.opts, *option.secondary_opts)} - SHELL_COMPLETION


def words(text: str) -> set[str]:
    """Return the options that a text names, in Markdown or in either macro language of man pages."""
    plain = re.sub(r"\\f(\[\w*\]|\(..|.)", "", text).replace("\\-", "-")
    plain = re.sub(r"\bFl (?=[\w-])", "-", plain)
    return set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", plain))


COMMANDS = dict(commands(command()))
DOCUMENTATION = "\n".join(path.read_text() for path in (ROOT / "README.md", *MAN_PAGES))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_man_page(name: str) -> None:
    assert (ROOT / "man" / f"{name}.1").is_file()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_named_in_the_overview(name: str) -> None:
    overview = (ROOT / "man" / "listenctl.1").read_text().replace("\\-", "-")

    assert re.search(rf"(?<![\w-]){name.removeprefix('listenctl-')}(?![\w-])", overview)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    assert options(COMMANDS[name]) - words(DOCUMENTATION) == set()


def test_options_are_found_in_every_way_of_writing_them() -> None:
    page = ".Fl \\-port Ar PORT\n\\fB\\-\\-sample-rate\\fR=\\fIHZ\\fR, `--levels 100ms`, .Fl h , non--option\n"

    assert words(page) == {"--port", "--sample-rate", "--levels", "-h"}


def listed(page: str, section: str) -> set[str]:
    """Return the first word of each item in a section of a man page."""
    text = (ROOT / "man" / page).read_text()
    found = re.search(rf"^\.S[hs] {section}$(.*?)(?=^\.Sh )", text, re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no section {section}"
    return set(re.findall(r"^\.It Cm ([\w-]+)", found[1], re.MULTILINE))


@pytest.mark.parametrize(
    ("section", "known"),
    [
        ("FAULTS", set(FAULT_KINDS)),
        ("VERDICTS", {outcome.value for outcome in CommandOutcome}),
        ("REASONS", {reason.value for reason in VerdictReason if reason}),
    ],
)
def test_every_fault_outcome_and_reason_is_explained_and_no_other(section: str, known: set[str]) -> None:
    assert listed("listenctl-call.1", section) == known


def test_the_default_of_every_fault_is_told() -> None:
    text = (ROOT / "man" / "listenctl-call.1").read_text()

    for kind in FAULT_KINDS.values():
        item = text.partition(f".It Cm {kind.name}")[2].partition(".It ")[0]
        assert f"The default is {kind.default}." in item if kind.default else "default" not in item


@pytest.mark.parametrize("page", MAN_PAGES, ids=lambda page: str(page.name))
def test_a_man_page_is_well_formed(page: Path) -> None:
    run = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False)

    assert run.stdout == ""


@pytest.mark.parametrize("page", MAN_PAGES, ids=lambda page: str(page.name))
def test_the_readme_lists_every_man_page(page: Path) -> None:
    assert f"(man/{page.name})" in (ROOT / "README.md").read_text().partition("## Manual")[2]


def test_every_man_page_is_installed_in_its_section() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    installed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]

    assert installed == {f"man/{page.name}": f"share/man/man{page.suffix[1:]}/{page.name}" for page in MAN_PAGES}


def event_kinds(base: type[EventFields] = EventFields) -> Iterator[type[EventFields]]:
    for kind in base.__subclasses__():
        # A dataclass with slots replaces the class that it was made of, which lives on for a while.
        if getattr(events, kind.__name__) is kind:
            yield from [kind] if hasattr(kind, "event") else event_kinds(kind)


def event_fields(page: str) -> dict[str, set[str]]:
    """Return the fields that the manual gives each event of a server."""
    text = (ROOT / "man" / page).read_text().partition(".Ss Events of a simulated call")[0]
    sections = re.split(r"^\.Ss ", text, flags=re.MULTILINE)[2:]
    return {section.split("\n")[0]: set(_top_items(section)) for section in sections}


def _top_items(section: str) -> Iterator[str]:
    """Walk the names of the items of the outer list."""
    depth = 0
    for line in section.splitlines():
        depth += line.startswith(".Bl ") - line.startswith(".El")
        if depth == 1 and line.startswith(".It Cm "):
            yield from (word for word in line.partition(" Pq ")[0].split()[2:] if word != ",")


def test_every_event_and_field_is_in_the_manual() -> None:
    simulated = (CallFailedEvent, ConnectedEvent, FaultEvent, VerdictEvent, ActionHookEvent)
    served = {
        kind.event: {PARTY_NAMES.get(field.name, field.name) for field in fields(kind)}
        for kind in event_kinds()
        if kind not in simulated and not kind.__name__.startswith("Simulated")
    }

    assert event_fields("listenctl-events.5") == served


def test_the_files_that_the_architecture_names_exist() -> None:
    named = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", (ROOT / "listenctl" / "README.md").read_text())

    assert named
    assert [name for name in named if not ((ROOT / "listenctl" / name).exists() or (ROOT / name).exists())] == []
