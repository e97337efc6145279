"""Events as lines, for people and for programs."""

import json
from typing import Any

import pytest

from listenctl.console.printer import human_line, json_line
from listenctl.console.text import Look

PLAIN = Look(color=False, unicode=True)
HEAD = {"v": 1, "ts": "2026-11-20T22:33:44.567Z", "call": "CS-A", "call_sid": "CS-A"}


def event(name: str, /, **fields: Any) -> dict[str, Any]:
    return {**HEAD, "event": name, **fields}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


ENDED: dict[str, Any] = {
    "seconds": 61.5,
    "duration": 63.0,
    "lost_samples": 0,
    "closed_by": "jambonz",
    "close_code": 1000,
    "close_reason": "",
}


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (
            event("server-started", url="ws://127.0.0.1:3000/", recording=True),
            "recording calls at ws://127.0.0.1:3000/",
        ),
        (event("server-started", url="ws://127.0.0.1:3000/", recording=False), "taking calls at ws://127.0.0.1:3000/"),
        (
            event(
                "call-started",
                metadata={"from": "1", "to": "2"},
                mix_type="stereo",
                channels=2,
                sample_rate=8000,
                remote="127.0.0.1:9",
            ),
            "1 → 2, 8k stereo, from 127.0.0.1:9",
        ),
        (
            event("call-started", metadata={}, mix_type=None, channels=1, sample_rate=11025, remote="127.0.0.1:9"),
            "unknown → unknown, 11k mono, from 127.0.0.1:9",
        ),
        (event("dtmf", digit="#", time=61.0), "# at 1:01"),
        (event("mark", name="m1", result="playout"), "m1 playout"),
        (event("play-done", id=None), ""),
        (event("play-done", id=7), "7"),
        (event("message", type=None, text="not json"), "not json"),
        (event("message", type="session:summary", data={}), "session:summary"),
        (event("gap", kind="hole", length=2.0, time=3.0, at_least=True), "hole of at least 2.00 s at 0:03"),
        (event("warning", detail="look out"), "look out"),
        (event("connection-refused", remote="127.0.0.1:9", status=401, reason="no"), "127.0.0.1:9: 401 no"),
        (event("recording-failed", path="a.wav", reason="full"), "a.wav: full"),
        (
            event("recording-saved", paths=["a.wav", "b.wav"], seconds=1.5, bytes=24000, complete=False),
            "a.wav, b.wav: 1.50 s, 24.0 kB, NOT complete",
        ),
        (event("call-ended", **ENDED), "61.50 s of audio in 63.00 s; closed by jambonz (1000)"),
        (
            event("call-ended", **{**ENDED, "close_reason": "b\x1bye", "lost_samples": 160}),
            "61.50 s of audio in 63.00 s, 160 samples lost; closed by jambonz (1000 'b\\x1bye')",
        ),
        (
            event("call-ended", **{**ENDED, "closed_by": "nobody", "close_code": 1006}),
            "61.50 s of audio in 63.00 s; the connection broke (1006)",
        ),
    ],
)
def test_an_event_is_one_line_for_people(report: dict[str, Any], words: str) -> None:
    line = human_line(report, PLAIN)

    assert " ".join(line.split(" ")[3:]) == words
    assert line.split(" ")[1:3] == [report["event"], "CS-A"]


@pytest.mark.parametrize("hostile", ["\x1b]0;title\x07", "a\nb\rc", "\u202egpj.exe", "\x9b31m", "\ud800"])
def test_nothing_from_the_wire_reaches_the_terminal_raw(hostile: str) -> None:
    report = event("warning", detail=hostile) | {"call": hostile, "call_sid": hostile}

    line = human_line(report, PLAIN)

    assert line.isprintable()
    assert "\n" not in line


def test_colours_are_for_terminals_that_have_them() -> None:
    report = event("recording-failed", path="a", reason="b")

    assert "\x1b[31mrecording-failed\x1b[0m" in human_line(report, Look(color=True))
    assert "\x1b" not in human_line(report, PLAIN)


def test_a_json_line_is_one_line_of_valid_utf_8_whatever_came() -> None:
    report = event("message", text="ü\n\ud800\u2028\x1b", type=None)

    line = json_line(report)

    assert "\n" not in line
    assert json.loads(line.encode()) == report
    assert "ü" in line
