"""The view of a monitor."""

import pytest

from listenctl.call_listing import ListedCall
from listenctl.commands.monitor.monitored_call import MonitoredCall, MonitoredCallRow
from listenctl.commands.monitor.view import MonitorSnapshot, render_monitor
from listenctl.protocol.audio import AudioFormat
from listenctl.terminal.level_meter import ChannelLevel
from listenctl.terminal.printable_text import TextStyle, cell_width, unpainted

PLAIN = TextStyle(color=False)
LOUD = ChannelLevel(-6.0, -3.0)


def row(call: str = "7f1c", **changes: object) -> MonitoredCallRow:
    values: dict[str, object] = {
        "id": call,
        "caller": "+15083084809",
        "callee": "+15084901000",
        "sample_rate": 8000,
        "mix_type": "stereo",
        "duration": 83.4,
        "state": "live",
        "levels": (LOUD, LOUD),
        "digits": "42#",
    }
    return MonitoredCallRow(**(values | changes))  # type: ignore[arg-type]


def snapshot(*calls: MonitoredCallRow, keys: str = "q quit") -> MonitorSnapshot:
    return MonitorSnapshot("ws://127.0.0.1:3000/", calls, ("sound on the default device", True), "both", keys)


def test_row_of_a_call() -> None:
    lines = render_monitor(snapshot(row(place=1), row("b", state="waiting", caller="", callee="")), (100, 24), PLAIN)

    assert lines[0] == "ws://127.0.0.1:3000/"
    assert lines[1] == "2 live, 1 played · channel both · sound on the default device"
    assert [line.rstrip() for line in lines[2:]] == [
        " " * 65 + "-60       0    -60       0",
        "▶1  +15083084809 → +15084901000       7f1c 8k stereo      1:23 L █████████▉│  R █████████▉│ 42#",
        "    b                                 b    8k stereo      1:23 no audio yet                 42#",
        "q quit",
    ]


def test_skipped_audio_and_missing_calls() -> None:
    assert "2.5 s skipped" in render_monitor(snapshot(row(skipped=2.5)), (100, 24), PLAIN)[3]
    assert render_monitor(snapshot(keys=""), (80, 24), PLAIN)[2] == "waiting for a call"


@pytest.mark.parametrize(
    ("played", "shown"),
    [
        ({0}, [0, 1, 2, 3]),
        ({5}, [3, 4, 5, 6]),
        ({9}, [6, 7, 8, 9]),
        ({2, 8}, [1, 2, 3, 8]),
        ({0, 3, 5, 7, 9}, [0, 3, 5, 7]),
        (set(), [0, 1, 2, 3]),
    ],
)
def test_played_calls_and_those_around_have_priority_if_not_all_fit(played: set[int], shown: list[int]) -> None:
    calls = [row(f"call-{i}", caller="", callee="", place=int(i in played)) for i in range(10)]

    lines = render_monitor(snapshot(*calls, keys=""), (80, 8), PLAIN)

    assert len(lines) == 8
    assert [int(line[9]) for line in lines[3:7]] == shown
    assert lines[7] == "… and 6 more"


@pytest.mark.parametrize("columns", [1, 5, 12, 20, 33, 47, 50, 63, 64, 70, 80, 200])
@pytest.mark.parametrize("rows", [1, 3, 5, 24])
@pytest.mark.parametrize(
    "style", [TextStyle(), PLAIN, TextStyle(color=False, unicode=False)], ids=["full", "plain", "ascii"]
)
def test_view_fits_the_terminal(columns: int, rows: int, style: TextStyle) -> None:
    calls = [row(place=1, skipped=3.0), row("ünï\x1b[31m", caller="", callee="", state="paused"), row(levels=(LOUD,))]

    lines = render_monitor(snapshot(*calls), (columns, rows), style)

    assert len(lines) <= rows
    assert all(cell_width(unpainted(line)) <= columns for line in lines)
    assert style.color or "\x1b" not in "".join(lines)
    assert style.unicode or all(line.isascii() for line in lines)


def test_invalid_fields_of_a_listed_call_are_replaced() -> None:
    fields = {"call": 7, "sample_rate": -3, "channels": "x", "from": None, "duration": None}
    call = MonitoredCall.listed(ListedCall.parse(fields), 10.0)

    assert (call.id, call.format, call.started) == ("", AudioFormat(8000, 1), 10.0)


def test_call_is_paused_while_no_audio_arrives() -> None:
    call = MonitoredCall("7f1c", AudioFormat(8000, 1), 0.0)

    states = [call.row(0.5, 0).state]
    call.add_audio(bytes(320), 1.0)
    states += [call.row(1.5, 0).state, call.row(2.5, 0).state]

    assert states == ["waiting", "live", "paused"]


def test_incomplete_sample_frame_is_dropped() -> None:
    call = MonitoredCall("7f1c", AudioFormat(8000, 2), 0.0)

    assert call.add_audio(b"\1\2\3\4\5\6", 0.0) == b"\1\2\3\4"


@pytest.mark.parametrize(("samples", "seconds"), [(8000, 1.0), (-1, 0.0), ("x", 0.0), (None, 0.0)])
def test_skipped_audio_is_summed_in_seconds(samples: object, seconds: float) -> None:
    call = MonitoredCall("7f1c", AudioFormat(8000, 1), 0.0)

    assert call.add_skipped(samples) == seconds
    call.add_skipped(samples)

    assert call.skipped == 2 * seconds
