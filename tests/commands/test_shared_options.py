"""Options as a dataclass, their choices, and where their values come from."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, get_args, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from listenctl.commands.call.call_options import CallOptions
from listenctl.commands.inspect.command import InspectOptions
from listenctl.commands.live_calls.play_to_call import PlayOptions
from listenctl.commands.live_calls.send_dtmf import SendDtmfOptions
from listenctl.commands.live_calls.send_dtmf_run import DtmfForm
from listenctl.commands.load.command import LoadOptions
from listenctl.commands.monitor.command import MonitorOptions, monitor
from listenctl.commands.replay.command import ReplayOptions
from listenctl.commands.serve.command import ServeOptions
from listenctl.commands.shared_options import (
    GivenOptions,
    check_finite,
    local_path,
    option,
    parse_seconds,
    parse_size,
    with_options,
)
from listenctl.errors import UsageError
from listenctl.media.channel_layout import ChannelLayout
from listenctl.play_to_call.delivery_mode import ModeChoice
from listenctl.protocol.jambonz_model.first_text import CallKind
from listenctl.protocol.jambonz_model.profiles import PROFILES
from listenctl.protocol.jambonz_model.rule_catalogue import Severity
from listenctl.replay.plan import ReplaySync
from listenctl.server.responders.exec_responder import ExecEnd


def choices(options: type, name: str) -> set[str]:
    """Return the values of an option with a ``Literal`` type, which may be optional."""
    annotation = get_type_hints(options)[name]
    return {value for part in (annotation, *get_args(annotation)) for value in get_args(part) if isinstance(value, str)}


@pytest.mark.parametrize(
    ("options", "name", "known"),
    [
        (CallOptions, "kind", CallKind),
        (SendDtmfOptions, "as_", DtmfForm),
        (PlayOptions, "mode", ModeChoice),
        (ReplayOptions, "sync", ReplaySync),
        (ServeOptions, "exec_end", ExecEnd),
    ],
)
def test_an_option_offers_all_values_that_the_program_knows(options: type, name: str, known: type[Enum]) -> None:
    assert choices(options, name) == {one.value for one in known}


def test_some_options_offer_a_part_of_the_values() -> None:
    assert choices(InspectOptions, "fail_on") == {*Severity} - {Severity.INFO}
    assert choices(ServeOptions, "exec_channel") == {*ChannelLayout} - {ChannelLayout.SPLIT}
    assert choices(CallOptions, "profile") == choices(InspectOptions, "profile") == set(PROFILES)


@dataclass(frozen=True, kw_only=True)
class Options(GivenOptions):
    number: Annotated[int, option("A number", panel="P")] = 1
    word: Annotated[str, option("A word", panel="P")] = "a"


@pytest.mark.parametrize(("arguments", "given"), [([], []), (["--number", "1"], ["number"])])
def test_options_know_which_of_them_are_on_the_command_line(arguments: list[str], given: list[str]) -> None:
    taken: list[Options] = []

    def run(options: Options) -> int:
        taken.append(options)
        return 0

    app = typer.Typer()
    app.command()(with_options(Options, run))

    result = CliRunner().invoke(app, arguments, env={"LISTENCTL_WORD": "b"})

    assert result.exit_code == 0, result.output
    assert taken == [Options(number=1, word="b", given=frozenset(given))]


@pytest.mark.parametrize(
    ("text", "value"),
    [("100ms", 0.1), ("2s", 2.0), ("2", 2.0), ("0.5 s", 0.5), (" 1s ", 1.0), ("90min", 5400.0), ("4h", 14400.0)],
)
def test_a_time_has_a_unit_or_is_seconds(text: str, value: float) -> None:
    assert parse_seconds(text, "--levels") == value


@pytest.mark.parametrize("text", ["", "0", "0ms", "-1s", "1m", "s", "1e3"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--levels"):
        parse_seconds(text, "--levels")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("2kB", 2000),
        ("2KiB", 2048),
        ("1.5 GB", 1_500_000_000),
        ("1GiB", 1 << 30),
        (" 3M ", 3_000_000),
    ],
)
def test_a_size_has_a_unit_or_is_bytes(text: str, size: int) -> None:
    assert parse_size(text, "--min-free") == size


@pytest.mark.parametrize("text", ["", "-1", "GB", "1 XB", "1e9", "5%", "1GBB", "0x10"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--min-free"):
        parse_size(text, "--min-free")


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_seconds_are_finite(value: float) -> None:
    check_finite(timeout=None, ping_interval=1.0)
    with pytest.raises(UsageError, match="--ping-interval must be a number of seconds"):
        check_finite(ping_interval=value)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (CallOptions, "heard"),
        (ServeOptions, "events"),
        (LoadOptions, "per_call"),
        (InspectOptions, "plot"),
        (InspectOptions, "split"),
    ],
)
def test_a_url_is_no_file_to_write(options: type, name: str) -> None:
    annotation = get_type_hints(options, include_extras=True)[name]

    assert annotation.__metadata__[0].parser is local_path
    with pytest.raises(UsageError, match=r"s3://bucket/x.wav: can't write to s3://; give a local path"):
        local_path("s3://bucket/x.wav")


def test_monitor_saves_to_no_url() -> None:
    with pytest.raises(UsageError, match="can't write to s3://"):
        monitor(MonitorOptions(save="s3://bucket/x.wav"))
