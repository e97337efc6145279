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
        """When to call ``take_due_kill`` and ``take_due_texts`` if nothing happens before; None if nothing waits."""
        return self._queue.deadline if self._stops.deadline is None else self._stops.deadline

    @property
    def stopping(self) -> bool:
        """Whether clips are being stopped, which is when none is passed on."""
        self._give_up()
        return bool(self._stops.names)

    def take_due_kill(self) -> bool:
        """Tell whether a killAudio is to be sent now, once for each time."""
        self._give_up()
        return self._stops.take_due_kill(self._clock())

    def count_for(self, tool: int) -> int:
        """Return how many answers the tool waits for."""
        return self._names.count_for(tool)

    def forget_tool(self, tool: int) -> None:
        """Let a tool go, with all of its clips that wait."""
        self._names.forget_tool(tool)
        self._queue.forget_tool(tool)

    def has_room(self, clip: PlayAudio) -> bool:
        """Tell whether a clip may wait."""
        return self._queue.has_room(len(clip.audio_content) if isinstance(clip.audio_content, str) else 0)

    def add_clip(self, tool: int, clip: PlayAudio) -> None:
        """Have a clip wait, be it for a moment."""
        name = self._names.new_name(tool, clip.id)
        self._queue.add_clip(QueuedClip(name, tool, _renamed(clip, name), seconds_of(clip)))

    def interrupt_with(self, tool: int, clip: PlayAudio) -> bytes:
        """Return what to send at once for a clip that doesn't queue; ``drop_interrupted`` says what it drops."""
        name = self._names.new_name(tool, clip.id)
        self._order.add_clip(name)
        self._on_top.append(name)
        return _renamed(clip, name)

    def take_due_texts(self) -> list[bytes]:
        """Return what to send for the clips whose turn it is."""
        if self.stopping:
            return []
        clips = self._queue.take_due_clips(self._clock())
        for clip in clips:
            self._order.add_clip(clip.name)
        return [clip.text for clip in clips]

    def last_waiting(self, tool: int) -> str | None:
        """Return the name of a tool's last clip that waits, None if none does."""
        return self._queue.last_waiting(tool)

    def is_waiting(self, name: str) -> bool:
        """Tell whether a clip hasn't been passed on."""
        return self._queue.is_waiting(name)

    def add_kill(self, *, all_of_them: bool) -> list[Owned]:
        """
        Take notice of a killAudio; return the clips that it drops before their turn, oldest first.

        Args:
            all_of_them: stop all clips that jambonz has, by further killAudios.
        """
        self._order.add_kill()
        self._stops.start_stopping(self._at_jambonz if all_of_them else (), self._clock(), others_follow=False)
        return self._take(self._queue.drop_waiting())

    def withdraw_clip(self, tool: int, own: object) -> list[Owned]:
        """Take clips of a tool back, those that jambonz has when they play; return them."""
        names = self._names.names_for(tool, own)
        self._queue.withdraw_clips(names)
        self._withdrawn.update(name for name in names if name in self._at_jambonz)
        self._stop_withdrawn()
        asked = [self._names.take_request(name) for name in names]
        return [one for one in asked if one]

    def clips_to_stop(self, *, behind: bool) -> list[Owned]:
        """Return the clip that plays, as far as is known, and those ``behind`` it at jambonz."""
        names = self._at_jambonz
        waiters = [self._names.request_for(name) for name in (names if behind else names[:1])]
        return [one for one in waiters if one]

    def drop_interrupted(self, clip: PlayAudio) -> list[Owned]:
        """Take notice of a clip that doesn't queue; it empties jambonz's queue, of which ours is the rear part."""
        dropped = self._queue.interrupt_by_clip(seconds_of(clip))
        self._order.drop_clips({one.name for one in dropped})
        return self._take(dropped)

    def stop_assuming_order(self) -> None:
        """Take notice that a playDone without an id may be none of ours."""
        self._order.stop_assuming()

    def take_play_done(self, message: PlayDone) -> Sequence[Owned] | None:
        """Return whose clip is over, nobody's if its sender has left; None if it is none of ours."""
        if isinstance(message.id, str) and self._names.is_generated(message.id):
            self._order.stop_assuming()
            names: tuple[str, ...] = (message.id,)
        elif message.id is not None or not (names := self._order.take_answered()):
            return None
        self._queue.end_clip(names[-1], self._clock())
        self._take_for_over(names)
        self._stops.names.intersection_update(self._at_jambonz)
        self._stops.kill_now(self._clock())
        self._stop_withdrawn()
        asked = [self._names.take_request(name) for name in names]
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
            self._order.add_kill()
            self._stops.start_stopping(playing, self._clock(), others_follow=True)
            self._stops.kill_now(self._clock())

    def _give_up(self) -> None:
        given_up = self._stops.take_unanswered(self._clock())
        if not given_up:
            return
        self._take_for_over(given_up)
        self._stop_withdrawn()

    def _take_for_over(self, names: Collection[str]) -> None:
        self._queue.end_clips(names, self._clock())
        self._on_top = deque((name for name in self._on_top if name not in names), maxlen=MAX_ON_TOP)

    def _take(self, clips: Iterable[QueuedClip]) -> list[Owned]:
        asked = (self._names.take_request(clip.name) for clip in clips)
        return [one for one in asked if one]


def _renamed(clip: PlayAudio, name: str) -> bytes:
    return replace(clip, id=name).serialize().encode()
