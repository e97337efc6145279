from pathlib import Path

import pytest

from tests.helpers.cli import listenctl_here, refusal
from tests.server.retention.test_retention_schedule import store


def test_a_dry_run_says_what_a_run_deletes(tmp_path: Path) -> None:
    store(tmp_path / "recordings" / "day", "a")

    dry = listenctl_here("prune", "recordings/{date}/x.wav", "--retain", "30d", "--dry-run", home=tmp_path)
    assert (tmp_path / "recordings" / "day" / "a.wav").exists()
    run = listenctl_here("prune", "recordings/{date}/x.wav", "--retain", "30d", home=tmp_path)

    said = "recordings/day/a.wav: {}, 199 bytes, its call ended 2020-01-01T00:01:00.000Z (--retain 30d)"
    assert dry.stdout.splitlines() == [said.format("would be deleted"), "1 recordings, 199 bytes would be deleted"]
    assert run.stdout.splitlines() == [said.format("deleted"), "1 recordings, 199 bytes deleted"]
    assert (dry.returncode, run.returncode, dry.stderr, run.stderr) == (0, 0, "", "")
    assert list((tmp_path / "recordings").iterdir()) == []


def test_a_dry_run_says_why_a_recording_is_kept(tmp_path: Path) -> None:
    store(tmp_path / "recordings", "a")
    (tmp_path / "recordings" / "a.recovered.wav").touch()

    run = listenctl_here("prune", "--retain-bytes", "0", "--retain", "1d", "--dry-run", home=tmp_path)

    assert run.stdout.splitlines()[0] == "recordings/a.wav: kept, because it was repaired"


@pytest.mark.parametrize(
    ("options", "reason", "status"),
    [
        (["prune"], "give --retain, --retain-bytes, or both", 2),
        (["prune", "--retain", "soon"], "--retain 'soon' isn't a time such as 12h or 30d", 2),
        (["prune", "--retain-bytes", "much"], "--retain-bytes 'much' isn't a size such as 500MB", 2),
        (["prune", "-", "--retain", "1d"], "stdout keeps nothing", 2),
        (["prune", "none/", "--retain", "1d"], "none: can't be read: No such file or directory", 1),
        (["serve", "--retain", "1d"], "--retain needs --record", 2),
        (["record", "s3://calls/", "--retain", "1d"], "give the bucket a lifecycle rule instead", 2),
    ],
)
def test_wrong_usage(tmp_path: Path, options: list[str], reason: str, status: int) -> None:
    assert reason in refusal(*options, home=tmp_path, status=status)
