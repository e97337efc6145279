"""The session of ``listenctl monitor``: the calls of a server, which of them are played, and the keys."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from listenctl.background_task import background_task
from listenctl.call_listing import CallListing, ListedCall
from listenctl.commands.live_calls.live_call_options import socket_of
from listenctl.commands.monitor.call_selection import CallSelection
from listenctl.commands.monitor.monitor_sound import MonitorSound
from listenctl.commands.monitor.monitored_call import MonitoredCall
from listenctl.commands.monitor.view import MonitorSnapshot
from listenctl.errors import NotFoundError
from listenctl.json_lines import ReportedEvent
from listenctl.live_client.attached_call import AttachedCall, DroppedByServerError
from listenctl.live_client.control_client import attach_to_call, follow_events
from listenctl.live_client.list_calls import list_calls
from listenctl.media.devices.mixer import ChannelChoice
from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_sharing.tool_messages import ServerNotice
from listenctl.protocol.find_named_call import find_named_calls

if TYPE_CHECKING:
    from listenctl.commands.monitor.command import MonitorOptions

_CHANNEL_KEYS = {choice.value[0]: choice for choice in ChannelChoice}
_MAX_NAME = 40
_RECONNECT_DELAY = 0.5


class Monitor:
    """Play the calls of a server until it ends, or until the only call ends."""

    def __init__(
        self,
        options: "MonitorOptions",
        print_message: Callable[[str], None],
        print_event: Callable[[ReportedEvent], None],
    ) -> None:
        self.sound = MonitorSound(options, print_message, self.stop)
        self._socket = socket_of(options)
        self._wanted = options.call  # name of the only call; None means all live calls
        self._print_message = print_message  # called with a sentence for the user
        self._print_event = print_event  # called with each event of the server that concerns the monitored calls
        self._url = ""
        self._loop = asyncio.get_running_loop()
        self._calls: dict[str, MonitoredCall] = {}
        self._selection = CallSelection(every=options.all)
        self._only: str | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()

    def stop(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    async def run(self) -> None:
        """
        Play calls until there are no more.

        Raises:
            NotFoundError: no server is running, or there is no such call.
            RefusedError: the server doesn't answer.
            UsageError: the sound can't be saved, or there is no such device.
            ListenctlError: the connection was lost, or the sound couldn't be saved.
        """
        async with follow_events(self._socket) as reports:
            try:
                async with background_task(self._watch_server(reports)):
                    await self._ended
            finally:
                await asyncio.to_thread(self.sound.close)

    async def _watch_server(self, reports: AsyncIterator[ReportedEvent]) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            self._add_listed_calls(await asyncio.to_thread(list_calls, self._socket))
            self._tasks.create_task(self._follow_events(reports))
            self._tasks.create_task(self.sound.play())

    def snapshot(self, now: float, keys: str) -> MonitorSnapshot:
        places = {call: place for place, call in enumerate(self._selection.played, 1)}
        rows = [self._calls[call].row(now, places.get(call, 0)) for call in self._selection.calls]
        return MonitorSnapshot(self._url, rows, self.sound.status, self.sound.channels.value, keys)

    def press_key(self, key: str) -> None:
        match key.lower():
            case "n" | "→" | "↓":
                self._selection.select_relative(1)
            case "p" | "←" | "↑":
                self._selection.select_relative(-1)
            case "a":
                self._selection.add_next_call()
            case " ":
                self.sound.toggle_mute()
            case "c":
                self.sound.choose_next_channels()
            case letter if letter in _CHANNEL_KEYS:
                self.sound.choose_channels(_CHANNEL_KEYS[letter])
        self._update_sound()

    def _add_listed_calls(self, listing: CallListing) -> None:
        self._url = listing.server.url
        now = self._loop.time()
        calls = [MonitoredCall.listed(call, now) for call in listing.calls]
        if self._wanted is None:
            self._tasks.create_task(self.sound.save_mix())
            for call in calls:
                self._add_call(call)
            if not calls:
                self._print_message("waiting for a call")
            return
        found = _find(listing, self._wanted)
        if found is None:
            self._tasks.create_task(self._attach_by_name(self._wanted))
        else:
            self._add_only_call(MonitoredCall.listed(found, now))

    async def _attach_by_name(self, name: str) -> None:
        """Attach by name: the server explains what is wrong with it, unless the call has started meanwhile."""
        async with attach_to_call(self._socket, name):
            listing = await asyncio.to_thread(list_calls, self._socket)
        found = _find(listing, name)
        if found is None:
            raise NotFoundError(f"there is no live call {name[:_MAX_NAME]}")
        self._add_only_call(MonitoredCall.listed(found, self._loop.time()))

    def _add_only_call(self, call: MonitoredCall) -> None:
        self._only = call.id
        self.sound.save_call(call.format)
        self._add_call(call)

    def _add_call(self, call: MonitoredCall) -> None:
        if call.id in self._calls:
            return
        self._calls[call.id] = call
        self._selection.add_call(call.id)
        self._update_sound()
        self._tasks.create_task(self._play_call(call))

    def _update_sound(self) -> None:
        self.sound.set_played_calls([self._calls[call] for call in self._selection.played])

    def _remove_call(self, call: str) -> None:
        self._calls.pop(call, None)
        self._selection.remove_call(call)
        self._update_sound()

    async def _play_call(self, call: MonitoredCall) -> None:
        try:
            while True:
                problem = await self._play_until_dropped(call)
                self._print_message(f"{call.id[:_MAX_NAME]}: {problem}; reconnecting")
                self.sound.note_interruption()
                await asyncio.sleep(_RECONNECT_DELAY)
        except NotFoundError as exc:
            if self._wanted is not None:
                self._print_message(f"{call.id[:_MAX_NAME]}: {exc}")
                self.stop()
        finally:
            self._remove_call(call.id)

    async def _play_until_dropped(self, call: MonitoredCall) -> DroppedByServerError:
        """Play the call until the server drops us, for example because we are too slow; return the reason."""
        async with attach_to_call(self._socket, call.id, audio=True) as attachment:
            try:
                while True:
                    self._take_message(call, attachment, await attachment.receive())
            except DroppedByServerError as exc:
                return exc

    def _take_message(self, call: MonitoredCall, attachment: AttachedCall, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.sound.add_audio(call.id, call.add_audio(message, self._loop.time()))
            return
        notice = ServerNotice.parse(message)
        if notice is None:
            self._take_late_metadata(call, attachment, message)
        elif seconds := call.add_skipped(notice.data.get("dropped_samples")):
            self.sound.note_missing(seconds)
            self._print_message(
                f"{call.id[:_MAX_NAME]}: {seconds:.1f} s of sound skipped, because this computer was too slow"
            )

    def _take_late_metadata(self, call: MonitoredCall, attachment: AttachedCall, message: str) -> None:
        """Correct the format of a call whose metadata arrives after its audio (listenctl-protocol(7) 2)."""
        if attachment.metadata.fields or "sampleRate" not in message:
            return
        metadata = CallMetadata.parse(message.encode())
        if metadata.is_message or metadata.sample_rate is None:
            return
        call.change_format(AudioFormat(metadata.sample_rate, MIX_CHANNELS[metadata.mix_type or "mono"]))
        self._update_sound()

    async def _follow_events(self, reports: AsyncIterator[ReportedEvent]) -> None:
        async with AsyncExitStack() as following:
            while (problem := await self._process_events(reports)) is not None:
                self._print_message(f"events: {problem}; reconnecting; some events are missing")
                await following.aclose()
                await asyncio.sleep(_RECONNECT_DELAY)
                reports = await following.enter_async_context(follow_events(self._socket))
                await self._catch_up()
        self._print_message("the server has ended")
        self.stop()

    async def _catch_up(self) -> None:
        """Add the calls that started while no events were received."""
        listing = await asyncio.to_thread(list_calls, self._socket)
        for call in listing.calls if self._wanted is None else ():
            self._add_call(MonitoredCall.listed(call, self._loop.time()))

    async def _process_events(self, reports: AsyncIterator[ReportedEvent]) -> DroppedByServerError | None:
        """Process events until the server ends; return why it closed the connection, None if it ended."""
        try:
            async for report in reports:
                self._process_event(report)
        except DroppedByServerError as exc:
            return exc
        return None

    def _process_event(self, report: ReportedEvent) -> None:
        call = str(report["call"])
        if self._wanted is not None and call != self._only:
            return
        self._print_event(_name_server(report))
        match report["event"]:
            case "call-started":
                self._add_call(MonitoredCall.reported(report, self._loop.time()))
            case "dtmf" if call in self._calls:
                self._calls[call].add_digit(str(report.get("digit")))


def _name_server(report: ReportedEvent) -> ReportedEvent:
    """Prefix a warning about the server, because the sound of the monitor has similar ones."""
    if report["event"] == "warning" and report["call"] is None:
        return report | {"detail": f"the server: {report.get('detail')}"}
    return report


def _find(listing: CallListing, wanted: str) -> ListedCall | None:
    """Return the call named ``wanted``; None if there is none, or several."""
    found = find_named_calls(listing.calls, wanted, lambda call: (call.id, call.call_sid))
    return found[0] if len(found) == 1 else None
