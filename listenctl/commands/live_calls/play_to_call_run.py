"""Play a sound to a live call: where it is heard, how far it is, what became of it, and the exit status."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from math import isfinite
from typing import Any

from listenctl.commands.live_calls.send_command_run import Recipient
from listenctl.errors import ExitStatus, ListenctlError, TimedOutError, signal_status
from listenctl.json_lines import VERSION, json_line
from listenctl.live_client.attached_call import AttachedCall
from listenctl.live_client.control_client import attach_to_call
from listenctl.media.sources.audio_sources import is_microphone
from listenctl.play_to_call.delivery_mode import Delivery
from listenctl.play_to_call.play_result import PlayOutcome, PlayResult
from listenctl.play_to_call.play_sound import SoundPlayer
from listenctl.play_to_call.playable_sound import PlayableSound, prepare_sound
from listenctl.play_to_call.settings import PlaySettings
from listenctl.play_to_call.trim_and_gain import SoundEdits
from listenctl.terminal.printable_text import TextStyle, printable
from listenctl.terminal.standard_streams import reserve_stderr, write_line, write_message
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
    Play a source that a user names, as ``play_sound`` does; raises what ``prepare_sound`` does, too.

    The source is looked at while the server is asked for the call.
    """
    if is_microphone(source):
        reserve_stderr()
    return await _interruptible(_play(recipient, prepare_sound(source, edits), settings, live=live))


async def play_sound(recipient: Recipient, sound: PlayableSound, settings: PlaySettings, *, live: bool = False) -> int:
    """
    Play a sound to a live call and print what became of it; return the exit status.

    A signal stops the sound at the caller's end too.

    Args:
        recipient: whose timeout is for all of it; it may be infinite.
        live: show on stderr how far it is.

    Raises:
        NotFoundError: there is no such server or call, or it ended meanwhile.
        TimedOut: the sound wasn't over in time; it is stopped then.
        ListenctlError: the source failed, or the server refused something.
    """

    async def ready() -> PlayableSound:
        return sound

    return await _interruptible(_play(recipient, ready(), settings, live=live))


async def _play(
    recipient: Recipient, preparing: Awaitable[PlayableSound], settings: PlaySettings, *, live: bool
) -> int:
    until = asyncio.get_running_loop().time() + recipient.timeout if isfinite(recipient.timeout) else None
    prepared = asyncio.ensure_future(preparing)
    try:
        async with (
            attach_to_call(recipient.socket, recipient.call, patience=recipient.timeout) as attachment,
            asyncio.timeout_at(until),
        ):
            performance = _Performance(recipient, attachment, await prepared, settings)
            return await performance.run(live=live)
    except TimeoutError as exc:
        raise TimedOutError(f"not played within {recipient.timeout:g} s") from exc
    finally:
        prepared.cancel()
        await asyncio.gather(prepared, return_exceptions=True)


class _Performance:
    """One sound for one call, and what is said of it."""

    def __init__(
        self, recipient: Recipient, attachment: AttachedCall, sound: PlayableSound, settings: PlaySettings
    ) -> None:
        self._recipient = recipient
        self._call_sid = attachment.metadata.call_sid
        self._sound = sound
        self._say: Callable[[str], None] = write_message
        self._player = SoundPlayer(attachment, settings, notify=self._say_now)

    async def run(self, *, live: bool) -> int:
        try:
            async with self._face() if live else _no_face():
                result = await self._player.play(self._sound)
        except asyncio.CancelledError:
            if self._player.mode is not None:
                self._tell(
                    PlayResult(PlayOutcome.INTERRUPTED, None, self._player.progress().heard, "stopped before its end")
                )
            raise
        except ListenctlError as exc:
            # Scripts read one object, whatever happens once there is a conversation; people read the sentence.
            if self._recipient.json:
                self._tell(self._broken_off(str(exc)))
            raise
        self._tell(result)
        return _STATUS[result.outcome]

    def _broken_off(self, detail: str) -> PlayResult:
        progress = self._player.progress()
        # By the clock it was over, so that only its confirmation is missing.
        over = progress.total is not None and progress.heard >= progress.total > 0
        return PlayResult(PlayOutcome.UNKNOWN if over else PlayOutcome.INTERRUPTED, None, progress.heard, detail)

    def _say_now(self, sentence: str) -> None:
        if self._recipient.quiet:
            return
        # Where it is said changes while there is a live view.
        self._say(sentence)

    @asynccontextmanager
    async def _face(self) -> AsyncIterator[None]:
        # What draws isn't needed where nothing is drawn, and the sound shall begin soon.
        from listenctl.commands.live_calls.play_to_call_view import PlayView

        view = PlayView(
            self._sound.name, self._player.progress, sys.stderr, TextStyle.of_stream(sys.stderr, os.environ)
        )
        self._say = lambda sentence: view.screen.print_above(f"listenctl: {printable(sentence)}")
        showing = asyncio.create_task(view.run())
        try:
            yield
        finally:
            self._say = write_message
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    def _tell(self, result: PlayResult) -> None:
        if self._recipient.quiet and not self._recipient.json:
            return
        line = json_line(self._describe(result)) if self._recipient.json else self._sentence(result)
        write_line(sys.stdout, line)
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
        return printable(f"{call}: {self._sound.name[:_MAX_NAME]} {what}{detail}; the call {mode.sentence}")


@asynccontextmanager
async def _no_face() -> AsyncIterator[None]:
    yield


async def _interruptible(work: "Awaitable[int]") -> int:
    """Do something; a signal cancels it, which is then the exit status."""
    task = asyncio.ensure_future(work)
    with _signals(task) as numbers:
        try:
            return await task
        except asyncio.CancelledError:
            if not numbers:
                raise
            return signal_status(numbers[0])


@contextmanager
def _signals(task: "asyncio.Future[int]") -> Iterator[list[int]]:
    loop = asyncio.get_running_loop()
    numbers: list[int] = []

    def interrupt(number: int) -> None:
        numbers.append(number)
        task.cancel()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        yield numbers
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
