"""Options of ``replay``."""

from collections.abc import Callable
from pathlib import Path

import pytest

from listenctl.commands.replay.command import parse_listen_address, parse_rounds, parse_speed
from listenctl.errors import UsageError
from tests.helpers.capture import FOLDER
from tests.helpers.cli import refusal

CAPTURE = FOLDER / "a_mono8k_sip.pcap.gz"


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        ([CAPTURE], 2, "give either the URL of a server or --listen [HOST:]PORT"),
        ([CAPTURE, "ws://h/", "--listen", "1"], 2, "give either the URL of a server or --listen"),
        ([CAPTURE, "ws://h/", "--call", "1", "--all"], 2, "--call and --all can't be used together"),
        ([CAPTURE, "--listen", "0", "--compare"], 2, "--listen can't be used with --compare or --same-sid"),
        ([CAPTURE, "--listen", "0.0.0.0:0"], 2, "everyone could connect; require credentials"),
        ([CAPTURE, "ws://h/", "--keylog", "nowhere"], 2, "nowhere: can't read the key log"),
        ([CAPTURE, "ws://h/", "--call", "7"], 4, "contains no readable frame of a call 7"),
        ([CAPTURE, "ws://h/", "--keylog", __file__], 2, "contains no TLS secrets"),
        ([CAPTURE, "ws://h/", "--sync", "answers"], 2, "--sync needs --listen"),
        ([CAPTURE, "ws://h/", "--tolerance", "0"], 2, "--tolerance needs --compare"),
        ([CAPTURE, "ws://h/", "--ignore", "id"], 2, "--ignore needs --compare"),
        ([Path(__file__), "ws://h/"], 1, "is text; name a capture"),
        (["missing.pcap", "ws://h/"], 1, "missing.pcap"),
    ],
)
def test_unusable_arguments_are_reported_in_one_line(
    arguments: list[str | Path], status: int, problem: str, tmp_path: Path
) -> None:
    assert problem in refusal("replay", *map(str, arguments), home=tmp_path, status=status)


def test_speeds_rounds_and_addresses_are_parsed() -> None:
    assert [parse_speed(text) for text in ("1", "0.1", "100", "max")] == [1.0, 0.1, 100.0, None]
    assert [parse_rounds(text) for text in ("1", "12", "forever")] == [1, 12, None]
    assert [parse_listen_address(text) for text in ("3000", "h:0", "[::1]:9")] == [
        ("127.0.0.1", 3000),
        ("h", 0),
        ("::1", 9),
    ]


@pytest.mark.parametrize(
    ("parse", "option", "texts"),
    [
        (parse_speed, "--speed", ["0", "101", "nan", "inf", "fast", ""]),
        (parse_rounds, "--loop", ["0", "-1", "1.5", "ever", "", "9999999999"]),
        (parse_listen_address, "--listen", ["", "h", "h:", "h:70000", ":x"]),
    ],
    ids=["speed", "loop", "listen"],
)
def test_other_values_are_refused(parse: Callable[[str], object], option: str, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(UsageError, match=option):
            parse(text)
