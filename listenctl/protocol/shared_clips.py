"""The clips of one call that many tools send: their names on the wire, their turns, and whom an answer is for."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from listenctl.protocol.clip_queue import ClipQueue, QueuedClip, seconds_of
from listenctl.protocol.commands import PlayAudio
from listenctl.protocol.messages import PlayDone
from listenctl.protocol.wire_names import Asked, ClipOrder, WireNames

MAX_ON_TOP = 16

Owned = Asked[object]


class SharedClips:
    """
    Keep the clips of one call.

    Args:
        prefix: begins their names on the wire.
        clock: returns the time in seconds.
    """

    def __init__(self, prefix: str, clock: Callable[[], float]) -> None:
        self._names = WireNames[object](prefix)
        self._order = ClipOrder()
        self._queue = ClipQueue()
        self._clock = clock
        # Those that jambonz had at the last killAudio, of which it stops one (protocol.md 5.1).
        self._killed: set[str] = set()
        # Those that don't queue and haven't been answered, the one that was sent last being on top.
        self._on_top: deque[str] = deque(maxlen=MAX_ON_TOP)

    @property
    def waiting(self) -> int:
        """How many haven't been passed on."""
        return len(self._queue)

    @property
    def seconds_left(self) -> float | None:
        """Seconds that all clips still play, by the clock; None if that is unknown."""
        return self._queue.seconds_left(self._clock())

    @property
    def deadline(self) -> float | None:
        """When to call ``pass_on`` if nothing happens before; None if nothing waits."""
        return self._queue.deadline

    def count(self, tool: int) -> int:
        """Return how many answers the tool waits for."""
        return self._names.count(tool)

    def forget(self, tool: int) -> None:
        """Let a tool go, with all of its clips that wait."""
        self._names.forget(tool)
        self._queue.forget(tool)

    def has_room(self, clip: PlayAudio) -> bool:
        """Tell whether a clip may wait."""
        return self._queue.has_room(len(clip.audio_content) if isinstance(clip.audio_content, str) else 0)

    def add(self, tool: int, clip: PlayAudio) -> None:
        """Have a clip wait, be it for a moment."""
        name = self._names.give(tool, clip.id)
        self._queue.add(QueuedClip(name, tool, _renamed(clip, name), seconds_of(clip)))

    def put_on_top(self, tool: int, clip: PlayAudio) -> bytes:
        """Return what to send at once for a clip that doesn't queue; ``interrupt`` says what it drops."""
        name = self._names.give(tool, clip.id)
        self._order.add(name)
        self._on_top.append(name)
        return _renamed(clip, name)

    def pass_on(self) -> list[bytes]:
        """Return what to send for the clips whose turn it is."""
        clips = self._queue.pass_on(self._clock())
        for clip in clips:
            self._order.add(clip.name)
        return [clip.text for clip in clips]

    def last_of(self, tool: int) -> str | None:
        """Return the name of a tool's last clip that waits, None if none does."""
        return self._queue.last_of(tool)

    def waits(self, name: str) -> bool:
        """Tell whether a clip hasn't been passed on."""
        return self._queue.waits(name)

    def kill(self) -> list[Owned]:
        """Take notice of a killAudio; return the clips that it drops before their turn, oldest first."""
        self._order.kill()
        self._killed = set(self._queue.at_jambonz)
        return self._take(self._queue.kill())

    def playing(self, *, behind: bool) -> list[Owned]:
        """Return the clip that plays, as far as is known, and those ``behind`` it at jambonz."""
        names = [*reversed(self._on_top), *self._queue.at_jambonz]
        waiters = [self._names.waiter(name) for name in (names if behind else names[:1])]
        return [one for one in waiters if one]

    @property
    def go_on_after_kill(self) -> bool:
        """Whether jambonz, at the end of a clip, goes on with one that a killAudio was meant for as well."""
        self._killed.intersection_update(self._queue.at_jambonz)
        return bool(self._killed)

    def interrupt(self, clip: PlayAudio) -> list[Owned]:
        """Take notice of a clip that doesn't queue; it empties jambonz's queue, of which ours is the rear part."""
        dropped = self._queue.interrupt(seconds_of(clip))
        self._order.drop({one.name for one in dropped})
        return self._take(dropped)

    def doubt_order(self) -> None:
        """Take notice that a playDone without an id may be none of ours."""
        self._order.stop()

    def answer(self, message: PlayDone) -> Sequence[Owned] | None:
        """Return whose clip is over, nobody's if its sender has left; None if it is none of ours."""
        if isinstance(message.id, str) and self._names.has_given(message.id):
            self._order.stop()
            names: tuple[str, ...] = (message.id,)
        elif message.id is not None or not (names := self._order.take()):
            return None
        self._queue.answered(names[-1], self._clock())
        if names[0] in self._on_top:
            self._on_top.remove(names[0])
        asked = [self._names.take(name) for name in names]
        # Those behind the first never will be answered.
        return [one for one in asked[:1] if one]

    def _take(self, clips: Iterable[QueuedClip]) -> list[Owned]:
        asked = (self._names.take(clip.name) for clip in clips)
        return [one for one in asked if one]


def _renamed(clip: PlayAudio, name: str) -> bytes:
    return replace(clip, id=name).serialize().encode()
