"""The clips of one call that many tools send: their names on the wire, their turns, and whom an answer is for."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.call_sharing.clip_queue import ClipQueue, ClipStops, QueuedClip, seconds_of
from listenctl.protocol.call_sharing.mark_and_clip_names import ClipOrder, GeneratedNames, PendingAnswer
from listenctl.protocol.jambonz_messages import PlayDone

MAX_ON_TOP = 16

Owned = PendingAnswer[object]


class SharedClips:
    """
    Keep the clips of one call.

    Args:
        prefix: begins their names on the wire.
        clock: returns the time in seconds.
    """

    def __init__(self, prefix: str, clock: Callable[[], float]) -> None:
        self._names = GeneratedNames[object](prefix)
        self._order = ClipOrder()
        self._queue = ClipQueue()
        self._clock = clock
        # Those that jambonz has and that a killAudio is meant for, of which each stops one (protocol.md 5.1).
        self._stops = ClipStops()
        # Those that their tools have withdrawn, to be stopped when they begin.
        self._withdrawn: set[str] = set()
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
        """When to call ``must_kill`` and ``pass_on`` if nothing happens before; None if nothing waits."""
        return self._queue.deadline if self._stops.deadline is None else self._stops.deadline

    @property
    def stopping(self) -> bool:
        """Whether clips are being stopped, which is when none is passed on."""
        self._give_up()
        return bool(self._stops.names)

    def must_kill(self) -> bool:
        """Tell whether a killAudio is to be sent now, once for each time."""
        self._give_up()
        return self._stops.is_due(self._clock())

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
        if self.stopping:
            return []
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

    def kill(self, *, all_of_them: bool) -> list[Owned]:
        """
        Take notice of a killAudio; return the clips that it drops before their turn, oldest first.

        Args:
            all_of_them: stop all clips that jambonz has, by further killAudios.
        """
        self._order.kill()
        self._stops.begin(self._at_jambonz if all_of_them else (), self._clock(), others_follow=False)
        return self._take(self._queue.kill())

    def withdraw(self, tool: int, own: object) -> list[Owned]:
        """Take clips of a tool back, those that jambonz has when they play; return them."""
        names = self._names.names_of(tool, own)
        self._queue.withdraw(names)
        self._withdrawn.update(name for name in names if name in self._at_jambonz)
        self._stop_withdrawn()
        asked = [self._names.take(name) for name in names]
        return [one for one in asked if one]

    def playing(self, *, behind: bool) -> list[Owned]:
        """Return the clip that plays, as far as is known, and those ``behind`` it at jambonz."""
        names = self._at_jambonz
        waiters = [self._names.waiter(name) for name in (names if behind else names[:1])]
        return [one for one in waiters if one]

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
        self._take_for_over(names)
        self._stops.names.intersection_update(self._at_jambonz)
        self._stops.hurry(self._clock())
        self._stop_withdrawn()
        asked = [self._names.take(name) for name in names]
        # Those behind the first never will be answered.
        return [one for one in asked[:1] if one]

    @property
    def _at_jambonz(self) -> list[str]:
        """The clips that jambonz has, the one that plays before those that it goes on with."""
        return [*reversed(self._on_top), *self._queue.at_jambonz]

    def _stop_withdrawn(self) -> None:
        playing = self._at_jambonz[:1]
        self._withdrawn.intersection_update(self._at_jambonz)
        if not self._stops.names and self._withdrawn.issuperset(playing) and playing:
            self._order.kill()
            self._stops.begin(playing, self._clock(), others_follow=True)
            self._stops.hurry(self._clock())

    def _give_up(self) -> None:
        given_up = self._stops.give_up(self._clock())
        if not given_up:
            return
        self._take_for_over(given_up)
        self._stop_withdrawn()

    def _take_for_over(self, names: Collection[str]) -> None:
        self._queue.take_for_over(names, self._clock())
        self._on_top = deque((name for name in self._on_top if name not in names), maxlen=MAX_ON_TOP)

    def _take(self, clips: Iterable[QueuedClip]) -> list[Owned]:
        asked = (self._names.take(clip.name) for clip in clips)
        return [one for one in asked if one]


def _renamed(clip: PlayAudio, name: str) -> bytes:
    return replace(clip, id=name).serialize().encode()
