"""``listenctl send-json``: send any JSON text to a live call."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from listenctl.commands.control import RecipientOptions, recipient_of
from listenctl.commands.options import takes
from listenctl.errors import UsageError

MAX_TEXT = 8 * 1024 * 1024
"""Bytes; the server takes no longer messages (listenctl-control(5))."""

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class SendJsonOptions(RecipientOptions):
    """All options of ``send-json``."""

    text: Annotated[str, typer.Argument(metavar="JSON", help="What to send; - reads it from stdin.")]


def send_json(options: SendJsonOptions) -> int:
    """Send a JSON text to jambonz as it is, for what has no command of its own."""
    from listenctl.console.ordering import run_command
    from listenctl.protocol.commands import Disconnect, parse_command

    recipient, text = recipient_of(options), read_json(options.text)
    ends_call = isinstance(parse_command(text.encode()), Disconnect)
    return asyncio.run(run_command(recipient, text, ends_call=ends_call))


app.command()(takes(SendJsonOptions, send_json))


def read_json(text: str) -> str:
    """
    Return the text to send.

    Raises:
        UsageError: it is no JSON, which jambonz ignores, or would crash the media server.
    """
    import json

    from listenctl.protocol.commands import PlayAudio, parse_command

    text = (_read_stdin() if text == "-" else text).strip()
    try:
        raw = text.encode()
        json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"what is to be sent is no JSON, which jambonz ignores: {exc}") from exc
    command = parse_command(raw)
    # protocol.md 5.1
    if isinstance(command, PlayAudio) and not isinstance(command.audio_content_type, str):
        raise UsageError('playAudio without data.audioContentType crashes the media server; say "raw" or "wav"')
    return text


def _read_stdin() -> str:
    raw = sys.stdin.buffer.read(MAX_TEXT + 1)
    if len(raw) > MAX_TEXT:
        raise UsageError(f"stdin has more than {MAX_TEXT} bytes, and the server takes no such text")
    return raw.decode(errors="surrogateescape")
