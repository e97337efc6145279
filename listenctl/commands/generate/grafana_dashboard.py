"""A Grafana dashboard of the metrics of all servers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 8
_RATE = "rate({metric}[$__rate_interval])"


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph; each query has the text of its legend."""

    title: str
    unit: str  # one of Grafana's
    queries: Sequence[tuple[str, str]]


def _each_second(metric: str, label: str = "") -> str:
    by = f" by ({label})" if label else ""
    return f"sum{by} ({_RATE.format(metric=f'listenctl_{metric}')})"


def _quantile(share: float, metric: str) -> str:
    return f"histogram_quantile({share}, {_each_second(f'{metric}_bucket', 'le')})"


PANELS = (
    Panel("Live calls", "short", [("sum(listenctl_calls_live)", "live"), ("sum(listenctl_calls_limit)", "limit")]),
    Panel("Calls a second", "cps", [(_each_second("calls_total"), "calls")]),
    Panel("Refused a second", "cps", [(_each_second("connections_refused_total", "status"), "{{status}}")]),
    Panel("Credentials a second", "cps", [(_each_second("credentials_checked_total", "result"), "{{result}}")]),
    Panel(
        "Audio, in seconds each second",
        "short",
        [
            (_each_second("audio_received_seconds_total"), "received"),
            (_each_second("recording_seconds_total"), "recorded"),
        ],
    ),
    Panel(
        "Lost audio",
        "s",
        [
            ("sum(listenctl_audio_lost_seconds_total)", "did not arrive"),
            ("sum(listenctl_audio_unrecorded_seconds_total)", "not recorded"),
            ("sum(listenctl_audio_unread_seconds_total)", "not read by programs"),
        ],
    ),
    Panel("Gaps, in seconds each second", "short", [(_each_second("gap_seconds_total", "kind"), "{{kind}}")]),
    Panel(
        "Recordings a second",
        "cps",
        [
            (_each_second("recordings_saved_total", "complete"), "complete: {{complete}}"),
            (_each_second("recordings_failed_total"), "failed"),
        ],
    ),
    Panel("Audio that waits for the disk", "bytes", [("sum(listenctl_recording_queue_bytes)", "waiting")]),
    Panel(
        "Time until audio is written",
        "s",
        [(_quantile(0.5, "recording_wait_seconds"), "median"), (_quantile(0.99, "recording_wait_seconds"), "p99")],
    ),
    Panel(
        "Conversions",
        "short",
        [
            ("sum(listenctl_conversions_waiting)", "waiting"),
            ("sum(listenctl_conversions_running)", "running"),
            (_each_second('conversions_total{result="failed"}'), "failed each second"),
        ],
    ),
    Panel(
        "Hooks, events a second",
        "short",
        [
            (_each_second("hooks_delivered_total"), "delivered"),
            (_each_second("hooks_failed_total"), "failed"),
            (_each_second("hooks_dropped_total"), "dropped"),
        ],
    ),
    Panel("Free for recordings", "bytes", [("listenctl_disk_free_bytes", "{{instance}}")]),
    Panel(
        "Lateness of reading",
        "s",
        [(_quantile(0.5, "tick_lateness_seconds"), "median"), (_quantile(0.99, "tick_lateness_seconds"), "p99")],
    ),
    Panel(
        "Mark to answer",
        "s",
        [(_quantile(0.5, "mark_round_trip_seconds"), "median"), (_quantile(0.99, "mark_round_trip_seconds"), "p99")],
    ),
    Panel("Close codes, calls a second", "cps", [(_each_second("calls_ended_total", "close_code"), "{{close_code}}")]),
)


def grafana_dashboard() -> str:
    source = {"type": "prometheus", "uid": "${source}"}
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": panel.title,
            "datasource": source,
            "gridPos": {
                "x": number * _WIDTH % _COLUMNS,
                "y": number * _WIDTH // _COLUMNS * _HEIGHT,
                "w": _WIDTH,
                "h": _HEIGHT,
            },
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": [
                {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend, "datasource": source}
                for at, (query, legend) in enumerate(panel.queries)
            ],
        }
        for number, panel in enumerate(PANELS)
    ]
    variable = {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}
    dashboard = {
        "title": "listenctl",
        "uid": "listenctl",
        "schemaVersion": 39,
        "tags": ["jambonz"],
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": panels,
    }
    return json.dumps(dashboard, indent=2) + "\n"
