"""The clips that several tools send to one call: which tool an answer is for, and which clips a killAudio stops."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.call_sharing.clip_queue import ClipQueue, QueuedClip, seconds_of
from listenctl.protocol.call_sharing.mark_and_clip_names import MAX_OUTSTANDING, GeneratedNames, PendingAnswer
from listenctl.protocol.jambonz_messages import PlayDone

STOP_TIMEOUT = 1.0
"""Seconds in which jambonz answers a stopped clip; a clip without an answer never plays."""
REPEAT_KILL = 0.06
"""Seconds after which a killAudio is repeated: one that arrives before the clip begins stops nothing."""
REPEAT_KILL_BEFORE_NEXT_CLIP = 0.5
"""The same where it must not stop the next clip, whose beginning is known late."""
MAX_INTERRUPTING = 16

Owned = PendingAnswer[object]


class ClipOrder:
    """
    Which clip a playDone without an id answers, as in the documented form (listenctl-protocol(7) 4), assuming that
    clips play in order; ``stop_assuming`` ends this for good when it proves wrong.
    """

    def __init__(self) -> None:
        # Groups of clips between two killAudios; only the last group plays one by one.
        self._groups: deque[deque[str]] = deque([deque()])
        self._stopped = False

    def add_clip(self, name: str) -> None:
        if self._stopped:
            return
        self._groups[-1].append(name)
        if sum(map(len, self._groups)) > MAX_OUTSTANDING:
            self.stop_assuming()

    def drop_clips(self, names: Collection[str]) -> None:
        self._groups = deque(deque(name for name in group if name not in names) for group in self._groups)

    def add_kill(self) -> None:
        if self._groups[-1]:
            self._groups.append(deque())

    def stop_assuming(self) -> None:
        self._stopped = True
        self._groups = deque([deque()])

    def take_answered(self) -> tuple[str, ...]:
        """Return the clip that is answered, followed by those that never will be; empty if none is known."""
        if len(self._groups) > 1:
            return tuple(self._groups.popleft())
        return (self._groups[0].popleft(),) if self._groups[0] else ()


class ClipStops:
    """The names of the clips that are being stopped; all times are seconds on one clock."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._until = self._next = self._every = 0.0

    @property
    def deadline(self) -> float | None:
        return min(self._next, self._until) if self.names else None

    def start_stopping(self, names: Collection[str], now: float, *, others_follow: bool) -> None:
        """Stop these clips, replacing the ones before; a killAudio was just sent, or ``kill_now`` follows."""
        self.names = set(names)
        self._until = now + STOP_TIMEOUT
        self._every = REPEAT_KILL_BEFORE_NEXT_CLIP if others_follow else REPEAT_KILL
        self._next = now + self._every

    def kill_now(self, now: float) -> None:
        """Make a killAudio due now, because one clip has ended."""
        self._next = now

    def take_due_kill(self, now: float) -> bool:
        due = bool(self.names) and self._next <= now < self._until
        if due:
            self._next = now + self._every
        return due

    def take_unanswered(self, now: float) -> set[str]:
        if now < self._until:
            return set()
        given_up, self.names = self.names, set()
        return given_up


class SharedClips:
    def __init__(self, prefix: str, clock: Callable[[], float]) -> None:
        self.names = GeneratedNames[object](prefix)
        self.order = ClipOrder()
        self.queue = ClipQueue()
        self._clock = clock
        # Clips at jambonz that are being stopped; each killAudio stops one (listenctl-protocol(7) 5.1).
        self._stops = ClipStops()
        # Clips that their tools have withdrawn, to be stopped when they begin.
        self._withdrawn: set[str] = set()
        # Unanswered clips without queuePlay; the last one plays.
        self._interrupting: deque[str] = deque(maxlen=MAX_INTERRUPTING)

    @property
    def seconds_left(self) -> float | None:
        return self.queue.seconds_left(self._clock())

    @property
    def deadline(self) -> float | None:
        return self.queue.deadline if self._stops.deadline is None else self._stops.deadline

    @property
    def stopping(self) -> bool:
        """Whether clips are being stopped; meanwhile none is sent."""
        self._give_up()
        return bool(self._stops.names)

    def take_due_kill(self) -> bool:
        self._give_up()
        return self._stops.take_due_kill(self._clock())

    def forget_tool(self, tool: int) -> None:
        self.names.forget_tool(tool)
        self.queue.forget_tool(tool)

    def has_room(self, clip: PlayAudio) -> bool:
        return self.queue.has_room(len(clip.audio_content) if isinstance(clip.audio_content, str) else 0)

    def add_clip(self, tool: int, clip: PlayAudio) -> None:
        name = self.names.new_name(tool, clip.id)
        text = replace(clip, id=name).serialize().encode()
        self.queue.add_clip(QueuedClip(name, tool, text, seconds_of(clip)))

    def interrupt_with(self, tool: int, clip: PlayAudio) -> PlayAudio:
        """Return the command to send at once for a clip without queuePlay; see ``drop_interrupted``."""
        name = self.names.new_name(tool, clip.id)
        self.order.add_clip(name)
        self._interrupting.append(name)
        return replace(clip, id=name)

    def take_due_texts(self) -> list[bytes]:
        if self.stopping:
            return []
        clips = self.queue.take_due_clips(self._clock())
        for clip in clips:
            self.order.add_clip(clip.name)
        return [clip.text for clip in clips]

    def add_kill(self, *, all_of_them: bool) -> list[Owned]:
        """Record a killAudio, repeated to stop ``all_of_them`` at jambonz; return the waiting clips that it drops."""
        self.order.add_kill()
        self._stops.start_stopping(self._at_jambonz if all_of_them else (), self._clock(), others_follow=False)
        return self._take_requests(clip.name for clip in self.queue.drop_waiting())

    def withdraw_clip(self, tool: int, own: object) -> list[Owned]:
        """Withdraw clips of a tool and return them; those at jambonz are stopped when they begin."""
        names = self.names.names_for(tool, own)
        self.queue.withdraw_clips(names)
        self._withdrawn.update(name for name in names if name in self._at_jambonz)
        self._stop_withdrawn()
        return self._take_requests(names)

    def clips_to_stop(self, *, behind: bool) -> list[Owned]:
        """Return the clip that plays, as far as is known, and with ``behind`` those waiting at jambonz."""
        names = self._at_jambonz
        waiters = [self.names.pending_answer_for(name) for name in (names if behind else names[:1])]
        return [one for one in waiters if one]

    def drop_interrupted(self, clip: PlayAudio) -> list[Owned]:
        """Return the clips dropped by one without queuePlay, which empties jambonz's queue and so ours."""
        dropped = self.queue.interrupt_by_clip(seconds_of(clip))
        self.order.drop_clips({one.name for one in dropped})
        return self._take_requests(clip.name for clip in dropped)

    def take_play_done(self, message: PlayDone) -> Sequence[Owned] | None:
        """Return whose clip has ended, empty if its sender has left; None if the clip isn't ours."""
        if isinstance(message.id, str) and self.names.is_generated(message.id):
            self.order.stop_assuming()
            names: tuple[str, ...] = (message.id,)
        elif message.id is not None or not (names := self.order.take_answered()):
            return None
        self.queue.end_clip(names[-1], self._clock())
        self._end_clips(names)
        self._stops.names.intersection_update(self._at_jambonz)
        self._stops.kill_now(self._clock())
        self._stop_withdrawn()
        asked = [self.names.take_pending_answer(name) for name in names]
        # The clips after the first will never be answered.
        return [one for one in asked[:1] if one]

    @property
    def _at_jambonz(self) -> list[str]:
        return [*reversed(self._interrupting), *self.queue.at_jambonz]

    def _stop_withdrawn(self) -> None:
        playing = self._at_jambonz[:1]
        self._withdrawn.intersection_update(self._at_jambonz)
        if not self._stops.names and self._withdrawn.issuperset(playing) and playing:
            self.order.add_kill()
            self._stops.start_stopping(playing, self._clock(), others_follow=True)
            self._stops.kill_now(self._clock())

    def _give_up(self) -> None:
        given_up = self._stops.take_unanswered(self._clock())
        if not given_up:
            return
        self._end_clips(given_up)
        self._stop_withdrawn()

    def _end_clips(self, names: Collection[str]) -> None:
        self.queue.end_clips(names, self._clock())
        self._interrupting = deque((name for name in self._interrupting if name not in names), maxlen=MAX_INTERRUPTING)

    def _take_requests(self, names: Iterable[str]) -> list[Owned]:
        asked = (self.names.take_pending_answer(name) for name in names)
        return [one for one in asked if one]
