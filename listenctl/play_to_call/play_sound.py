"""Play a sound to a live call, through a control socket or inside the server, and report whether it was heard."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from listenctl.errors import ListenctlError, UsageError
from listenctl.play_to_call.call_messages import CallMessages, ToolConnection, open_messages, wait_for_answer
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
from listenctl.play_to_call.rate_probe import probe_mode
from listenctl.play_to_call.settings import PlaySettings
from listenctl.protocol.call_sharing.stream_rate import PLAYS_CLIPS, metadata_stream_rate
from listenctl.protocol.call_sharing.tool_messages import Synced

STOP_LIMIT = 2.0
"""Seconds for the server to take a killAudio when playing is cancelled."""

_KNOWN_BY = {"metadata": KnownBy.METADATA, "probe": KnownBy.TOOL, "tool": KnownBy.CLAIM, "server": KnownBy.SERVER}


class SoundPlayer:
    """Play one sound to one call; cancelling ``play`` stops this sound, and none of other tools."""

    def __init__(
        self,
        connection: ToolConnection,
        settings: PlaySettings,
        *,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.mode: PlayMode | None = None
        self._connection = connection
        self._settings = settings
        self._notify = notify
        self._player: StreamPlayer | ClipPlayer | None = None

    async def play(self, sound: PlayableSound) -> PlayResult:
        check_mode_options(self._settings.choice, self._settings.stream_rate)
        async with open_messages(self._connection) as messages:
            try:
                return await self._run(messages, sound)
            except asyncio.CancelledError:
                if messages.is_open:
                    await self._stop()
                raise

    def progress(self) -> PlayProgress:
        return PlayProgress("asking") if self._player is None else self._player.progress()

    async def _run(self, messages: CallMessages, sound: PlayableSound) -> PlayResult:
        await sound.check()
        self.mode = mode = await self._find_mode(messages)
        if mode.delivery is Delivery.STREAM:
            self._player = StreamPlayer(messages, sound, mode, settings=self._settings, notify=self._notify)
        elif sound.endless:
            raise UsageError(f"{sound.name}: has no end, and this call {mode.sentence}; give --duration")
        else:
            self._player = ClipPlayer(messages, sound, settings=self._settings, notify=self._notify)
        return await self._player.run()

    async def _find_mode(self, messages: CallMessages) -> PlayMode:
        choice, rate = self._settings.choice, self._settings.stream_rate
        metadata = metadata_stream_rate(self._connection.metadata.fields)
        if known := choose_mode(choice, rate, ModeHints(metadata)):
            return known
        synced = await messages.sync()
        hints = _hints_of(metadata, synced)
        if known := choose_mode(choice, rate, hints):
            return known
        self._notify(explain_probe(choice, hints))
        return await self._probe(messages)

    async def _probe(self, messages: CallMessages) -> PlayMode:
        granted = await messages.request_turn()
        synced = await messages.sync()
        if not granted.done():
            self._notify("another tool is streaming to this call; waiting for its turn to end")
            await wait_for_answer(granted)
            synced = await messages.sync()
            hints = _hints_of(None, synced)
            if known := choose_mode(self._settings.choice, None, hints):
                await self._share_clip_mode(messages, known)
                return known
        mode = await probe_mode(messages, self._settings.choice, synced)
        if mode is None:
            raise ListenctlError("the rate of the stream can't be measured for certain; give it with --stream-rate")
        await self._share_clip_mode(messages, mode)
        return mode

    async def _share_clip_mode(self, messages: CallMessages, mode: PlayMode) -> None:
        """End a turn that clips don't need, and let the server pass the mode on to other tools."""
        if mode.delivery is Delivery.CLIP:
            await messages.request_turn(PLAYS_CLIPS, probed=mode.known_by.is_probed)
            await messages.release_turn()

    async def _stop(self) -> None:
        if self._player is None:
            return
        with suppress(ListenctlError, TimeoutError):
            async with asyncio.timeout(STOP_LIMIT):
                await self._player.stop()


def _hints_of(metadata: int | None, synced: Synced) -> ModeHints:
    return ModeHints(metadata, synced.stream_rate, _KNOWN_BY.get(synced.stream_rate_from or "", KnownBy.SERVER))
