"""
The gap ledger: audio time held against arrival time, because jambonz drops seconds of audio and never says so.

A call's audio flows at its sample rate, so the time at which the audio so far *should* have begun (its *origin*)
stands still. Lateness moves it for a moment, lost audio for good, and two clocks that differ move it by less than a
millisecond a second. The ledger is told every message and, once per read, the time by which all of them had arrived;
what it finds is a ``Gap``. Everything about holes and bursts is in protocol.md 3.3 and 13.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.lateness import LATE, STEADY, WINDOW, ClockDrift, EarlyAudio, Stall, UncapturedAudio
from listenctl.protocol.gaps.message_sizes import MessageSizes

SHORTEST_BURST = 0.2
LATE_START = 0.5
# Sound cards and servers differ by up to some hundred ppm; lost audio comes in steps.
FASTEST_DRIFT = 0.001
RIPPLE_MEMORY = 16  # checks
# The least that jambonz's buffer holds, and throws away at once (protocol.md 3.3).
SMALLEST_BUFFER = 2.0


class GapKind(StrEnum):
    """What happened to the flow of audio."""

    HOLE = "hole"  # jambonz threw audio away
    PAUSE = "pause"  # jambonz sent nothing, and nothing that it held back came later
    BURST = "burst"  # audio came late and then all at once; nothing is missing
    LATE_START = "late-start"  # the first audio came long after the connection
    UNCAPTURED = "uncaptured"  # it came, but is missing in a capture


@dataclass(frozen=True, slots=True)
class Gap:
    """
    One irregularity of a call's audio.

    Attributes:
        position: samples per channel received before it.
        position_uncertainty: samples after ``position`` within which it may lie instead.
        length: seconds; of a hole or pause what is missing, of a burst how late the audio was.
        resolution: seconds to which ``length`` is known.
        missing: samples per channel that the recording lacks; negative where a burst brought what had been given up.
        at_least: whether ``length`` is only the least that it can have been.
    """

    kind: GapKind
    position: int
    length: float
    resolution: float
    missing: int = 0
    position_uncertainty: int = 0
    at_least: bool = False


class GapLedger:
    """
    Keep the gaps of one call.

    Args:
        audio_format: of the audio received.
        started_at: time of the opening handshake; audio captured before it arrives as a burst.
    """

    def __init__(self, audio_format: AudioFormat, started_at: float) -> None:
        self._format = audio_format
        self._byte_rate = audio_format.byte_rate
        self._started_at = started_at
        self._sizes = MessageSizes()
        self._bytes = 0
        self._bytes_checked = 0
        self._checked_at = started_at
        self._interval = 0.0  # between the last two checks
        self._origin = started_at
        self._first_check = (started_at, 0)  # time and bytes
        self._late = 0.0
        self._ripple = 0.0  # how late audio is on average that is in time
        self._in_time = 0  # position
        self._stall: Stall | None = None
        self._rush: EarlyAudio | None = None
        self._drift = ClockDrift()
        self._missing = {GapKind.HOLE: 0, GapKind.PAUSE: 0}
        self._may_come = {GapKind.HOLE: 0, GapKind.PAUSE: 0}
        self._expects_end = False
        self._unheard: UncapturedAudio | None = None
        self._told = 0
        self.gaps: list[Gap] = []

    @property
    def samples(self) -> int:
        """Samples per channel received so far."""
        return self._bytes // self._format.frame_bytes

    @property
    def stalled(self) -> bool:
        """Whether audio is late at the moment, so that it isn't known yet what is missing."""
        return self._stall is not None

    @property
    def lost_samples(self) -> int:
        """Samples per channel that jambonz threw away."""
        return self._missing[GapKind.HOLE]

    @property
    def paused_samples(self) -> int:
        """Samples per channel that were never sent."""
        return self._missing[GapKind.PAUSE]

    @property
    def resolution(self) -> float:
        """Seconds to which a length can be known: one ordinary message, or how unevenly they come."""
        return max((self._sizes.usual or self._sizes.previous) / self._byte_rate, 2 * self._ripple)

    def clock_drift(self) -> float | None:
        """How much slower than ours the sender's clock is, as a ratio; None before it can be told."""
        return self._drift.ratio

    def change_format(self, audio_format: AudioFormat) -> None:
        """Read all bytes so far as ``audio_format``, because the metadata came late; what was found was wrong."""
        self._format = audio_format
        self._byte_rate = audio_format.byte_rate
        first_at, first_bytes = self._first_check
        self._origin = first_at - first_bytes / self._byte_rate
        self._stall = self._rush = None
        self._sizes.slip = self._sizes.backlog = -1
        self._missing = dict.fromkeys(self._missing, 0)
        self._may_come = dict.fromkeys(self._may_come, 0)
        self._drift.distrust(first_at)
        self.gaps.clear()
        self._told = 0

    def add_messages(self, message_bytes: int, messages: int = 1) -> None:
        """Count binary messages of ``message_bytes`` bytes each; ``find_gaps`` follows when the read is done."""
        if message_bytes != self._sizes.usual and message_bytes:
            knew = self._sizes.usual
            self._sizes.add_messages(message_bytes, messages, self._bytes)
            if not knew and self._sizes.first_lacks_head:
                # The handshake took longer than jambonz's buffer holds (protocol.md 13).
                self._miss(GapKind.HOLE, 0, SMALLEST_BUFFER, at_least=True)
        self._bytes += message_bytes * messages

    def expect_end(self) -> None:
        """Take notice that jambonz shuts down: if nothing more comes, nothing is missing."""
        self._expects_end = True

    def add_uncaptured(self, samples: int | None) -> None:
        """
        Take notice that audio came that isn't told: what comes next isn't late by that, and becomes the new measure.

        Args:
            samples: per channel, None where it isn't known how many; then the time tells it.
        """
        self._unheard = UncapturedAudio(self._bytes, samples).after_all(self._unheard)
        stall = self._stall
        # What is missing before audio that came again isn't what is missing here.
        if stall is not None and self._checked_samples > stall.position:
            late = stall.least_missing(self._late, self._interval)
            if late > LATE:
                self._settle(stall, late, self._checked_at)
        self._stall = self._rush = None

    def find_gaps(self, at: float) -> Sequence[Gap]:
        """Hold what has been added against the time by which it had arrived; return the gaps known since."""
        if not self._bytes or (self._expects_end and self._bytes == self._bytes_checked):
            return ()
        elapsed = at - self._checked_at
        if self._unheard and self._bytes == self._bytes_checked:
            return ()
        self._interval = elapsed or self._interval
        if self._unheard and self._bytes > self._unheard.after:
            self._go_on(self._unheard, at)
        elif not self._bytes_checked:
            self._begin(at)
        else:
            self._weigh(at - self._origin - self._bytes / self._byte_rate, at, elapsed)
        self._bytes_checked = self._bytes
        self._checked_at = at
        return self._tell()

    def add_audio_run(self, before: float, times: Sequence[float], message_bytes: int, *, longest: float) -> int:
        """
        Do what ``find_gaps`` and ``add_messages`` do for one message after another, as long as all is in time.

        Args:
            before: time of what was added last.
            longest: seconds between two messages from which on more has to be looked at.

        Returns:
            How many messages were taken; all that the next one brings is still to be done.
        """
        if self._stall is not None or self._unheard is not None or self._expects_end or not self._bytes_checked:
            return 0
        if message_bytes != self._sizes.usual or self._told < len(self.gaps):
            return 0
        for taken, at in enumerate(times):
            if at != before:
                late = before - self._origin - self._bytes / self._byte_rate
                rush = self._rush
                if late > LATE or not 0 < at - before < longest or (rush and before - rush.since >= WINDOW):
                    return taken
                elapsed = before - self._checked_at
                self._interval = elapsed or self._interval
                self._weigh(late, before, elapsed)
                self._bytes_checked, self._checked_at, before = self._bytes, before, at
            self._bytes += message_bytes
        return len(times)

    def end_call(self, at: float | None) -> Sequence[Gap]:
        """Return the gaps that the end of the call settles; ``at`` is None where nobody knows when that was."""
        gaps = [] if at is None else list(self.find_gaps(at))
        at = self._checked_at if at is None else at
        if self._stall is not None:
            missing = self._stall.least_missing(self._late, self._interval)
            if missing > LATE:
                self._settle(self._stall, missing, at, at_least=True)
        if self._rush is not None:
            self._end_rush(self._rush, at)
        return [*gaps, *self._tell()]

    def _tell(self) -> Sequence[Gap]:
        if self._told == len(self.gaps):
            return ()
        told, self._told = self._told, len(self.gaps)
        return self.gaps[told:]

    def _begin(self, at: float) -> None:
        """Set the origin by the first audio: it was captured before it was sent."""
        self._first_check = (at, self._bytes)
        self._origin = at - self._bytes / self._byte_rate
        self._drift.distrust(at)
        delay = self._origin - self._started_at
        if delay > LATE_START:
            self.gaps.append(Gap(GapKind.LATE_START, 0, delay, self.resolution))
        elif delay < -SHORTEST_BURST:
            # More may follow at once, for example when resampled (protocol.md 13).
            self._rush = EarlyAudio(0, at, early=-delay)

    def _go_on(self, unheard: UncapturedAudio, at: float) -> None:
        """Set the origin anew by the first audio after some that we don't have."""
        self._unheard = self._stall = self._rush = None
        late = at - self._origin - self._bytes / self._byte_rate
        self._origin += late
        self._late = 0.0
        self._drift.distrust(at)
        seconds = max(0.0, late) if unheard.samples is None else self._format.duration(unheard.samples)
        if missing := self._whole_frames(seconds):
            position, length = unheard.after // self._format.frame_bytes, self._format.duration(missing)
            self.gaps.append(Gap(GapKind.UNCAPTURED, position, length, self.resolution, missing))

    def _weigh(self, late: float, at: float, elapsed: float) -> None:
        if late < 0:
            self._get_ahead(late, at)
        elif self._stall is not None:
            self._follow_stall(self._stall, late, at)
        elif late > LATE:
            self._begin_stall(late, at)
        else:
            self._keep_time(late, elapsed)
        if self._rush is not None and at - self._rush.since >= WINDOW:
            self._follow_rush(self._rush, at)
        self._drift.watch(elapsed, at)
        self._late = max(0.0, late)

    def _keep_time(self, late: float, elapsed: float) -> None:
        """Let the origin follow a slow clock, but no faster than clocks drift."""
        step = min(late, FASTEST_DRIFT * elapsed)
        self._origin += step
        self._drift.shift(step, self._checked_at)
        self._ripple += (late - self._ripple) / RIPPLE_MEMORY
        if late <= STEADY:
            self._in_time = self.samples

    def _get_ahead(self, late: float, at: float) -> None:
        """Audio came earlier than any before: less jitter, a faster clock, or what had been given up."""
        if self._stall is not None:
            self._end_as_burst(self._stall)
        self._origin += late
        if self._rush is None:
            self._rush = EarlyAudio(self._checked_samples, at)
        self._rush.early -= late

    def _follow_rush(self, rush: EarlyAudio, at: float) -> None:
        if rush.early >= LATE:
            rush.length += rush.early
            rush.early, rush.since = 0.0, at
        else:
            self._end_rush(rush, at)

    def _end_rush(self, rush: EarlyAudio, at: float) -> None:
        self._rush = None
        length = rush.length + rush.early
        if length < LATE:
            self._drift.shift(-length, self._checked_at)
            return
        missing = -self._recover(length)
        self._drift.distrust(at)
        if missing or length >= SHORTEST_BURST:
            self.gaps.append(Gap(GapKind.BURST, rush.position, length, self.resolution, missing))

    def _recover(self, seconds: float) -> int:
        """Take back what had been given up and has come after all; return how many samples."""
        given_up = sum(self._may_come.values())
        recovered = min(given_up, self._whole_frames(seconds))
        if self._format.duration(given_up - recovered) <= self.resolution:
            recovered = given_up
        left = recovered
        for kind, samples in self._may_come.items():
            taken = min(samples, left)
            self._may_come[kind] -= taken
            self._missing[kind] -= taken
            left -= taken
        return recovered

    def _begin_stall(self, late: float, at: float) -> None:
        fresh = self._bytes - self._bytes_checked
        # One message that came late says where the stall was; of several it can have been any.
        uncertain = fresh if fresh > self._sizes.usual else 0
        self._stall = Stall(
            position=self._checked_samples,
            uncertainty=uncertain // self._format.frame_bytes,
            window_from=at,
            latest=late,
            lowest=late,
            low=late,
            sudden=late - self._late > STEADY,
            dry=not fresh,
        )

    def _follow_stall(self, stall: Stall, late: float, at: float) -> None:
        if late <= LATE:
            self._end_as_burst(stall)
            return
        # Between two frames there is nothing to read either.
        if self._bytes == self._bytes_checked and late - self._late > STEADY:
            stall.run_dry(self.samples)
        stall.follow(late, self.samples)
        if stall.is_over(at):
            self._settle(stall, stall.low, at)

    def _end_as_burst(self, stall: Stall) -> None:
        self._stall = None
        if stall.latest >= SHORTEST_BURST:
            # It grew later than was seen, until shortly before it came.
            resolution = max(self.resolution, self._interval)
            self.gaps.append(
                Gap(GapKind.BURST, stall.position, stall.latest, resolution, position_uncertainty=stall.uncertainty)
            )

    def _settle(self, stall: Stall, late: float, at: float, *, at_least: bool = False) -> None:
        """Give up what hasn't come: it was lost, or never sent."""
        self._stall = None
        self._origin += late
        self._drift.distrust(at)
        kind, position, uncertainty = self._explain(stall)
        missing = self._miss(kind, position, late, uncertainty=uncertainty, at_least=at_least)
        if self._sizes.slip < position * self._format.frame_bytes:  # A short message says for sure that it won't.
            self._may_come[kind] += missing

    def _explain(self, stall: Stall) -> tuple[GapKind, int, int]:
        """Return the kind of gap that a stall has turned out to be, its position, and how uncertain that is."""
        start = stall.position * self._format.frame_bytes
        if self._sizes.slip >= start:
            return GapKind.HOLE, self._sizes.slip // self._format.frame_bytes, 0
        if stall.caught_up or self._sizes.backlog >= start:
            return GapKind.HOLE, stall.position, max(stall.uncertainty, stall.caught_up_until - stall.position)
        if not stall.sudden:
            return GapKind.HOLE, self._in_time, stall.position + stall.uncertainty - self._in_time
        return GapKind.PAUSE, stall.position, stall.uncertainty

    def _miss(
        self, kind: GapKind, position: int, seconds: float, *, uncertainty: int = 0, at_least: bool = False
    ) -> int:
        missing = self._whole_frames(seconds)
        self._missing[kind] += missing
        resolution = max(self.resolution, self._interval) if at_least else self.resolution
        length = self._format.duration(missing)
        self.gaps.append(Gap(kind, position, length, resolution, missing, uncertainty, at_least))
        return missing

    def _whole_frames(self, seconds: float) -> int:
        # Frames are lost whole; the rest of the measured length is jitter.
        frame = max(1, self._sizes.usual // self._format.frame_bytes)
        return round(seconds * self._format.sample_rate / frame) * frame

    @property
    def _checked_samples(self) -> int:
        return self._bytes_checked // self._format.frame_bytes
