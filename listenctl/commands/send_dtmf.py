"""``listenctl send-dtmf``: a short call of its own that delivers digits to a listen server."""

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.calling import ConnectionOptions, ReportOptions
from listenctl.commands.options import option, takes
from listenctl.commands.origin import ConfigurableCommand
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.client.plan import CallPlan

DIGITS = "Digits"
LEAD, TAIL = 0.3, 0.3
"""Seconds of the call before its first digit and after its last."""

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class DigitOptions:
    """Options of how digits are pressed."""

    digit_ms: Annotated[int, option("Milliseconds that a key is held.", panel=DIGITS, min=50, max=24000)] = 200
    gap_ms: Annotated[int, option("Milliseconds between keys.", panel=DIGITS, min=0, max=60000)] = 100
    tones: Annotated[bool, option("Put the tones into the audio, too.", "--tones", panel=DIGITS)] = False


@dataclass(frozen=True, kw_only=True)
class SendDtmfOptions(ReportOptions, ConnectionOptions, DigitOptions):
    """All options of ``send-dtmf``."""

    target: Annotated[str, typer.Argument(help="The server, ws:// or wss://.")]
    digits: Annotated[str, typer.Argument(help="Keys to press: 0-9, *, #, A-D.")]


def send_dtmf(options: SendDtmfOptions) -> int:
    """
    Deliver digits to a listen server, in a short silent call of their own.

    It hangs up when they are sent, and waits until the server has taken them.
    """
    from listenctl.commands.calling import presentation_of
    from listenctl.console.calling import run_send_dtmf

    return asyncio.run(run_send_dtmf(plan_of(options), presentation_of(options)))


app.command(cls=ConfigurableCommand)(takes(SendDtmfOptions, send_dtmf))


def plan_of(options: SendDtmfOptions) -> "CallPlan":
    """
    Understand the options: a silent call that is as long as its digits.

    Raises:
        UsageError: the target is no URL, no phone has such keys, or a file can't be used.
    """
    from listenctl.client.plan import CallPlan
    from listenctl.commands.call_values import space_digits
    from listenctl.commands.calling import target_of
    from listenctl.protocol.verb import ListenVerb

    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", options.target):
        raise UsageError(f"{options.target}: is no URL; give ws://HOST:PORT/PATH")
    keys = space_digits(options.digits, first=LEAD, digit_ms=options.digit_ms, gap_ms=options.gap_ms)
    return CallPlan(
        target=target_of(options, options.target),
        verb=ListenVerb(pass_dtmf=True),
        caller="silence",
        duration=keys[-1].time + keys[-1].duration + TAIL,
        keys=keys,
        tones=options.tones,
    )
