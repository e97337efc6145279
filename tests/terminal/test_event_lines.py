"""Events as lines, for people and for programs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from listenctl.json_lines import json_line
from listenctl.simulator import call_limits as limits
from listenctl.simulator import simulated_call as call
from listenctl.simulator.fault_catalogue import FAULT_KINDS
from listenctl.simulator.injected_faults import parse_fault
from listenctl.terminal.event_lines import _CAUSES, describe_end, format_event, is_lasting
from listenctl.terminal.printable_text import TextStyle

PLAIN = TextStyle(color=False, unicode=True)
HEAD = {"v": 1, "ts": "2026-11-20T22:33:44.567Z", "call": "CS-A", "call_sid": "CS-A"}


# What events usually say; a test gives what differs.
USUAL: dict[str, dict[str, Any]] = {
    "server-started": {"url": "ws://h/", "recording": False},
    "call-ended": {
        "seconds": 61.5, "duration": 63.0, "lost_samples": 0, "closed_by": "jambonz", "close_code": 1000,
        "close_reason": "",
    },
    "connected": {
        "url": "ws://h/", "remote": "h:9", "subprotocol": "audio.jambonz.org", "redirects": [], "tls": None,
        "handshake_ms": {"connect": 1.2, "tls": None, "upgrade": 3.4, "total": 4.6},
    },
    "verdict": {
        "number": 3, "command": "playAudio", "outcome": "truncated", "reason": "bad-base64",
        "detail": "the first 12 bytes are played", "wrong": True, "time": 1.0,
    },
    "command": {"type": "playAudio", "id": 7, "audio_content_type": None, "queue_play": None, "content_size": None},
    "exec-ended": {"status": 0, "signal": None, "seconds": 2.0, "spoken_seconds": 1.5, "dropped_samples": 0},
    "played": {"source": "a.wav", "outcome": "played", "evidence": "mark", "seconds": 1.5, "detail": ""},
    "dump-saved": {"path": "a.jsonl", "frames": 7, "bytes": 2400, "lost_frames": 0},
    "fault": {"value": "", "detail": "", "time": 5.0},
    "action-hook": {"url": "http://h/", "status": None, "detail": ""},
}  # fmt: skip
SERVED: dict[str, Any] = {"metadata": {"from": "1", "to": "2"}, "sample_rate": 8000, "remote": "h:9"}
SIMULATED: dict[str, Any] = {
    "metadata": {"from": "1", "to": "2"}, "sample_rate": 8000, "channels": 1, "mix_type": "mono", "url": "ws://h/",
    "kind": "inbound", "profile": "current", "streaming": False, "stream_rate": None, "metadata_valid": True,
}  # fmt: skip


def event(name: str, /, **fields: Any) -> dict[str, Any]:
    return {**HEAD, "event": name, **USUAL.get(name, {}), **fields}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


LASTED = "61.5 s of audio in 63.0 s"


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (event("server-started", recording=True), "recording calls at ws://h/"),
        (event("server-started"), "accepting calls at ws://h/"),
        (event("server-started", upstream="ws://bot/"), "accepting calls at ws://h/ → ws://bot/"),
        (event("server-ended", calls=0), "no calls"),
        (
            event(
                "server-ended", calls=1, complete_calls=1, lost_seconds=0.0, unrecorded_seconds=0.0, unread_seconds=0.0
            ),
            "1 call, 1 complete",
        ),
        (
            event(
                "server-ended",
                calls=63,
                complete_calls=62,
                lost_seconds=7.5,
                unrecorded_seconds=0.5,
                unread_seconds=1.5,
            ),
            "63 calls, 62 complete, 8.0 s missing, 1.5 s not read by the programs",
        ),
        (event("command", type="mark", name="m\n1"), "application: mark m 1"),
        (event("command", type="json", text='{"x":1}'), 'application: json {"x":1}'),
        (event("command", type="killAudio"), "application: killAudio"),
        (event("command", type=None, text="no JSON"), "application: no JSON"),
        (
            event("command", id="hi", audio_content_type="raw", queue_play=True, content_size=4000),
            "application: playAudio hi raw 3.0 kB",
        ),
        (event("command"), "application: playAudio 7 no audio at once"),
        (event("call-started", **SERVED, mix_type="stereo", channels=2), "1 → 2, 8k stereo, from h:9"),
        (
            event("call-started", **{**SERVED, "metadata": {}, "sample_rate": 11025}, mix_type=None, channels=1),
            "unknown → unknown, 11k mono, from h:9",
        ),
        (event("call-started", **SIMULATED), "1 → 2, 8k mono, inbound call, current jambonz, plays clips"),
        (
            event("call-started", **{**SIMULATED, "metadata": None, "streaming": True, "stream_rate": 16000}),
            "unknown → unknown, 8k mono, inbound call, current jambonz, plays a stream at 16k",
        ),
        (event("connected"), "ws://h/ at h:9, audio.jambonz.org, in 5 ms (connect 1 ms, upgrade 3 ms)"),
        (
            event("connected", subprotocol=None, redirects=["ws://a/"], handshake_ms={"total": 5}),
            "ws://h/ at h:9, no subprotocol, in 5 ms, redirected to ws://a/",
        ),
        (event("dtmf", digit="#", time=61.0), "# at 1:01.0"),
        (event("mark", name="m1", result="playout"), "m1 playout"),
        (event("play-done", id=None), ""),
        (event("play-done", id=7), "7"),
        (event("play-done", id="7", reason="complete", played_ms=20, time=61.0), "7 complete at 1:01.0"),
        (event("play-done", id=None, reason="killed", played_ms=20, time=1.0), "killed at 0:01.0"),
        (event("play-done", id={"x": 1}, reason="killed", played_ms=20, time=1.0), '{"x": 1} killed at 0:01.0'),
        (event("message", type=None, text="not json"), "not json"),
        (event("message", type="session:summary", data={}), "session:summary"),
        (event("gap", kind="hole", length=2.0, time=3.0, at_least=True), "hole of at least 2.00 s at 0:03.0"),
        (event("gap", kind="hole", position=8000, time=1.0, length=2.0, missing=16000), "hole of 2.00 s at 0:01.0"),
        (
            event("gap", kind="unknown", time=1.0, length=0.5),
            "possible loss of 0.50 s at 0:01.0: the server was too busy to read",
        ),
        (
            event("gap", kind="refused", time=1.0, length=0.5),
            "refused audio of 0.50 s at 0:01.0: its message is longer than --max-message, or incomplete",
        ),
        (event("warning", detail="look out"), "look out"),
        (event("connection-refused", remote="127.0.0.1:9", status=401, reason="no"), "127.0.0.1:9: 401 no"),
        (event("recording-failed", path="a.wav", reason="full"), "a.wav: full"),
        (
            event("recording-saved", paths=["a.wav", "b.wav"], seconds=1.5, bytes=24000, complete=False, warnings=[]),
            "a.wav, b.wav: 1.50 s, 24.0 kB, NOT complete",
        ),
        (
            event(
                "recording-saved", paths=["a.wav"], seconds=1.5, bytes=24000, complete=True, warnings=["stays a WAV"]
            ),
            "a.wav: 1.50 s, 24.0 kB, complete; stays a WAV",
        ),
        (event("exec-started", command="cat -u", pid=7), "cat -u, process 7"),
        (event("exec-said", pid=7, line="a\x1b[2Jb"), "7: a\ufffd[2Jb"),
        (event("exec-failed", command="cat", reason="Permission denied"), "cat: Permission denied"),
        (event("exec-ended"), "ended with status 0 after 2.00 s, played 1.50 s of audio"),
        (
            event("exec-ended", status=None, signal="SIGTERM", spoken_seconds=0.0, dropped_samples=9),
            "ended by SIGTERM after 2.00 s, played nothing, missed 9 samples",
        ),
        (event("played"), "a.wav: played, 1.50 s"),
        (event("played", evidence="clock", detail="no answer"), "a.wav: played (by the clock), 1.50 s: no answer"),
        (event("dump-failed", path="a.jsonl", reason="full"), "a.jsonl: full"),
        (event("dump-saved"), "a.jsonl: 7 frames, 2.4 kB"),
        (event("dump-saved", lost_frames=2), "a.jsonl: 7 frames, 2.4 kB, 2 frames NOT in it"),
        (event("verdict"), "playAudio #3: truncated (bad-base64): the first 12 bytes are played"),
        (event("verdict", outcome="played", reason="", detail="", wrong=False), "playAudio #3: played"),
        (
            event("fault", name="pause", value="5@2", detail="there is none", time=2.04),
            "pause=5@2 at 0:02.0: there is none",
        ),
        (event("fault", name="abrupt-end", detail="it breaks (hard)"), "abrupt-end at 0:05.0: it breaks (hard)"),
        (event("fault", name="stall"), "stall at 0:05.0"),
        (event("action-hook", status=200), "http://h/: 200"),
        (event("action-hook", detail="refused"), "http://h/: refused"),
        (event("action-hook"), "http://h/: no answer"),
        (event("call-ended"), LASTED),
        (event("call-ended", duration=61.6, **{"from": "1", "to": "2"}), "1, 61.5 s"),
        (event("call-ended", duration=61.6, direction="outbound", **{"from": "1", "to": "2"}), "2, 61.5 s"),
        (event("call-ended", closed_by="application"), f"{LASTED}; closed by the application (1000)"),
        (
            event("call-ended", close_reason="b\x1bye", lost_samples=4000, received_samples=492_000),
            f"{LASTED}, 0.5 s lost; closed by jambonz (1000 'b\\x1bye')",
        ),
        (event("call-ended", lost_samples=4000, received_samples=0), f"{LASTED}, 4000 samples lost"),
        (event("call-ended", closed_by="nobody", close_code=1006), f"{LASTED}; the connection broke (1006)"),
        (event("call-ended", closed_by="nobody", close_code=None), f"{LASTED}; the connection broke"),
        (event("call-ended", taken=True, cause="duration", detail=""), f"{LASTED}; we hung up: --duration passed"),
    ],
)
def test_an_event_is_one_line_for_people(report: dict[str, Any], words: str) -> None:
    line = format_event(report, PLAIN)

    assert " ".join(line.split(" ")[3:]) == words
    assert line.split(" ")[1:3] == [report["event"], "CS-A"]


@pytest.mark.parametrize("name", [name for name, kind in FAULT_KINDS.items() if kind.value])
def test_a_fault_with_a_value_is_said_with_it(name: str) -> None:
    fault = parse_fault(name)
    detail = fault.kind.describe(fault.text)

    line = format_event(event("fault", name=fault.name, value=fault.text, detail=detail, time=fault.start), PLAIN)

    amount = FAULT_KINDS[name].default
    assert line.split(" ")[3] == f"{name}={amount}"
    assert amount in line.partition(": ")[2]
    assert not re.search(r"so many|\b(this|these) |\($", line)


@pytest.mark.parametrize(
    ("call_id", "shown"),
    [
        ("7f1c22a4-5b6d-4e7f-8a9b-0c1d2e3f4a5b", "7f1c22a4…"),
        ("7f1c22a4-5b6d-4e7f-8a9b-0c1d2e3f4a5b~2", "7f1c22a4…~2"),
        ("F-first-call-of-mine", "F-first-call-of-mine"),
        ("x" * 41, "x" * 39 + "…"),
    ],
)
def test_an_id_is_cut_only_where_its_beginning_tells_calls_apart(call_id: str, shown: str) -> None:
    assert format_event({**event("warning", detail="w"), "call": call_id}, PLAIN).split(" ")[2] == shown


UUID = "7f1c22a4-5b6d-4e7f-8a9b-0c1d2e3f4a5b"
USUAL_CALL: dict[str, Any] = {"call": UUID, "from": "+15083084809", "to": "+15084901000", "direction": "inbound"}


@pytest.mark.parametrize(
    "differing",
    [
        USUAL_CALL,
        USUAL_CALL | {"lost_samples": 4000, "received_samples": 492_000},
        USUAL_CALL | {"closed_by": "listenctl", "close_code": 1001},
        *({"call": UUID, "taken": True, "detail": "", "cause": cause} for cause in _CAUSES),
    ],
)
def test_the_end_of_a_call_fits_into_80_columns(differing: dict[str, Any]) -> None:
    assert len(format_event(event("call-ended", **differing | {"duration": 61.6}), PLAIN)) <= 80


def test_a_wrong_verdict_is_red_and_lasts() -> None:
    wrong, right = event("verdict"), event("verdict", wrong=False)

    assert "\x1b[31mplayAudio #3: truncated" in format_event(wrong, TextStyle(color=True))
    assert "\x1b[31m" not in format_event(right, TextStyle(color=True))
    assert (is_lasting(wrong), is_lasting(right)) == (True, False)


def test_an_action_hook_that_failed_is_yellow() -> None:
    painted = [
        "\x1b[33maction-hook" in format_event(event("action-hook", status=status), TextStyle(color=True))
        for status in (200, 204, 302, 500, None)
    ]

    assert painted == [False, False, True, True, True]


HUNG_UP: dict[str, Any] = {
    "cause": "audio-over",
    "closed_by": "jambonz",
    "close_code": 1000,
    "close_reason": "",
    "detail": "",
    "taken": True,
}
CLOSED = {**HUNG_UP, "cause": "server", "closed_by": "server"}
BROKEN = {**CLOSED, "closed_by": "nobody", "close_code": None, "taken": False}


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (HUNG_UP, "we hung up: the caller's audio ended"),
        ({**HUNG_UP, "cause": "disconnect"}, "we hung up: the server sent disconnect"),
        (
            {**HUNG_UP, "detail": "the server didn't end the connection within 5 s", "taken": False},
            "we hung up: the caller's audio ended; the server didn't end the connection within 5 s",
        ),
        (
            {**HUNG_UP, "close_code": None, "detail": "broken off", "taken": False},
            "we hung up: the caller's audio ended; broken off",
        ),
        ({**CLOSED, "close_reason": "bye"}, "closed by the server (1000 'bye')"),
        ({**CLOSED, "close_code": 1011, "taken": False}, "closed by the server (1011); not an orderly end"),
        (
            {**CLOSED, "close_code": None, "detail": "the server closed the connection without a Close"},
            "the server closed the connection without a Close",
        ),
        (BROKEN, "the connection broke"),
        ({**BROKEN, "detail": "the connection broke: reset"}, "the connection broke: reset"),
    ],
)
def test_who_ended_it_and_why_is_said(ended: dict[str, Any], words: str) -> None:
    assert describe_end(ended) == words


def test_every_cause_of_a_call_has_words_and_is_in_the_manual() -> None:
    source = "".join(line for line in Path(call.__file__).read_text().splitlines() if "hang_up(" in line)
    page = (Path(__file__).parents[2] / "man" / "listenctl-events.5").read_text()
    item = page.partition(".It Cm cause ")[2].partition("\n.It ")[0]

    given = set(re.findall(r'"([a-z-]{2,})"', source + Path(limits.__file__).read_text()))

    assert given == set(_CAUSES)
    assert {word for line in re.findall(r"^\.Cm (.*)", item, re.MULTILINE) for word in line.split() if word != ","} == {
        *given,
        "server",
    }


@pytest.mark.parametrize("hostile", ["\x1b]0;title\x07", "a\nb\rc", "\u202egpj.exe", "\x9b31m", "\ud800", "x" * 10_000])
def test_nothing_from_the_wire_reaches_the_terminal_raw(hostile: str) -> None:
    report = event("warning", detail=hostile) | {"call": hostile, "call_sid": hostile}

    line = format_event(report, PLAIN)
    end = describe_end({**CLOSED, "close_reason": hostile, "detail": hostile})

    assert line.isprintable()
    assert end.isprintable()
    assert len(end) < 500


def test_colours_are_for_terminals_that_have_them() -> None:
    report = event("recording-failed", path="a", reason="b")

    assert "\x1b[31mrecording-failed\x1b[0m" in format_event(report, TextStyle(color=True))
    assert "\x1b" not in format_event(report, PLAIN)


def test_a_json_line_is_one_line_of_valid_utf_8_whatever_came() -> None:
    report = event("message", text="ü\n\ud800\u2028\x1b", type=None)

    line = json_line(report)

    assert "\n" not in line
    assert json.loads(line.encode()) == report
    assert "ü" in line
