"""Send digits to a live call: as the event that jambonz would send, or as tones to the caller."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.errors import ExitStatus, ListenctlError, NotFoundError, TimedOutError, UsageError
from listenctl.json_lines import VERSION, json_line
from listenctl.live_client.list_calls import PATIENCE, list_calls
from listenctl.protocol.find_named_call import LATEST, find_named_calls
from listenctl.simulator.dtmf_requests import PAUSE, DtmfRequest
from listenctl.simulator.find_simulated_calls import find_simulated_calls, request_dtmf
from listenctl.simulator.simulated_call_socket import SimulatedCallEntry
from listenctl.terminal.printable_text import printable
from listenctl.terminal.standard_streams import write_line, write_message

if TYPE_CHECKING:
    from listenctl.commands.live_calls.send_command_run import Recipient

SHORTEST_GAP_MS = 40
"""A pause between tones that every receiver must recognize (ITU-T Q.24)."""
_MAX_SHOWN = 140


class DtmfForm(StrEnum):
    """How digits are sent."""

    EVENT = "event"
    TONES = "tones"


@dataclass(frozen=True, slots=True)
class Digits:
    """
    Digits, and ``w`` for a pause.

    Attributes:
        duration_ms: of each digit; None is 200 for an event and 100 for a tone.
        gap_ms: between digits.
    """

    digits: str
    duration_ms: int | None = None
    gap_ms: int = 100

    @property
    def press(self) -> DtmfRequest:
        """The keys to press in a simulated call."""
        return DtmfRequest(self.digits, 200 if self.duration_ms is None else self.duration_ms, self.gap_ms)

    @property
    def tone(self) -> float:
        """Seconds of each tone."""
        return 0.1 if self.duration_ms is None else self.duration_ms / 1000


async def run_digits(recipient: "Recipient", digits: Digits, calls: Path, form: DtmfForm | None = None) -> int:
    """
    Send digits to a live call and print the result; return the exit status.

    Args:
        calls: folder of the simulated calls.
        form: by default, events for a simulated call on this machine, and tones for any other call.

    Raises:
        NotFoundError: there is no such call, or it ended.
        TimedOutError: it took too long.
        UsageError: the gap between tones is too short.
    """
    entry = None if form is DtmfForm.TONES else await asyncio.to_thread(_find, recipient, calls, by_server=form is None)
    if entry is not None:
        return await _press(recipient, digits, entry)
    if form is DtmfForm.EVENT:
        raise NotFoundError(_no_simulated(recipient.call))
    try:
        return await _play(recipient, digits)
    except NotFoundError as exc:
        raise NotFoundError(str(exc) if form else f"{_no_simulated(recipient.call)}; {exc}") from exc


def _find(recipient: "Recipient", calls: Path, *, by_server: bool) -> SimulatedCallEntry | None:
    entries = find_simulated_calls(calls)
    wanted = recipient.call
    if wanted == LATEST:
        # Elsewhere, @latest means the latest call of the server.
        wanted = (_latest(recipient) if by_server and entries else None) or LATEST
    found = find_named_calls(entries, wanted, lambda entry: (entry.call_sid, None))
    if len(found) > 1:
        raise NotFoundError(_ask_which(recipient.call, found))
    return found[0] if found else None


def _latest(recipient: "Recipient") -> str | None:
    try:
        calls = list_calls(recipient.socket, patience=min(recipient.timeout, PATIENCE)).calls
    except ListenctlError:
        return None
    return (calls[-1].call_sid or calls[-1].id) if calls else None


async def _press(recipient: "Recipient", digits: Digits, entry: SimulatedCallEntry) -> int:
    count = 0

    def on_key() -> None:
        nonlocal count
        count += 1

    keys = len(digits.digits) - digits.digits.count(PAUSE)
    try:
        async with asyncio.timeout(recipient.timeout):
            passed = await request_dtmf(entry, digits.press, on_key)
    except TimeoutError as exc:
        late = f"not all keys were pressed within {recipient.timeout:g} s: {count} of {keys} were"
        raise TimedOutError(late) from exc
    except NotFoundError as exc:
        raise NotFoundError(f"{exc}: {count} of {keys} keys were pressed" if count else str(exc)) from exc
    _print_pressed(recipient, digits, entry, passed=passed)
    if passed:
        return 0
    write_message("the call's verb has no passDtmf, so the server receives no DTMF")
    return ExitStatus.CHECK_FAILED


def _print_pressed(recipient: "Recipient", digits: Digits, entry: SimulatedCallEntry, *, passed: bool) -> None:
    if recipient.json:
        fields = {"call_sid": entry.call_sid, "digits": digits.digits, "as": DtmfForm.EVENT, "passed": passed}
        write_line(sys.stdout, json_line({"v": VERSION} | fields))
    elif not recipient.quiet:
        write_line(sys.stdout, printable(f"{entry.call_sid[:_MAX_SHOWN]}: {digits.digits} pressed"))


async def _play(recipient: "Recipient", digits: Digits) -> int:
    from listenctl.commands.live_calls.play_to_call_run import play_sound
    from listenctl.media.sources.tones import DIGIT_PAUSE as PAUSE_TIME
    from listenctl.media.sources.tones import dtmf_tones
    from listenctl.play_to_call.playable_sound import PlayableSound
    from listenctl.play_to_call.settings import PlaySettings

    if digits.gap_ms < SHORTEST_GAP_MS:
        raise UsageError(f"--gap-ms {digits.gap_ms}: tones need at least {SHORTEST_GAP_MS} ms between them")
    told = False

    def samples(rate: int) -> bytes:
        nonlocal told
        if not told and not recipient.quiet:
            told = True
            write_message("the protocol can't send DTMF to jambonz; the digits are played to the caller as tones")
        return dtmf_tones(digits.digits, rate, tone=digits.tone, gap=digits.gap_ms / 1000)

    pauses = digits.digits.count(PAUSE)
    seconds = pauses * PAUSE_TIME + (len(digits.digits) - pauses) * (digits.tone + digits.gap_ms / 1000)
    sound = PlayableSound.computed(f"digits {digits.digits}", samples, seconds=seconds)
    return await play_sound(recipient, sound, PlaySettings())


def _no_simulated(call: str) -> str:
    return f"no simulated call {_shown(call)} is running on this machine"


def _ask_which(call: str, found: Sequence[SimulatedCallEntry]) -> str:
    named = ", ".join(_shown(entry.call_sid) for entry in found[:10])
    return f"{_shown(call)} matches {len(found)} simulated calls: {named}"


def _shown(name: str) -> str:
    return printable(name[:_MAX_SHOWN])
