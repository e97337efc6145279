"""``listenctl send-json``: send any JSON text to a live call."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from listenctl.commands.live_calls.recipient_options import RecipientOptions, recipient_of
from listenctl.commands.shared_options import with_options
from listenctl.errors import UsageError

MAX_TEXT = 32 * 1024 * 1024
"""Bytes; the server takes no longer messages (listenctl-control(5))."""

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class SendJsonOptions(RecipientOptions):
    """All options of ``send-json``."""

    text: Annotated[str, typer.Argument(metavar="JSON", help="What to send; - reads it from stdin.")]


def send_json(options: SendJsonOptions) -> int:
    """Send a JSON text to jambonz as it is, for what has no command of its own."""
    from listenctl.commands.live_calls.command_run import run_command
    from listenctl.protocol.application_commands import Disconnect, parse_command

    recipient, text = recipient_of(options), read_json(options.text)
    ends_call = isinstance(parse_command(text.encode()), Disconnect)
    return asyncio.run(run_command(recipient, text, ends_call=ends_call))


app.command()(with_options(SendJsonOptions, send_json))


def read_json(text: str) -> str:
    """
    Return the text to send.

    Raises:
        UsageError: it is no JSON, which jambonz ignores, or would crash the media server, or never reach jambonz.
    """
    text = (_read_stdin() if text == "-" else text).strip()
    _check_json(text)
    _check_command(text)
    return text


def _check_json(text: str) -> None:
    import json

    if any("\ud800" <= char <= "\udfff" for char in text):
        raise UsageError("what is to be sent isn't UTF-8, as JSON must be")
    try:
        # Numbers may be larger than Python's.
        json.loads(text, parse_constant=_refuse_constant, parse_int=str, parse_float=str)
    except ValueError as exc:
        raise UsageError(f"what is to be sent is no JSON, which jambonz ignores: {exc}") from exc
    except RecursionError as exc:
        raise UsageError("what is to be sent is nested too deeply; jambonz ignores it") from exc


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is none")


def _check_command(text: str) -> None:
    from listenctl.protocol.application_commands import PlayAudio, UnknownCommand, parse_command

    match parse_command(text.encode()):
        # protocol.md 5.1
        case PlayAudio(audio_content_type=str()):
            return
        case PlayAudio() | UnknownCommand(type="playAudio"):
            raise UsageError('playAudio without data.audioContentType crashes the media server; say "raw" or "wav"')
        case UnknownCommand(type=str(kind)) if kind.startswith("listenctl:"):
            raise UsageError(f"{kind} is for the server; it never reaches jambonz, and is for tools that stay attached")


def _read_stdin() -> str:
    raw = sys.stdin.buffer.read(MAX_TEXT + 1)
    if len(raw) > MAX_TEXT:
        raise UsageError(f"stdin has more than {MAX_TEXT} bytes, and the server takes no such text")
    return raw.decode(errors="surrogateescape")
