"""Send one command to a live call and print the result."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from listenctl.errors import TimedOutError
from listenctl.json_lines import VERSION, json_line
from listenctl.live_client.attached_call import AttachedCall
from listenctl.live_client.control_client import attach_to_call
from listenctl.live_client.send_command import send_command
from listenctl.protocol import peer_json
from listenctl.terminal.printable_text import printable
from listenctl.terminal.standard_streams import write_line, write_text_line

_MAX_CALL = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A call of a server, and how results are printed."""

    socket: Path  # control socket of the server
    call: str  # as the user names it
    timeout: float  # seconds in total
    json: bool = False  # print one JSON object
    quiet: bool = False  # print only errors


async def run_command(recipient: Recipient, text: str, *, ends_call: bool = False) -> int:
    """
    Send a JSON command to a live call and print it; return the exit status.

    Raises:
        NotFoundError: there is no such server or call, or the call ended.
        TimedOutError: the server didn't confirm it in time.
    """
    late = f"the server didn't confirm it within {recipient.timeout:g} s"
    async with attached(recipient, late) as attachment:
        await send_command(attachment, text, ends_call=ends_call)
    value = _decode(text)
    kind = value.get("type") if isinstance(value, dict) else None
    print_result(recipient, attachment, f"{kind if isinstance(kind, str) else 'JSON'} sent", {"sent": value})
    return 0


def _decode(text: str) -> Any:
    # A number beyond Python's range stays text, so that the output is JSON.
    decoded = peer_json.decode(text)
    return decoded[0] if decoded else json.loads(text)


@asynccontextmanager
async def attached(recipient: Recipient, late: str) -> AsyncIterator[AttachedCall]:
    """Attach to a call; what takes longer than its timeout raises TimedOutError with the text ``late``."""
    deadline = asyncio.get_running_loop().time() + recipient.timeout
    try:
        # Attaching has its own limit, which tells a stuck server from a slow one.
        async with (
            attach_to_call(recipient.socket, recipient.call, patience=recipient.timeout) as attachment,
            asyncio.timeout_at(deadline),
        ):
            yield attachment
    except TimeoutError as exc:
        raise TimedOutError(late) from exc


def print_result(recipient: Recipient, attachment: AttachedCall, sentence: str, fields: dict[str, Any]) -> None:
    call_sid = attachment.metadata.call_sid
    if recipient.json:
        write_line(sys.stdout, json_line({"v": VERSION, "call_sid": call_sid} | fields))
    else:
        write_text_line(sys.stdout, printable(f"{(call_sid or recipient.call)[:_MAX_CALL]}: {sentence}"))
