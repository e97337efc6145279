"""``listenctl replay``: replay a captured call to a server or a client."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from listenctl.commands.connection_options import ConnectionOptions, given_credentials, target_of
from listenctl.commands.shared_options import option, output, run_async, with_options
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from listenctl.replay.compare_answers import CompareSettings
    from listenctl.replay.replay_script import CapturedCall, CaptureFile

capturing = partial(option, panel="Capture")
playback = partial(option, panel="Replay")
checks = partial(option, panel="Checks")
FOREVER, FULL_SPEED = "forever", "max"
MIN_SPEED, MAX_SPEED = 0.1, 100.0
DEFAULT_TOLERANCE = 500
DEFAULT_HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class ReplayOptions(ConnectionOptions):
    """All options of ``replay``."""

    file: Annotated[str, typer.Argument(help="Capture: pcap, pcapng, dump, HAR or recording; - is stdin")]
    url: Annotated[str | None, typer.Argument(help="Server, ws:// or wss://", show_default=False)] = None
    call: Annotated[
        str | None,
        capturing("Call to replay: number, callSid, unique prefix, or @latest [default: the first]", metavar="CALL"),
    ] = None
    all: Annotated[bool, capturing("Replay all calls, each at its own start time")] = False
    keylog: Annotated[Path | None, capturing("TLS secrets of the capture (SSLKEYLOGFILE)")] = None
    speed: Annotated[str, playback("Speed factor from 0.1 to 100, or max", metavar="FACTOR|max")] = "1"
    loop: Annotated[str, playback("Number of rounds, one after another", metavar="NUMBER|forever")] = "1"
    calls: Annotated[int, playback("Number of copies at once", min=1, max=10_000)] = 1
    same_sid: Annotated[bool, playback("Keep the callSid [default: a new one for each call]")] = False
    listen: Annotated[
        str | None, playback("Replay the application to clients that connect here", metavar="[HOST:]PORT")
    ] = None
    sync: Annotated[
        Literal["handshake", "answers"] | None,
        playback("What the application's timing is relative to, with --listen [default: handshake]"),
    ] = None
    compare: Annotated[bool, checks("Compare the answers with the capture; exit with status 3 if they differ")] = False
    tolerance: Annotated[
        int | None,
        checks(f"Milliseconds by which an answer may be late [default: {DEFAULT_TOLERANCE}]", metavar="MS", min=0),
    ] = None
    ignore: Annotated[
        list[str] | None,
        checks("Field of answers that may differ, such as id or mark.name, or audio; repeatable", metavar="FIELD"),
    ] = None
    json: Annotated[bool, output("Print a JSON line for each call")] = False
    quiet: Annotated[bool, output("Print only errors", "--quiet", "-q")] = False


def replay(options: ReplayOptions) -> int:
    """
    Replay a captured call to a server or a client.

    Sends one side of the capture with its timing: that of jambonz to a server, or with --listen that of the application
    to a client. With --compare, the answers of the server are compared with the capture.
    """
    from listenctl.capture.tls.key_log import KeyLog, KeyLogFile
    from listenctl.replay.find_captured_calls import find_captured_calls
    from listenctl.replay.replay_script import open_capture

    if (options.url is None) == (options.listen is None):
        raise UsageError("give either the URL of a server or --listen [HOST:]PORT")
    if options.call is not None and options.all:
        raise UsageError("--call and --all can't be used together")
    _check_dependencies(options)
    speed, rounds = parse_speed(options.speed), parse_rounds(options.loop)
    secrets = KeyLogFile(options.keylog) if options.keylog else KeyLog()
    with open_capture(options.file, secrets) as capture:
        found = find_captured_calls(capture, options.call, every=options.all)
        run = _replay_to_server if options.listen is None else _replay_to_client
        return run(options, capture, found, speed, rounds)


command = with_options(ReplayOptions, replay)


def _check_dependencies(options: ReplayOptions) -> None:
    """Refuse options that have no effect without another one."""
    if options.sync is not None and options.listen is None:
        raise UsageError("--sync needs --listen")
    for name, given in (("--tolerance", options.tolerance is not None), ("--ignore", bool(options.ignore))):
        if given and not options.compare:
            raise UsageError(f"{name} needs --compare")


def _replay_to_server(
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
    return run_async(
        run_replay(plan, calls, copies=options.calls, rounds=rounds, as_json=options.json, quiet=options.quiet)
    )


def _replay_to_client(
    options: ReplayOptions,
    capture: "CaptureFile",
    calls: "Sequence[CapturedCall]",
    speed: float | None,
    rounds: int | None,
) -> int:
    from listenctl.commands.replay.run import run_application
    from listenctl.net.listening_sockets import is_loopback
    from listenctl.protocol.opening_handshake import basic_authorization
    from listenctl.replay.plan import ApplicationPlan, ReplaySync

    if options.compare or options.same_sid:
        raise UsageError("--listen can't be used with --compare or --same-sid")
    host, port = parse_listen_address(options.listen or "")
    credentials, problem = basic_authorization(given_credentials(options.auth_file))
    if credentials is None and not is_loopback(host):
        advice = problem or "require credentials with --auth-file"
        raise UsageError(f"--listen {options.listen}: everyone could connect; {advice}")
    plan = ApplicationPlan(
        capture=capture, speed=speed, sync=ReplaySync(options.sync or "handshake"), authorization=credentials
    )
    limit = None if rounds is None else rounds * options.calls * len(calls)
    return run_async(
        run_application(plan, calls, place=(host, port), limit=limit, as_json=options.json, quiet=options.quiet)
    )


def _comparison(options: ReplayOptions) -> "CompareSettings | None":
    from listenctl.replay.compare_answers import CompareSettings

    if not options.compare:
        return None
    tolerance = DEFAULT_TOLERANCE if options.tolerance is None else options.tolerance
    return CompareSettings(tolerance / 1000, tuple(options.ignore or ()))


def parse_speed(text: str) -> float | None:
    """
    Return the speed factor, None for full speed.

    Raises UsageError if the text is neither a valid factor nor ``max``.
    """
    if text == FULL_SPEED:
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise UsageError(f"--speed {text}: give a number from {MIN_SPEED:g} to {MAX_SPEED:g}, or max")
    return speed


def parse_rounds(text: str) -> int | None:
    """
    Return the number of rounds, None for forever.

    Raises UsageError if the text is neither a number nor ``forever``.
    """
    if text == FOREVER:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise UsageError(f"--loop {text}: give a number from 1, or forever")
    return int(text)


def parse_listen_address(text: str) -> tuple[str, int]:
    """Return host and port of ``[HOST:]PORT``; raises UsageError if the port is missing or invalid."""
    host, _, digits = text.rpartition(":")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 6 and int(digits) < 1 << 16):
        raise UsageError(f"--listen {text}: give [HOST:]PORT, with a port from 0 to 65535")
    return host.removeprefix("[").removesuffix("]") or DEFAULT_HOST, int(digits)
