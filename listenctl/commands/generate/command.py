"""``listenctl generate``: print a systemd unit or a Grafana dashboard."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from listenctl.terminal.standard_streams import write_stdout


class Generated(StrEnum):
    SYSTEMD = "systemd"
    GRAFANA = "grafana"


def generate(kind: Annotated[Generated, typer.Argument(help="systemd or grafana")]) -> int:
    """
    Print a systemd unit or a Grafana dashboard.

    The unit records calls, with little rights. The dashboard shows the metrics of all servers that Prometheus knows.
    """
    if kind is Generated.SYSTEMD:
        from listenctl.commands.generate.systemd_unit import systemd_unit

        write_stdout(systemd_unit(Path(sys.argv[0])))
    else:
        from listenctl.commands.generate.grafana_dashboard import grafana_dashboard

        write_stdout(grafana_dashboard())
    return 0


command = generate
