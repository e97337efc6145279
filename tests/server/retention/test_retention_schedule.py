import asyncio
import json
import os
from pathlib import Path

from listenctl.events import Reporter
from listenctl.server.operations.event_metrics import EventMetrics
from listenctl.server.operations.metric_families import LabelledTotal
from listenctl.server.retention.delete_recordings import RetentionPolicy, RetentionSettings
from listenctl.server.retention.retention_schedule import delete_once, deleting_recordings
from listenctl.server.server_totals import ServerTotals
from tests.helpers.server import LIMIT, Events


def store(folder: Path, stem: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sidecar = {"started": "2020-01-01T00:00:00Z", "ended": "2020-01-01T00:01:00Z", "audio": {"files": [f"{stem}.wav"]}}
    (folder / f"{stem}.wav").write_bytes(bytes(100))
    (folder / f"{stem}.json").write_text(json.dumps(sidecar))
    for path in folder.glob(f"{stem}.*"):
        os.utime(path, (0, 0))


async def test_a_server_deletes_and_reports_old_recordings_while_it_runs(tmp_path: Path) -> None:
    store(tmp_path / "2020 \N{SNOWMAN}", "a")
    events = Events()
    reporter = Reporter(events)
    metrics = EventMetrics(reporter, ServerTotals(recording=True))
    settings = RetentionSettings(tmp_path, 1, RetentionPolicy(max_age=86_400.0))

    async with asyncio.timeout(LIMIT), deleting_recordings(reporter, settings):
        deleted = await events.wait_for("recording-deleted")

    assert deleted["paths"] == [str(tmp_path / "2020 \N{SNOWMAN}" / "a.wav")]
    assert (deleted["ended"], deleted["reason"], deleted["call"]) == ("2020-01-01T00:01:00.000Z", "age", None)
    totals = [one for one in metrics.collect(recording=True) if one.name == "recordings_deleted"]
    assert isinstance(totals[0], LabelledTotal)
    assert totals[0].values == {"age": 1}


async def test_a_folder_that_can_not_be_read_is_a_warning(tmp_path: Path) -> None:
    events = Events()
    settings = RetentionSettings(tmp_path / "none", 0, RetentionPolicy(max_bytes=0))

    await delete_once(Reporter(events), settings)

    assert [event["detail"] for event in events.of("warning")] == [
        f"{tmp_path}/none: can't be read: No such file or directory"
    ]


async def test_nothing_is_deleted_without_a_policy() -> None:
    events = Events()

    async with deleting_recordings(Reporter(events), None):
        pass

    assert events.of("recording-deleted") == []
