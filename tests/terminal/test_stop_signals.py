"""How a simulated call ended, in words."""

import re
from pathlib import Path
from typing import Any

import pytest

from listenctl.simulator import call_limits as limits
from listenctl.simulator import simulated_call as call
from listenctl.terminal.event_lines import _CAUSES, describe_end

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
        (HUNG_UP, "we hung up (1000): the caller's audio ended"),
        ({**HUNG_UP, "cause": "disconnect"}, "we hung up (1000): the server sent disconnect"),
        (
            {**HUNG_UP, "detail": "the server didn't end the connection within 5 s", "taken": False},
            "we hung up (1000): the caller's audio ended; the server didn't end the connection within 5 s",
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
    words = describe_end({**CLOSED, "close_reason": hostile, "detail": hostile})

    assert words.isprintable()
    assert len(words) < 500
