"""``listenctl send-dtmf``: send digits to a live call, or to a server in a new call."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import inf, isnan
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from listenctl.commands.config_sources import option_name
from listenctl.commands.connection_options import ConnectionOptions, ReportOptions
from listenctl.commands.live_calls.live_call_options import ServerNameOptions, check_call, socket_of
from listenctl.commands.shared_options import GivenOptions, TotalTimeout, option, run_async, with_options
from listenctl.errors import UsageError
from listenctl.protocol.dtmf_digits import DIGIT_MS, GAP_MS, MAX_DIGIT_MS, MAX_GAP_MS, MIN_DIGIT_MS, TONE_MS

if TYPE_CHECKING:
    from listenctl.commands.live_calls.send_command_run import Recipient
    from listenctl.simulator.plan import CallPlan

dialing = partial(option, panel="Digits")
LEAD, TAIL = 0.3, 0.3
"""Seconds before the first digit and after the last digit of a new call."""
_URL_ONLY = {
    "tones": "is for a call to a URL; for a live call use --as",
    "events": "is for a call to a URL; for a live call use `listenctl events`",
    **dict.fromkeys(("auth_file", "ca", "insecure", "user_agent", "subprotocol"), "is for a call to a URL"),
}
_LIVE_CALL_ONLY = {
    "as_": "is for a live call; for a call to a URL use --tones",
    "name": "is for a live call; a URL already names the server",
}


@dataclass(frozen=True, kw_only=True)
class DigitOptions:
    """How digits are sent."""

    digit_ms: Annotated[
        int | None,
        dialing(
            f"Duration of a digit in milliseconds [default: {DIGIT_MS}; tones {TONE_MS}]",
            metavar="MS",
            min=MIN_DIGIT_MS,
            max=MAX_DIGIT_MS,
        ),
    ] = None
    gap_ms: Annotated[
        int, dialing("Milliseconds between digits; at least 40 between tones", metavar="MS", min=0, max=MAX_GAP_MS)
    ] = GAP_MS
    tones: Annotated[bool, dialing("Also put the tones in the audio of a call to a URL")] = False
    as_: Annotated[
        Literal["event", "tones"] | None,
        dialing("How to send them to a live call [default: event to a simulated call, else tones]", "--as"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SendDtmfOptions(ReportOptions, ConnectionOptions, ServerNameOptions, DigitOptions, GivenOptions):
    """All options of ``send-dtmf``."""

    target: Annotated[
        str, typer.Argument(help="Live call (id, callSid, unique prefix or @latest) or server (ws:// or wss://)")
    ]
    digits: Annotated[str, typer.Argument(help="Digits to send: 0-9, *, #, A-D, and w for a pause of half a second")]
    timeout: TotalTimeout = inf


def send_dtmf(options: SendDtmfOptions) -> int:
    """
    Send DTMF digits to a live call or to a server.

    A simulated call on this machine sends the event that jambonz would send. In any other live call the digits are
    played to the caller as tones, because the protocol has no other way. A server gets them in a short new call.
    """
    if isnan(options.timeout):
        raise UsageError("--timeout must be a number of seconds")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", options.target):
        from listenctl.commands.call.run import run_send_dtmf

        return run_async(run_send_dtmf(make_digits_plan(options), options, patience=options.timeout))
    from listenctl.commands.dtmf_options import check_digits
    from listenctl.commands.live_calls.send_dtmf_run import Digits, DtmfForm, run_digits
    from listenctl.net.runtime_folder import calls_folder

    form = None if options.as_ is None else DtmfForm(options.as_)
    recipient = digits_recipient(options)
    digits = Digits(check_digits(options.digits), options.digit_ms, options.gap_ms)
    return run_async(run_digits(recipient, digits, calls_folder(os.environ, os.getuid()), form))


command = with_options(SendDtmfOptions, send_dtmf)


def digits_recipient(options: SendDtmfOptions) -> "Recipient":
    """
    Return the recipient of the digits; raises UsageError if no server or call can have such a name, or an option is not
    for live calls.
    """
    from listenctl.commands.live_calls.send_command_run import Recipient

    check_call(options.target)
    _refuse(options, _URL_ONLY)
    return Recipient(
        # A simulated call needs no server.
        socket=socket_of(options, is_needed=False),
        call=options.target,
        timeout=options.timeout,
        json=options.json,
        quiet=options.quiet,
    )


def _refuse(options: SendDtmfOptions, refused: Mapping[str, str]) -> None:
    """Refuse options of the command line that don't apply to this kind of target."""
    for name, why in refused.items():
        if name in options.given:
            raise UsageError(f"--{option_name(name)} {why}")


def make_digits_plan(options: SendDtmfOptions) -> "CallPlan":
    """
    Return the plan of a silent call to a URL that ends after its digits; raises UsageError if the URL can't be called,
    a digit is invalid, or a file can't be used.
    """
    from listenctl.commands.connection_options import target_of
    from listenctl.commands.dtmf_options import space_digits
    from listenctl.protocol.listen_verb.listen_verb import ListenVerb
    from listenctl.simulator.plan import CallPlan

    _refuse(options, _LIVE_CALL_ONLY)
    digit_ms = DIGIT_MS if options.digit_ms is None else options.digit_ms
    presses = space_digits(options.digits, first=LEAD, digit_ms=digit_ms, gap_ms=options.gap_ms)
    return CallPlan(
        target=target_of(options, options.target),
        verb=ListenVerb(pass_dtmf=True),
        caller="silence",
        duration=presses[-1].time + presses[-1].duration + TAIL,
        dtmf_presses=presses,
        tones=options.tones,
    )
