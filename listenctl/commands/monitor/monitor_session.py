"""Hear and see the live calls of a running server from another process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from listenctl.commands.monitor.call_selection import Selection
from listenctl.commands.monitor.monitor_sound import Sound, SoundPlan
from listenctl.commands.monitor.monitored_call import HeardCall
from listenctl.commands.monitor.view import Picture
from listenctl.errors import NotFoundError
from listenctl.live_client.attached_call import AttachedCall, DroppedByServerError
from listenctl.live_client.control_client import attach_to_call, follow_events
from listenctl.live_client.list_calls import Listing, ServerEvent, list_calls
from listenctl.media.devices.mixer import ChannelChoice
from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_names import find_named_calls
from listenctl.protocol.call_sharing.tool_messages import ServerNotice

_EAR_KEYS = {ear.value[0]: ear for ear in ChannelChoice}
_MAX_SHOWN = 40
# Seconds before attaching again to a server that closed the connection.
_AGAIN_AFTER = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorPlan:
    """
    What is to be heard.

    Attributes:
        socket: of the server.
        call: the only call, as the user named it; None is all that are live.
        every: hear all calls at once, not the one that is chosen.
    """

    socket: Path
    sound: SoundPlan
    call: str | None = None
    every: bool = False


class Monitor:
    """
    Listen to the calls of a server until it ends, or until the only call does.

    Args:
        say: told in a sentence what people should know.
        show: given each event of the server, as far as it is about what is heard.
    """

    def __init__(self, plan: MonitorPlan, say: Callable[[str], None], show: Callable[[ServerEvent], None]) -> None:
        self.sound = Sound(plan.sound, say, self.stop)
        self._plan = plan
        self._say = say
        self._show = show
        self._url = ""
        self._loop = asyncio.get_running_loop()
        self._calls: dict[str, HeardCall] = {}
        self._selection = Selection(every=plan.every)
        self._tasks: set[asyncio.Task[None]] = set()
        self._only: str | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()

    def stop(self) -> None:
        """End."""
        if not self._ended.done():
            self._ended.set_result(None)

    async def run(self) -> None:
        """
        Listen until there is nothing more to listen to.

        Raises:
            NotFoundError: no server is running, or there is no such call.
            RefusedError: the server doesn't answer.
            UsageError: what is to be kept can't be, or the device that was named isn't there.
            ListenctlError: the connection broke, or something that is kept couldn't be written.
        """
        async with follow_events(self._plan.socket) as reports:
            try:
                self._begin(await asyncio.to_thread(list_calls, self._plan.socket))
                self._spawn(self._follow(reports))
                self._spawn(self.sound.play())
                await self._ended
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await asyncio.to_thread(self.sound.close)

    def picture(self, now: float, keys: str) -> Picture:
        """Return what to draw."""
        heard = self._selection.heard
        places = {call: place for place, call in enumerate(heard, 1)}
        rows = [self._calls[call].row(now, places.get(call, 0)) for call in self._selection.calls]
        return Picture(self._url, rows, self.sound.status, self.sound.ear.value, keys)

    def press(self, key: str) -> None:
        """Do what a key says."""
        match key.lower():
            case "n" | "→" | "↓":
                self._selection.move(1)
            case "p" | "←" | "↑":
                self._selection.move(-1)
            case "a":
                self._selection.add()
            case " ":
                self.sound.mute()
            case "c":
                self.sound.next_ear()
            case letter if letter in _EAR_KEYS:
                self.sound.choose(_EAR_KEYS[letter])
        self._hear()

    def _begin(self, listing: Listing) -> None:
        self._url = str(listing["server"].get("url"))
        now = self._loop.time()
        calls = [HeardCall.listed(call, now) for call in listing["calls"]]
        if self._plan.call is None:
            self._spawn(self.sound.keep_mix())
            for call in calls:
                self._take_in(call)
            if not calls:
                self._say("waiting for a call")
            return
        found = _find(listing, self._plan.call)
        if found is None:
            self._spawn(self._ask_for(self._plan.call))
        else:
            self._take_only(HeardCall.listed(found, now))

    async def _ask_for(self, name: str) -> None:
        """Have the server say what is wrong with a name; it may be right by now."""
        async with attach_to_call(self._plan.socket, name):
            listing = await asyncio.to_thread(list_calls, self._plan.socket)
        found = _find(listing, name)
        if found is None:
            raise NotFoundError(f"there is no live call {name[:_MAX_SHOWN]}")
        self._take_only(HeardCall.listed(found, self._loop.time()))

    def _take_only(self, call: HeardCall) -> None:
        self._only = call.id
        self.sound.keep_call(call.format)
        self._take_in(call)

    def _take_in(self, call: HeardCall) -> None:
        if call.id in self._calls:
            return
        self._calls[call.id] = call
        self._selection.appear(call.id)
        self._hear()
        self._spawn(self._listen(call))

    def _hear(self) -> None:
        self.sound.hear([self._calls[call] for call in self._selection.heard])

    def _leave(self, call: str) -> None:
        self._calls.pop(call, None)
        self._selection.leave(call)
        self._hear()

    async def _listen(self, call: HeardCall) -> None:
        try:
            while True:
                problem = await self._listen_once(call)
                self._say(f"{call.id[:_MAX_SHOWN]}: {problem}; it is attached again")
                await asyncio.sleep(_AGAIN_AFTER)
        except NotFoundError as exc:
            if self._plan.call is not None:
                self._say(f"{call.id[:_MAX_SHOWN]}: {exc}")
                self.stop()
        finally:
            self._leave(call.id)

    async def _listen_once(self, call: HeardCall) -> DroppedByServerError:
        """Listen until the server lets us go, as when we were too slow; return why it did."""
        async with attach_to_call(self._plan.socket, call.id, audio=True) as attachment:
            try:
                while True:
                    self._take(call, attachment, await attachment.receive())
            except DroppedByServerError as exc:
                return exc

    def _take(self, call: HeardCall, attachment: AttachedCall, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.sound.put(call.id, call.take_audio(message, self._loop.time()))
            return
        word = ServerNotice.parse(message)
        if word is None:
            self._take_late_metadata(call, attachment, message)
        elif seconds := call.skip(word.data.get("dropped_samples")):
            self._say(f"{call.id[:_MAX_SHOWN]}: {seconds:.1f} s of sound were skipped, because we were too slow")

    def _take_late_metadata(self, call: HeardCall, attachment: AttachedCall, message: str) -> None:
        """Correct the format of a call that began before its metadata came (protocol.md 2)."""
        if attachment.metadata.fields or "sampleRate" not in message:
            return
        metadata = CallMetadata.parse(message.encode())
        if metadata.is_message or metadata.sample_rate is None:
            return
        call.change_format(AudioFormat(metadata.sample_rate, MIX_CHANNELS[metadata.mix_type or "mono"]))
        self._hear()

    async def _follow(self, reports: AsyncIterator[ServerEvent]) -> None:
        async with AsyncExitStack() as following:
            while (problem := await self._take_reports(reports)) is not None:
                self._say(f"events: {problem}; they are followed again, and some are missing")
                await following.aclose()
                await asyncio.sleep(_AGAIN_AFTER)
                reports = await following.enter_async_context(follow_events(self._plan.socket))
                await self._catch_up()
        self._say("the server has ended")
        self.stop()

    async def _catch_up(self) -> None:
        """Take in the calls that began while we followed no events."""
        listing = await asyncio.to_thread(list_calls, self._plan.socket)
        for call in listing["calls"] if self._plan.call is None else ():
            self._take_in(HeardCall.listed(call, self._loop.time()))

    async def _take_reports(self, reports: AsyncIterator[ServerEvent]) -> DroppedByServerError | None:
        """Take events until the server ends; return why it closed the connection, None if it ended."""
        try:
            async for report in reports:
                self._take_report(report)
        except DroppedByServerError as exc:
            return exc
        return None

    def _take_report(self, report: ServerEvent) -> None:
        call = str(report["call"])
        if self._plan.call is not None and call != self._only:
            return
        self._show(_with_owner(report))
        match report["event"]:
            case "call-started":
                self._take_in(HeardCall.reported(report, self._loop.time()))
            case "dtmf" if call in self._calls:
                self._calls[call].take_digit(str(report.get("digit")))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._ended.done():
            self._ended.set_exception(error)


def _with_owner(report: ServerEvent) -> ServerEvent:
    """Say of a warning that is of no call whose it is: the server may lack sound as well as we do."""
    if report["event"] == "warning" and report["call"] is None:
        return report | {"detail": f"the server: {report.get('detail')}"}
    return report


def _find(listing: Listing, wanted: str) -> dict[str, Any] | None:
    """Return the call that is meant by ``wanted`` as the server understands it; None where that isn't clear."""
    found = find_named_calls(listing["calls"], wanted, lambda call: (str(call.get("call")), call.get("call_sid")))
    return found[0] if len(found) == 1 else None
