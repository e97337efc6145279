"""``listenctl send-json``: send any JSON text to a live call."""

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from listenctl.commands.live_calls.live_call_options import RecipientOptions, recipient_of
from listenctl.commands.shared_options import run_async, with_options
from listenctl.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SendJsonOptions(RecipientOptions):
    """All options of ``send-json``."""

    text: Annotated[str, typer.Argument(metavar="JSON", help="Text to send; - reads stdin")]


def send_json(options: SendJsonOptions) -> int:
    """
    Send a JSON text to jambonz unchanged.

    Use it for messages that listenctl has no command for.
    """
    from listenctl.commands.live_calls.send_command_run import run_command
    from listenctl.protocol.application_commands import Disconnect, parse_command

    recipient, text = recipient_of(options), read_json(options.text)
    ends_call = isinstance(parse_command(text.encode()), Disconnect)
    return run_async(run_command(recipient, text, ends_call=ends_call))


command = with_options(SendJsonOptions, send_json)


def read_json(text: str) -> str:
    """
    Return the text to send; raises UsageError if it isn't JSON, would crash the media server, or wouldn't reach
    jambonz.
    """
    text = (_read_stdin() if text == "-" else text).strip()
    _check_json(text)
    _check_command(text)
    return text


def _check_json(text: str) -> None:
    import json

    if any("\ud800" <= char <= "\udfff" for char in text):
        raise UsageError("the text isn't UTF-8, as JSON must be")
    try:
        # Numbers may exceed Python's range.
        json.loads(text, parse_constant=_refuse_constant, parse_int=str, parse_float=str)
    except ValueError as exc:
        raise UsageError(f"the text isn't JSON, so jambonz would ignore it: {exc}") from exc
    except RecursionError as exc:
        raise UsageError("the JSON is nested too deeply; jambonz would ignore it") from exc


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} isn't valid")


def _check_command(text: str) -> None:
    from listenctl.protocol.application_commands import PlayAudio, UnknownCommand, parse_command

    match parse_command(text.encode()):
        # listenctl-protocol(7) 5.1
        case PlayAudio(audio_content_type=str()):
            return
        case PlayAudio() | UnknownCommand(type="playAudio"):
            raise UsageError('playAudio without data.audioContentType crashes the media server; use "raw" or "wav"')
        case UnknownCommand(type=str(kind)) if kind.startswith("listenctl:"):
            raise UsageError(f"{kind} is for the server and never reaches jambonz; only attached tools can use it")


def _read_stdin() -> str:
    from listenctl.protocol.call_sharing.tool_messages import MAX_TOOL_MESSAGE

    raw = sys.stdin.buffer.read(MAX_TOOL_MESSAGE + 1)
    if len(raw) > MAX_TOOL_MESSAGE:
        raise UsageError(f"stdin has more than {MAX_TOOL_MESSAGE} bytes, which the server refuses")
    return raw.decode(errors="surrogateescape")
