"""What is generated is understood by the programs that it is for."""

import json
import re
import subprocess
from pathlib import Path

import promql_parser

from listenctl.commands.generate.systemd_unit import systemd_unit
from listenctl.server.hooks.dead_letter_file import DeadLetterFile
from listenctl.server.hooks.server_hooks import HookSettings, running_hooks
from listenctl.server.operations.prometheus_text import prometheus_text
from tests.helpers.cli import listenctl, refusal
from tests.helpers.server import running


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_the_unit_is_one_of_systemd_and_exposes_little(tmp_path: Path) -> None:
    run = listenctl("generate", "systemd", home=tmp_path)
    unit = tmp_path / "listenctl.service"
    unit.write_text(run.stdout)
    checked = analyze("verify", "--man=no", str(unit))
    # 20 of 100; a unit without restrictions has 96.
    secure = analyze("security", "--offline=true", "--threshold=20", str(unit))

    assert (run.returncode, run.stderr) == (0, "")
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert secure.returncode == 0, secure.stdout


def test_a_program_in_a_home_can_be_read(tmp_path: Path) -> None:
    assert "ExecStart=/home/a/.venv/bin/listenctl record " in systemd_unit(Path("/home/a/.venv/bin/listenctl"))
    assert "\nProtectHome=read-only\n" in systemd_unit(Path("/home/a/.venv/bin/listenctl"))
    assert "\nProtectHome=yes\n" in systemd_unit(Path("/usr/bin/listenctl"))


async def test_the_dashboard_asks_for_metrics_that_there_are(tmp_path: Path) -> None:
    dashboard = json.loads(listenctl("generate", "grafana", home=tmp_path).stdout)
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    hooks = HookSettings((), frozenset(), DeadLetterFile(tmp_path / "dead"))
    async with running(record=tmp_path) as run, running_hooks(run.server.reporter, hooks, run.server.metrics.sources):
        described = prometheus_text(await run.server.metrics.collect()).decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", described, re.MULTILINE))
    exported = {name if kind != "histogram" else f"{name}_bucket" for name, kind in kinds.items()}

    for query in queries:
        promql_parser.parse(query.replace("$__rate_interval", "5m"))
    asked = {name for query in queries for name in re.findall(r"listenctl_\w+", query)}
    assert asked <= exported
    assert len(asked) > 10


def test_places_of_panels_do_not_overlap(tmp_path: Path) -> None:
    dashboard = json.loads(listenctl("generate", "grafana", home=tmp_path).stdout)
    places = [panel["gridPos"] for panel in dashboard["panels"]]

    assert len({(place["x"], place["y"]) for place in places}) == len(places)
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_only_what_there_is_can_be_generated(tmp_path: Path) -> None:
    assert "'docker'" in refusal("generate", "docker", home=tmp_path)
