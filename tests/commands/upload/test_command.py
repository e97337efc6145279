from pathlib import Path

from tests.helpers.cli import listenctl, listenctl_here
from tests.helpers.object_storage import make_recording, s3_server


def test_what_a_dead_server_left_is_uploaded_and_deleted(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    whole = make_recording(spool, "CS-1")
    cut = make_recording(spool, "CS-2", ended=None)
    content = [path.read_bytes() for path in (*whole.audio_paths, *cut.audio_paths)]

    with s3_server() as s3:
        done = listenctl("upload", str(spool), "s3://calls/{year}/{callSid}.wav", home=tmp_path, env=s3.environ)
        stored = [s3.read(f"2001/{name}.wav") for name in ("CS-1", "CS-2")]
        keys = s3.keys

    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "CS-1.wav -> s3://calls/2001/CS-1.wav",
        "CS-2.wav -> s3://calls/2001/CS-2.wav",
    ]
    assert stored == content
    assert keys == ["2001/CS-1.json", "2001/CS-1.wav", "2001/CS-2.json", "2001/CS-2.wav"]
    assert not list(spool.iterdir())


def test_what_can_not_be_uploaded_stays_and_is_a_failure(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    lost = make_recording(spool, "CS-1")
    lost.audio_paths[0].unlink()

    failed = listenctl("upload", str(spool), f"file://{tmp_path}/stored/", home=tmp_path)

    assert failed.returncode == 1
    assert "1 recording stays in" in failed.stderr
    assert "the audio of CS-1.json is missing" in failed.stderr
    assert lost.sidecar_path.exists()


def test_wrong_usage_is_explained(tmp_path: Path) -> None:
    refused = listenctl_here("upload", "missing", "s3://calls/", home=tmp_path)

    assert refused.returncode == 2
    assert "missing: is no folder; give the spool" in refused.stderr
