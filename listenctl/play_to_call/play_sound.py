"""
Playing a sound to a live call, in the way in which the call takes it, and saying truthfully what became of it.

It works over any conversation with a call, be it through a control socket or inside of the server.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.pacing import Clock, SystemClock
from listenctl.play_to_call.call_messages import CallMessages, ToolConnection
from listenctl.play_to_call.delivery_mode import (
    Delivery,
    KnownBy,
    ModeHints,
    PlayMode,
    check_mode_options,
    choose_mode,
    explain_probe,
)
from listenctl.play_to_call.play_as_clips import ClipPlayer
from listenctl.play_to_call.play_as_stream import StreamPlayer
from listenctl.play_to_call.play_result import PlayProgress, PlayResult
from listenctl.play_to_call.playable_sound import PlayableSound
from listenctl.play_to_call.rate_probe import BUSY_MARK_WAIT, IDLE_MARK_WAIT, probe_mode
from listenctl.play_to_call.settings import PlaySettings
from listenctl.protocol.call_sharing.stream_rate import CLIPS, rate_in

SILENCE_PATIENCE = 2.0
"""Seconds in which the server must take a killAudio when playing is cancelled."""

_KNOWN_BY = {"metadata": KnownBy.METADATA, "tool": KnownBy.TOOL, "server": KnownBy.SERVER}


class SoundPlayer:
    """
    Play one sound to one call.

    Cancelling ``play`` stops the sound at the caller's end too, as far as others' sound isn't concerned.

    Args:
        tell: takes sentences about what is being waited for or found out.

    Attributes:
        mode: how the call takes sound, None until that is known.
    """

    def __init__(
        self,
        conversation: ToolConnection,
        settings: PlaySettings,
        *,
        clock: Clock | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.mode: PlayMode | None = None
        self._conversation = conversation
        self._settings = settings
        self._clock = clock or SystemClock()
        self._tell = tell
        self._play: StreamPlayer | ClipPlayer | None = None

    async def play(self, sound: PlayableSound) -> PlayResult:
        """
        Play a sound, to its end if the settings say so.

        Raises:
            UsageError: the options contradict each other, or the sound has no end and the call takes clips.
            NotFoundError: the call has ended.
            ListenctlError: the server refused something, or the source failed.
        """
        check_mode_options(self._settings.choice, self._settings.stream_rate)
        async with CallMessages(self._conversation, self._clock) as dialogue:
            try:
                return await dialogue.run_while_connected(self._run(dialogue, sound))
            except asyncio.CancelledError:
                await self._silence()
                raise

    def progress(self) -> PlayProgress:
        """Return how far it is."""
        return PlayProgress("asking") if self._play is None else self._play.progress()

    async def _run(self, dialogue: CallMessages, sound: PlayableSound) -> PlayResult:
        self.mode = mode = await self._find_mode(dialogue)
        if mode.delivery is Delivery.STREAM:
            self._play = StreamPlayer(
                dialogue, sound, mode, settings=self._settings, clock=self._clock, tell=self._tell
            )
        else:
            if sound.endless:
                raise UsageError(f"{sound.name}: has no end, and this call {mode.sentence}; give --duration")
            self._play = ClipPlayer(dialogue, sound, settings=self._settings, clock=self._clock, tell=self._tell)
        return await self._play.run()

    async def _find_mode(self, dialogue: CallMessages) -> PlayMode:
        choice, rate = self._settings.choice, self._settings.stream_rate
        metadata = rate_in(self._conversation.metadata.fields)
        if known := choose_mode(choice, rate, ModeHints(metadata)):
            return known
        synced = await dialogue.sync()
        hints = ModeHints(metadata, synced.stream_rate, _KNOWN_BY.get(synced.stream_rate_from or "", KnownBy.SERVER))
        if known := choose_mode(choice, rate, hints):
            return known
        self._tell(explain_probe(choice, hints))
        return await self._try(dialogue)

    async def _try(self, dialogue: CallMessages) -> PlayMode:
        granted = await dialogue.request_turn()
        synced = await dialogue.sync()
        if not granted.done():
            self._tell("another tool has the stream of this call; waiting for its turn to end")
            await dialogue.wait_for_answer(granted)
            synced = await dialogue.sync()
            hints = ModeHints(server=synced.stream_rate, server_from=KnownBy.TOOL)
            if known := choose_mode(self._settings.choice, None, hints):
                await self._release_clips(dialogue, known)
                return known
        # Of what others streamed at a rate that nobody knows, something may still be to be played.
        patience = BUSY_MARK_WAIT if synced.playout is None else IDLE_MARK_WAIT
        mode = await probe_mode(dialogue, self._settings.choice, self._clock, patience=patience, tell=self._tell)
        await self._release_clips(dialogue, mode)
        return mode

    async def _release_clips(self, dialogue: CallMessages, mode: PlayMode) -> None:
        """End the turn where it isn't needed, and let the server tell others what was found out."""
        if mode.delivery is Delivery.CLIP:
            await dialogue.request_turn(CLIPS)
            await dialogue.release_turn()

    async def _silence(self) -> None:
        if self._play is None:
            return
        with suppress(ListenctlError, TimeoutError):
            async with asyncio.timeout(SILENCE_PATIENCE):
                await self._play.stop()
