"""The summary of a simulated call."""

from typing import Any

import pytest

from listenctl.commands.call.call_summary import summarize_call

ENDED: dict[str, Any] = {
    "seconds": 10.0,
    "samples": 80_000,
    "frames": 500,
    "duration": 10.25,
    "closed_by": "jambonz",
    "close_code": 1000,
    "close_reason": "",
    "cause": "duration",
    "detail": "",
    "received_audio_bytes": 0,
    "received_audio_messages": 0,
    "taken": True,
    "lost_samples": 0,
    "stalled_samples": 0,
    "lateness_ms": {"p50": 0.11, "p95": 0.4, "p99": 0.92, "max": 3.21},
    "commands": 4,
    "wrong": 3,
    "digits": "12#",
    "ok": False,
}


def verdict(number: int, outcome: str, reason: str = "", **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"command": "playAudio", "detail": "a sentence", "advice": "", "wrong": False}
    fields["time"] = float(number)
    return {"number": number, "outcome": outcome, "reason": reason, **fields, **more}


def test_summary_of_a_call_with_commands() -> None:
    verdicts = [
        verdict(1, "played"),
        verdict(2, "truncated", "bad-base64", wrong=True, detail="12 bytes are played"),
        verdict(3, "truncated", "bad-base64", wrong=True, detail="9 bytes are played"),
        verdict(4, "ignored", "unknown-type", command="stop", wrong=True, detail="jambonz knows no type 'stop'"),
        verdict(1, "finished"),
    ]

    assert summarize_call(ENDED, verdicts).splitlines() == [
        "sent      10.00 s of audio from 500 frames, call of 10.25 s",
        "lateness  p50 0.1 ms, p99 0.9 ms, max 3.2 ms",
        "commands  4 from the server: 2 truncated, 1 finished, 1 ignored",
        "wrong     playAudio truncated (bad-base64), 2 times, first #2 at 0:02.0: 12 bytes are played",
        "wrong     stop ignored (unknown-type), #4 at 0:04.0: jambonz knows no type 'stop'",
        "keys      12#",
        "end       we hung up: --duration passed",
    ]


def test_each_command_is_counted_once_and_audio_is_none() -> None:
    verdicts = [
        verdict(1, "misread", "rate-no-number", wrong=True),
        verdict(1, "played"),
        verdict(2, "ignored", "not-streaming", command="audio", wrong=True),
        verdict(3, "queued", command="mark"),
        verdict(4, "obeyed", command="killAudio"),
        verdict(1, "interrupted", "killed"),
        verdict(3, "finished", command="mark"),
    ]

    lines = [summarize_call({**ENDED, "commands": number}, verdicts).splitlines()[2] for number in (3, 5)]

    assert lines == [
        "commands  3 from the server: 1 misread, 1 finished, 1 obeyed",
        "commands  5 from the server: 1 misread, 1 finished, 1 obeyed, 2 not counted",
    ]


def test_summary_of_an_empty_call() -> None:
    ended = {**ENDED, "seconds": 0.0, "frames": 1, "commands": 0, "digits": "", "lateness_ms": None}

    assert summarize_call(ended, []).splitlines()[:4] == [
        "sent      0.00 s of audio from 1 frame, call of 10.25 s",
        "lateness  nothing was sent",
        "commands  none received",
        "keys      none",
    ]


@pytest.mark.parametrize(
    ("lost", "stalled", "said"),
    [
        (16_000, 0, ", 16000 samples lost because the server did not read in time"),
        (16_000, 16_000, ", 16000 samples lost by --fault stall"),
        (
            16_001,
            16_000,
            ", 1 sample lost because the server did not read in time, 16000 samples lost by --fault stall",
        ),
        (0, 0, ""),
    ],
)
def test_lost_samples_are_ours_if_a_fault_held_them_back(lost: int, stalled: int, said: str) -> None:
    text = summarize_call({**ENDED, "lost_samples": lost, "stalled_samples": stalled}, [])

    assert text.splitlines()[0] == f"sent      10.00 s of audio from 500 frames, call of 10.25 s{said}"


@pytest.mark.parametrize(
    ("stream_rate", "received"), [(16_000, "received  4.00 s of audio"), (None, "received  128.0 kB of audio")]
)
def test_received_audio(stream_rate: int | None, received: str) -> None:
    lines = summarize_call(
        {**ENDED, "received_audio_bytes": 128_000, "received_audio_messages": 200}, [], stream_rate
    ).splitlines()

    assert lines[2] == f"{received} in 200 messages"


def test_long_list_of_wrong_commands_is_shortened() -> None:
    verdicts = [verdict(number, "ignored", f"reason-{number}", wrong=True) for number in range(50)]

    wrong = [line for line in summarize_call(ENDED, verdicts).splitlines() if line.startswith("wrong")]

    assert len(wrong) == 21
    assert wrong[-1] == "wrong     and 30 more kinds"


@pytest.mark.parametrize("hostile", ["\x1b]0;title\x07", "a\nb\rc", "\u202egpj.exe", "\x9b31m", "\ud800", "x" * 10_000])
def test_control_characters_from_peers_are_removed(hostile: str) -> None:
    ended = {**ENDED, "closed_by": "server", "close_reason": hostile, "digits": hostile}
    verdicts = [verdict(1, "ignored", "r", wrong=True, command=hostile, detail=hostile)]

    *lines, after = summarize_call(ended, verdicts).split("\n")

    assert (len(lines), after) == (6, "")
    assert all(line.isprintable() and len(line) < 400 for line in lines)


def test_a_wrong_verdict_has_its_remedy_below_it() -> None:
    found = verdict(0, "missing", "no-answer", command="audio", wrong=True, advice="Send what it says.")

    lines = summarize_call(ENDED, [found]).splitlines()

    at = lines.index("wrong     audio missing (no-answer), at 0:00.0: a sentence")
    assert lines[at + 1] == "          Send what it says."


def test_one_remedy_of_two_wrong_verdicts_is_said_once() -> None:
    verdicts = [verdict(number, "ignored", f"reason-{number}", wrong=True, advice="Do it.") for number in (1, 2)]

    lines = summarize_call(ENDED, verdicts).splitlines()

    assert [line for line in lines if "Do it." in line] == ["          Do it."]


def test_a_caller_to_whom_nothing_was_said_is_in_the_summary_even_if_no_answer_was_expected() -> None:
    found = verdict(0, "missing", "no-answer", command="audio", detail="nothing was ever said to the caller")

    assert "answer    nothing was ever said to the caller" in summarize_call(ENDED, [found]).splitlines()
