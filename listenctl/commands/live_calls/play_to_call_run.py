"""Play a sound to a live call: messages, live view, result and exit status."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from math import isfinite
from typing import Any

from listenctl.background_task import background_task
from listenctl.commands.live_calls.send_command_run import Recipient
from listenctl.errors import ExitStatus, ListenctlError, TimedOutError, signal_status
from listenctl.json_lines import VERSION, json_line
from listenctl.live_client.attached_call import AttachedCall
from listenctl.live_client.control_client import attach_to_call
from listenctl.media.sources.audio_sources import SourceKind
from listenctl.play_to_call.delivery_mode import Delivery
from listenctl.play_to_call.play_result import PlayOutcome, PlayResult
from listenctl.play_to_call.play_sound import SoundPlayer
from listenctl.play_to_call.playable_sound import PlayableSound, prepare_sound
from listenctl.play_to_call.settings import PlaySettings
from listenctl.play_to_call.trim_and_gain import SoundEdits
from listenctl.terminal.printable_text import TextStyle, printable
from listenctl.terminal.standard_streams import reserve_stderr, write_line, write_message, write_text_line
from listenctl.terminal.stop_signals import STOP_SIGNALS

_STATUS = {
    PlayOutcome.PLAYED: 0,
    PlayOutcome.SENT: 0,
    PlayOutcome.INTERRUPTED: ExitStatus.FAILED,
    PlayOutcome.UNKNOWN: ExitStatus.CHECK_FAILED,
}
_MAX_CALL = 80
_MAX_NAME = 80


async def run_play(
    recipient: Recipient, source: str, edits: SoundEdits, settings: PlaySettings, *, live: bool = False
) -> int:
    """
    Play a named source like ``play_sound``; also raises the errors of ``prepare_sound``.

    The source is prepared while attaching to the call.
    """
    if SourceKind.of(source) is SourceKind.MICROPHONE:
        reserve_stderr()
    return await _interruptible(_play(recipient, prepare_sound(source, edits), settings, live=live))


async def play_sound(recipient: Recipient, sound: PlayableSound, settings: PlaySettings, *, live: bool = False) -> int:
    """
    Play a sound to a live call and print the result; return the exit status.

    A signal also stops the playback in the call.

    Args:
        recipient: its timeout covers everything and may be infinite.
        live: show the progress on stderr.

    Raises:
        NotFoundError: there is no such server or call, or the call ended.
        TimedOutError: the sound didn't end in time and was stopped.
        ListenctlError: the source failed, or the server refused a command.
    """

    async def ready() -> PlayableSound:
        return sound

    return await _interruptible(_play(recipient, ready(), settings, live=live))


async def _play(
    recipient: Recipient, preparing: Coroutine[object, object, PlayableSound], settings: PlaySettings, *, live: bool
) -> int:
    until = asyncio.get_running_loop().time() + recipient.timeout if isfinite(recipient.timeout) else None
    try:
        async with (
            background_task(preparing) as prepared,
            attach_to_call(recipient.socket, recipient.call, patience=recipient.timeout) as attachment,
            asyncio.timeout_at(until),
        ):
            return await _PlayedSound(recipient, attachment, await prepared, settings).run(live=live)
    except TimeoutError as exc:
        raise TimedOutError(f"not played within {recipient.timeout:g} s") from exc


class _PlayedSound:
    """A sound that is played to a call, and the output about it."""

    def __init__(
        self, recipient: Recipient, attachment: AttachedCall, sound: PlayableSound, settings: PlaySettings
    ) -> None:
        self._recipient = recipient
        self._call_sid = attachment.metadata.call_sid
        self._sound = sound
        self._write_message: Callable[[str], None] = write_message
        self._player = SoundPlayer(attachment, settings, notify=self._notify)

    async def run(self, *, live: bool) -> int:
        try:
            async with self._display() if live else nullcontext():
                result = await self._player.play(self._sound)
        except asyncio.CancelledError:
            if self._player.mode is not None:
                self._print_result(
                    PlayResult(PlayOutcome.INTERRUPTED, None, self._player.progress().heard, "stopped before its end")
                )
            raise
        except ListenctlError as exc:
            # Once attached, scripts always get a JSON object.
            if self._recipient.json:
                self._print_result(self._failed_result(str(exc)))
            raise
        self._print_result(result)
        return _STATUS[result.outcome]

    def _failed_result(self, detail: str) -> PlayResult:
        progress = self._player.progress()
        # By the clock the sound has ended, but jambonz hasn't confirmed it.
        ended = progress.total is not None and progress.heard >= progress.total > 0
        return PlayResult(PlayOutcome.UNKNOWN if ended else PlayOutcome.INTERRUPTED, None, progress.heard, detail)

    def _notify(self, text: str) -> None:
        if not self._recipient.quiet:
            self._write_message(text)

    @asynccontextmanager
    async def _display(self) -> AsyncIterator[None]:
        # Imported only when needed, so that playback starts sooner.
        from listenctl.commands.live_calls.play_to_call_view import PlayToCallView

        style = TextStyle.of_stream(sys.stderr, os.environ)
        view = PlayToCallView(self._sound.name, self._player.progress, sys.stderr, style)
        self._write_message = lambda text: view.screen.print_above(f"listenctl: {printable(text)}")
        try:
            async with view.drawn():
                yield
        finally:
            self._write_message = write_message

    def _print_result(self, result: PlayResult) -> None:
        if self._recipient.quiet and not self._recipient.json:
            return
        if self._recipient.json:
            write_line(sys.stdout, json_line(self._describe(result)))
        else:
            write_text_line(sys.stdout, self._sentence(result))
        sys.stdout.flush()

    def _describe(self, result: PlayResult) -> dict[str, Any]:
        mode = self._player.mode
        return {
            "v": VERSION,
            "call_sid": self._call_sid,
            "source": self._sound.name,
            "mode": mode and mode.delivery,
            "sample_rate": mode and (mode.sample_rate if mode.delivery is Delivery.STREAM else self._sound.clip_rate),
            "known_by": mode and mode.known_by,
            "outcome": result.outcome,
            "evidence": result.evidence,
            "seconds": round(result.seconds, 3),
            "detail": result.detail,
        }

    def _sentence(self, result: PlayResult) -> str:
        mode = self._player.mode
        assert mode is not None
        call = (self._call_sid or self._recipient.call)[:_MAX_CALL]
        match result.outcome:
            case PlayOutcome.INTERRUPTED:
                what = f"interrupted after {result.seconds:.2f} s"
            case PlayOutcome.UNKNOWN:
                what = "sent, but whether it was played isn't known"
            case outcome:
                what = f"{outcome}, {result.seconds:.2f} s"
        detail = f": {result.detail}" if result.detail else ""
        # Nothing confirms what was only claimed.
        doubtful = result.outcome is PlayOutcome.UNKNOWN and mode.known_by.is_claim
        known = "" if doubtful else f"; the call {mode.sentence}"
        return printable(f"{call}: {self._sound.name[:_MAX_NAME]} {what}{detail}{known}")


async def _interruptible(work: Coroutine[object, object, int]) -> int:
    """Return the result of ``work``; a signal cancels it and becomes the exit status."""
    loop = asyncio.get_running_loop()
    numbers: list[int] = []

    async with background_task(work) as task:

        def interrupt(number: int) -> None:
            numbers.append(number)
            task.cancel()

        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, interrupt, number)
        try:
            return await task
        except asyncio.CancelledError:
            if not numbers:
                raise
            return signal_status(numbers[0])
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)
