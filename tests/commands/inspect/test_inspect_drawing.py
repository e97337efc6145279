"""What `listenctl inspect` draws and extracts, as users see it."""

from pathlib import Path

from tests.commands.inspect.test_command import CLIPS, PAUSE, STREAM, capture
from tests.helpers.cli import listenctl


def test_calls_are_drawn_in_characters_before_they_are_explained(tmp_path: Path) -> None:
    run = listenctl("inspect", capture(STREAM), "--plot", "-", home=tmp_path)

    drawing, _, summary = run.stdout.partition("\n\n")
    assert run.returncode == 0
    assert "application" in drawing
    assert "commands" in drawing
    assert "\x1b" not in drawing
    assert "8k mono, 15.00 s, complete" in summary


def test_a_drawing_and_json_dont_go_to_the_same_place(tmp_path: Path) -> None:
    run = listenctl("inspect", capture(STREAM), "--plot", "-", "--json", home=tmp_path)

    assert run.returncode == 2
    assert "name a file" in run.stderr


def test_each_call_is_plotted_and_extracted(tmp_path: Path) -> None:
    run = listenctl(
        *("inspect", capture(CLIPS), capture(PAUSE), "--plot", "a.png", "--extract", "out", "--format", "flac"),
        home=tmp_path,
    )

    assert run.returncode == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {"a.png", "a-2.png"}
    assert {"".join(path.suffixes) for path in (tmp_path / "out").iterdir()} == {
        ".jambonz.flac",
        ".application.flac",
        ".both.flac",
        ".json",
    }
