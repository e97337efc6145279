"""``listenctl replay``: play a call of a capture again, to a live server or to a live client."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.connection_options import ConnectionOptions, given_credentials, target_of
from listenctl.commands.shared_options import OUTPUT, option, with_options
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from listenctl.commands.replay.run import ReplayPresentation
    from listenctl.replay.compare_answers import CompareSettings
    from listenctl.replay.replay_script import CapturedCall, CaptureFile

CAPTURE, PLAYING, CHECKS = "The capture", "Playing", "Checks"
FOREVER, AS_FAST_AS_IT_GOES = "forever", "max"
MIN_SPEED, MAX_SPEED = 0.1, 100.0
DEFAULT_TOLERANCE = 500
DEFAULT_HOST = "127.0.0.1"

app = typer.Typer(add_completion=False)


class ReplaySync(StrEnum):
    """What the moments of a captured application count from."""

    HANDSHAKE = "handshake"
    ANSWERS = "answers"


@dataclass(frozen=True, kw_only=True)
class ReplayOptions(ConnectionOptions):
    """All options of ``replay``."""

    file: Annotated[str, typer.Argument(help="The capture: pcap, pcapng, dump, HAR or recording; - is stdin.")]
    url: Annotated[str | None, typer.Argument(help="The server, ws:// or wss://.", show_default=False)] = None
    call: Annotated[
        str | None,
        option("The call to play: number, callSid, unique prefix, or @latest. Default: the first.", panel=CAPTURE),
    ] = None
    all: Annotated[bool, option("Play all calls, each when it began.", "--all", panel=CAPTURE)] = False
    keylog: Annotated[Path | None, option("TLS secrets of the capture (SSLKEYLOGFILE).", panel=CAPTURE)] = None
    speed: Annotated[
        str, option("How many times as fast: 0.1 to 100, or max.", panel=PLAYING, metavar="FACTOR|max")
    ] = "1"
    loop: Annotated[str, option("How often, one after the other.", panel=PLAYING, metavar="NUMBER|forever")] = "1"
    calls: Annotated[int, option("How many at once.", panel=PLAYING, min=1, max=10_000)] = 1
    same_sid: Annotated[
        bool, option("Leave the callSid. Default: a new one for each call.", "--same-sid", panel=PLAYING)
    ] = False
    listen: Annotated[
        str | None, option("Play the application, to whoever calls here.", panel=PLAYING, metavar="[HOST:]PORT")
    ] = None
    sync: Annotated[
        ReplaySync | None,
        option("What the application's times count from, with --listen. Default: handshake.", panel=PLAYING),
    ] = None
    compare: Annotated[
        bool,
        option("Compare the answers with those in the capture; status 3 if they differ.", "--compare", panel=CHECKS),
    ] = False
    tolerance: Annotated[
        int | None,
        option("Milliseconds by which an answer may be later. Default: 500.", panel=CHECKS, metavar="MS", min=0),
    ] = None
    ignore: Annotated[
        list[str] | None,
        option("A member of answers that may differ, such as id or mark.name, or audio; repeatable.", panel=CHECKS),
    ] = None
    json: Annotated[bool, option("Print a JSON line for each call.", "--json", panel=OUTPUT)] = False
    quiet: Annotated[bool, option("Print nothing but errors.", "--quiet", "-q", panel=OUTPUT)] = False


def replay(options: ReplayOptions) -> int:
    """
    Play a captured call again: jambonz's side to a live server, or with --listen the application's to a live client.

    What is sent, and when, is that of the capture. With --compare the server's answers are held against those in it.
    """
    from listenctl.replay.find_captured_calls import find_captured_calls
    from listenctl.replay.replay_script import open_capture, read_secrets

    if (options.url is None) == (options.listen is None):
        raise UsageError("give either the URL of a server or --listen [HOST:]PORT")
    if options.call is not None and options.all:
        raise UsageError("--call and --all: give one of them")
    _check_company(options)
    speed, rounds = parse_speed(options.speed), parse_rounds(options.loop)
    secrets = read_secrets(options.keylog) if options.keylog else ""
    with open_capture(options.file, secrets) as capture:
        found = find_captured_calls(capture, options.call, every=options.all)
        play = _play_to_server if options.listen is None else _play_to_client
        return play(options, capture, found, speed, rounds)


app.command()(with_options(ReplayOptions, replay))


def _check_company(options: ReplayOptions) -> None:
    """Refuse options that would do nothing."""
    if options.sync is not None and options.listen is None:
        raise UsageError("--sync is about --listen; give that as well")
    for name, given in (("--tolerance", options.tolerance is not None), ("--ignore", bool(options.ignore))):
        if given and not options.compare:
            raise UsageError(f"{name} is about --compare; give that as well")


def _play_to_server(
    options: ReplayOptions,
    capture: "CaptureFile",
    calls: "Sequence[CapturedCall]",
    speed: float | None,
    rounds: int | None,
) -> int:
    from listenctl.commands.replay.run import run_replay
    from listenctl.replay.plan import ReplayPlan

    assert options.url is not None
    plan = ReplayPlan(
        capture=capture,
        target=target_of(options, options.url),
        speed=speed,
        same_sid=options.same_sid,
        compare=_comparison(options),
    )
    return asyncio.run(run_replay(plan, calls, _presentation(options), copies=options.calls, rounds=rounds))


def _play_to_client(
    options: ReplayOptions,
    capture: "CaptureFile",
    calls: "Sequence[CapturedCall]",
    speed: float | None,
    rounds: int | None,
) -> int:
    from listenctl.commands.replay.run import run_application
    from listenctl.commands.serve.command import is_loopback
    from listenctl.protocol.opening_handshake import basic_authorization
    from listenctl.replay.plan import ApplicationPlan
    from listenctl.replay.plan import ReplaySync as PlanSync

    if options.compare or options.same_sid:
        raise UsageError(
            "--listen: goes neither with --compare nor with --same-sid, which are about a server's answers"
        )
    host, port = parse_place(options.listen or "")
    credentials, problem = basic_authorization(given_credentials(options.auth_file))
    if credentials is None and not is_loopback(host):
        advice = problem or "say who may call, by --auth-file"
        raise UsageError(f"--listen {options.listen}: would play the call to everyone; {advice}")
    plan = ApplicationPlan(
        capture=capture, speed=speed, sync=PlanSync(options.sync or ReplaySync.HANDSHAKE), authorization=credentials
    )
    limit = None if rounds is None else rounds * options.calls * len(calls)
    return asyncio.run(run_application(plan, calls, _presentation(options), place=(host, port), limit=limit))


def _comparison(options: ReplayOptions) -> "CompareSettings | None":
    from listenctl.replay.compare_answers import CompareSettings

    if not options.compare:
        return None
    tolerance = DEFAULT_TOLERANCE if options.tolerance is None else options.tolerance
    return CompareSettings(tolerance / 1000, tuple(options.ignore or ()))


def _presentation(options: ReplayOptions) -> "ReplayPresentation":
    from listenctl.commands.replay.run import ReplayPresentation

    return ReplayPresentation(json=options.json, quiet=options.quiet)


def parse_speed(text: str) -> float | None:
    """
    Return how many times as fast, None for as fast as it goes.

    Raises:
        UsageError: it is neither.
    """
    if text == AS_FAST_AS_IT_GOES:
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise UsageError(f"--speed {text}: is no number from {MIN_SPEED:g} to {MAX_SPEED:g}, and not max")
    return speed


def parse_rounds(text: str) -> int | None:
    """
    Return how often, None for forever.

    Raises:
        UsageError: it is neither.
    """
    if text == FOREVER:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise UsageError(f"--loop {text}: is no number from 1 on, and not forever")
    return int(text)


def parse_place(text: str) -> tuple[str, int]:
    """
    Return host and port of ``[HOST:]PORT``.

    Raises:
        UsageError: there is no port in it.
    """
    host, _, digits = text.rpartition(":")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 6 and int(digits) < 1 << 16):
        raise UsageError(f"--listen {text}: has no port from 0 to 65535; give [HOST:]PORT")
    return host.removeprefix("[").removesuffix("]") or DEFAULT_HOST, int(digits)
