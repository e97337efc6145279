"""Send digits to a live call: as the event that jambonz would send, or as tones to the caller."""

import asyncio
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.errors import CallEndedError, ExitStatus, ListenctlError, NotFoundError, TimedOutError, UsageError
from listenctl.json_lines import VERSION, json_line
from listenctl.live_client.list_calls import PATIENCE, list_calls
from listenctl.protocol.dtmf_digits import DIGIT_MS, GAP_MS, PAUSE, PAUSE_SECONDS, TONE_MS
from listenctl.protocol.find_named_call import LATEST, find_named_calls
from listenctl.simulator.dtmf_requests import DtmfRequest
from listenctl.simulator.find_simulated_calls import find_simulated_calls, request_dtmf
from listenctl.simulator.simulated_call_socket import SimulatedCallEntry
from listenctl.terminal.printable_text import printable
from listenctl.terminal.standard_streams import write_line, write_message

if TYPE_CHECKING:
    from listenctl.commands.live_calls.send_command_run import Recipient

SHORTEST_GAP_MS = 40
"""A pause between tones that every receiver must recognize (ITU-T Q.24)."""
_MAX_NAME = 140


class DtmfForm(StrEnum):
    EVENT = "event"
    TONES = "tones"


@dataclass(frozen=True, slots=True)
class Digits:
    """Digits, and ``w`` for a pause."""

    digits: str
    duration_ms: int | None = None  # duration of each digit; None means the default of an event or a tone
    gap_ms: int = GAP_MS  # pause between digits

    @property
    def request(self) -> DtmfRequest:
        return DtmfRequest(self.digits, DIGIT_MS if self.duration_ms is None else self.duration_ms, self.gap_ms)

    @property
    def tone_duration(self) -> float:
        """Seconds of each tone."""
        return (TONE_MS if self.duration_ms is None else self.duration_ms) / 1000


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
    entry = (
        None
        if form is DtmfForm.TONES
        else await asyncio.to_thread(_find_simulated_call, recipient, calls, prefer_server=form is None)
    )
    if entry is not None:
        return await _press_digits(recipient, digits, entry)
    if form is DtmfForm.EVENT:
        raise NotFoundError(_not_running(recipient.call))
    try:
        return await _play_tones(recipient, digits)
    except CallEndedError:
        raise
    except NotFoundError as exc:
        raise NotFoundError(str(exc) if form else f"{_not_running(recipient.call)}; {exc}") from exc


def _find_simulated_call(recipient: "Recipient", calls: Path, *, prefer_server: bool) -> SimulatedCallEntry | None:
    entries = find_simulated_calls(calls)
    wanted = recipient.call
    if wanted == LATEST:
        # Elsewhere, @latest means the latest call of the server.
        wanted = (_latest_call_sid(recipient) if prefer_server and entries else None) or LATEST
    found = find_named_calls(entries, wanted, lambda entry: (entry.call_sid, None))
    if len(found) > 1:
        names = ", ".join(_printable_name(entry.call_sid) for entry in found[:10])
        raise NotFoundError(f"{_printable_name(recipient.call)} matches {len(found)} simulated calls: {names}")
    return found[0] if found else None


def _latest_call_sid(recipient: "Recipient") -> str | None:
    try:
        calls = list_calls(recipient.socket, patience=min(recipient.timeout, PATIENCE)).calls
    except ListenctlError:
        return None
    return (calls[-1].call_sid or calls[-1].id) if calls else None


async def _press_digits(recipient: "Recipient", digits: Digits, entry: SimulatedCallEntry) -> int:
    count = 0

    def on_digit() -> None:
        nonlocal count
        count += 1

    total = len(digits.digits) - digits.digits.count(PAUSE)
    try:
        async with asyncio.timeout(recipient.timeout):
            passed = await request_dtmf(entry, digits.request, on_digit)
    except TimeoutError as exc:
        raise TimedOutError(f"only {count} of {total} digits pressed within {recipient.timeout:g} s") from exc
    except NotFoundError as exc:
        raise NotFoundError(f"{exc}; {count} of {total} digits were pressed" if count else str(exc)) from exc
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
        write_line(sys.stdout, printable(f"{entry.call_sid[:_MAX_NAME]}: {digits.digits} pressed"))


async def _play_tones(recipient: "Recipient", digits: Digits) -> int:
    from listenctl.commands.live_calls.play_to_call_run import play_sound
    from listenctl.media.sources.tones import dtmf_tones
    from listenctl.play_to_call.playable_sound import PlayableSound
    from listenctl.play_to_call.settings import PlaySettings

    if digits.gap_ms < SHORTEST_GAP_MS:
        raise UsageError(f"--gap-ms {digits.gap_ms}: tones need at least {SHORTEST_GAP_MS} ms between them")
    noted = False

    def samples(rate: int) -> bytes:
        nonlocal noted
        if not noted and not recipient.quiet:
            noted = True
            write_message("the protocol can't send DTMF to jambonz; the digits are played to the caller as tones")
        return dtmf_tones(digits.digits, rate, tone=digits.tone_duration, gap=digits.gap_ms / 1000)

    pauses = digits.digits.count(PAUSE)
    seconds = pauses * PAUSE_SECONDS + (len(digits.digits) - pauses) * (digits.tone_duration + digits.gap_ms / 1000)
    sound = PlayableSound.computed(f"digits {digits.digits}", samples, seconds=seconds)
    return await play_sound(recipient, sound, PlaySettings())


def _not_running(call: str) -> str:
    return f"no simulated call {_printable_name(call)} is running on this machine"


def _printable_name(name: str) -> str:
    return printable(name[:_MAX_NAME])
