"""
The gap ledger: compares audio time with arrival time, because jambonz drops seconds of audio without notice.

Audio flows at its sample rate, so the time at which all audio so far *should* have begun, its *origin*, stays the same.
Lateness moves the origin for a moment and lost audio for good; two different clocks move it by less than a millisecond
a second. The ledger gets every message and, once per read, the time by which all of them had arrived; it finds ``Gap``s
(listenctl-protocol(7) 3.3, 13). ``loss_thresholds`` says when audio counts as late or lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.lateness import ClockDrift, EarlyAudio, Stall, UncapturedAudio
from listenctl.protocol.gaps.loss_thresholds import (
    LATE_AFTER,
    LATE_START_AFTER,
    LOST_AFTER,
    SHORTEST_BURST,
    SMALLEST_JAMBONZ_BUFFER,
    STEADY_WITHIN,
)
from listenctl.protocol.gaps.message_sizes import MessageSizes

# Sound cards and servers differ by up to some hundred ppm; lost audio comes in steps.
FASTEST_DRIFT = 0.001
RIPPLE_CHECKS = 16


class GapKind(StrEnum):
    HOLE = "hole"  # jambonz threw audio away
    PAUSE = "pause"  # jambonz sent nothing, and nothing held back arrived later
    BURST = "burst"  # audio arrived late and all at once; nothing is missing
    LATE_START = "late-start"  # the first audio arrived long after the connection
    UNCAPTURED = "uncaptured"  # audio arrived but was not captured


@dataclass(frozen=True, slots=True)
class Gap:
    """One irregularity of a call's audio."""

    kind: GapKind
    position: int  # samples per channel received before it
    length: float  # seconds missing, or how late the audio of a burst was
    resolution: float  # accuracy of ``length`` in seconds
    missing: int = 0
    """Samples per channel that the recording lacks; negative where a burst brought audio that was counted."""
    position_uncertainty: int = 0  # samples after ``position`` within which it may lie instead
    at_least: bool = False  # whether ``length`` is only a lower bound


class GapLedger:
    """Keep the gaps of one call."""

    def __init__(self, audio_format: AudioFormat, started_at: float) -> None:
        self._format = audio_format
        self._byte_rate = audio_format.byte_rate
        self._started_at = started_at  # time of the opening handshake; audio captured before it arrives as a burst
        self._sizes = MessageSizes()
        self._bytes = 0
        self._bytes_checked = 0
        self._checked_at = started_at
        self._interval = 0.0  # between the last two checks
        self._origin = started_at
        self._first_check = (started_at, 0)  # time and bytes
        self._late = 0.0
        self._ripple = 0.0  # average lateness of audio that is in time
        self._in_time = 0  # position
        self._stall: Stall | None = None
        self._early_audio: EarlyAudio | None = None
        self._drift = ClockDrift()
        self._missing = {GapKind.HOLE: 0, GapKind.PAUSE: 0}
        self._may_arrive = {GapKind.HOLE: 0, GapKind.PAUSE: 0}
        self._expects_end = False
        self._uncaptured: UncapturedAudio | None = None
        self._reported = 0
        self.gaps: list[Gap] = []

    @property
    def samples(self) -> int:
        return self._bytes // self._format.frame_bytes

    @property
    def stalled(self) -> bool:
        """Whether audio is late now, so that it isn't known yet what is missing."""
        return self._stall is not None

    @property
    def lost_samples(self) -> int:
        """Samples per channel that jambonz threw away."""
        return self._missing[GapKind.HOLE]

    @property
    def paused_samples(self) -> int:
        return self._missing[GapKind.PAUSE]

    @property
    def resolution(self) -> float:
        """Accuracy of a gap's length in seconds: one usual message, or the unevenness of their arrival."""
        return max((self._sizes.usual or self._sizes.previous) / self._byte_rate, 2 * self._ripple)

    def clock_drift(self) -> float | None:
        """Return how much slower the sender's clock is than ours, as a ratio; None until it is known."""
        return self._drift.ratio

    def change_format(self, audio_format: AudioFormat) -> None:
        """Read all bytes so far as ``audio_format`` because the metadata arrived late; the gaps so far were wrong."""
        self._format = audio_format
        self._byte_rate = audio_format.byte_rate
        first_at, first_bytes = self._first_check
        self._origin = first_at - first_bytes / self._byte_rate
        self._stall = self._early_audio = None
        self._sizes.slip = self._sizes.backlog = -1
        self._missing = dict.fromkeys(self._missing, 0)
        self._may_arrive = dict.fromkeys(self._may_arrive, 0)
        self._drift.ignore_shifts(first_at)
        self.gaps.clear()
        self._reported = 0

    def add_messages(self, message_bytes: int, messages: int = 1) -> None:
        """Add binary messages of ``message_bytes`` bytes each; call ``find_gaps`` at the end of the read."""
        if message_bytes != self._sizes.usual and message_bytes:
            knew = self._sizes.usual
            self._sizes.add_messages(message_bytes, messages, self._bytes)
            if not knew and self._sizes.first_lacks_head:
                # The handshake took longer than jambonz's buffer holds (listenctl-protocol(7) 13).
                self._add_missing(GapKind.HOLE, 0, SMALLEST_JAMBONZ_BUFFER, at_least=True)
        self._bytes += message_bytes * messages

    def expect_end(self) -> None:
        """Record that jambonz is shutting down: if nothing more arrives, nothing is missing."""
        self._expects_end = True

    def add_uncaptured(self, samples: int | None) -> None:
        """Record ``samples`` (None: unknown) that arrived but were not captured; what comes next sets a new origin."""
        self._uncaptured = UncapturedAudio(self._bytes, samples).joined_to(self._uncaptured)
        stall = self._stall
        # Audio that was missing before more audio arrived is a separate gap.
        if stall is not None and self._checked_samples > stall.position:
            late = stall.least_missing(self._late, self._interval)
            if late > LATE_AFTER:
                self._count_missing(stall, late, self._checked_at)
        self._stall = self._early_audio = None

    def find_gaps(self, at: float) -> Sequence[Gap]:
        """Return the new gaps, given that everything added had arrived by ``at``."""
        if not self._bytes or (self._expects_end and self._bytes == self._bytes_checked):
            return ()
        elapsed = at - self._checked_at
        if self._uncaptured and self._bytes == self._bytes_checked:
            return ()
        self._interval = elapsed or self._interval
        if self._uncaptured and self._bytes > self._uncaptured.after:
            self._resume(self._uncaptured, at)
        elif not self._bytes_checked:
            self._start(at)
        else:
            self._take_lateness(at - self._origin - self._bytes / self._byte_rate, at, elapsed)
        self._bytes_checked = self._bytes
        self._checked_at = at
        return self._new_gaps()

    def add_audio_run(self, before: float, times: Sequence[float], message_bytes: int, *, longest: float) -> int:
        """Do ``find_gaps`` and ``add_messages`` for each message while all are in time; return for how many."""
        if self._stall is not None or self._uncaptured is not None or self._expects_end or not self._bytes_checked:
            return 0
        if message_bytes != self._sizes.usual or self._reported < len(self.gaps):
            return 0
        for taken, at in enumerate(times):
            if at != before:
                late = before - self._origin - self._bytes / self._byte_rate
                early = self._early_audio
                if late > LATE_AFTER or not 0 < at - before < longest:
                    return taken
                if early and before - early.window_from >= LOST_AFTER:
                    return taken
                elapsed = before - self._checked_at
                self._interval = elapsed or self._interval
                self._take_lateness(late, before, elapsed)
                self._bytes_checked, self._checked_at, before = self._bytes, before, at
            self._bytes += message_bytes
        return len(times)

    def end_call(self, at: float | None) -> Sequence[Gap]:
        """Return the gaps that the end of the call decides; ``at`` is None if nobody knows when it ended."""
        gaps = [] if at is None else list(self.find_gaps(at))
        at = self._checked_at if at is None else at
        if self._stall is not None:
            missing = self._stall.least_missing(self._late, self._interval)
            if missing > LATE_AFTER:
                self._count_missing(self._stall, missing, at, at_least=True)
        if self._early_audio is not None:
            self._end_early_audio(self._early_audio, at)
        return [*gaps, *self._new_gaps()]

    def _new_gaps(self) -> Sequence[Gap]:
        if self._reported == len(self.gaps):
            return ()
        reported, self._reported = self._reported, len(self.gaps)
        return self.gaps[reported:]

    def _start(self, at: float) -> None:
        """Set the origin by the first audio, which was captured before it was sent."""
        self._first_check = (at, self._bytes)
        self._origin = at - self._bytes / self._byte_rate
        self._drift.ignore_shifts(at)
        delay = self._origin - self._started_at
        if delay > LATE_START_AFTER:
            self.gaps.append(Gap(GapKind.LATE_START, 0, delay, self.resolution))
        elif delay < -SHORTEST_BURST:
            # More may follow at once, for example when resampled (listenctl-protocol(7) 13).
            self._early_audio = EarlyAudio(0, at, seconds=-delay)

    def _resume(self, uncaptured: UncapturedAudio, at: float) -> None:
        """Set the origin again by the first audio after uncaptured audio."""
        self._uncaptured = self._stall = self._early_audio = None
        late = at - self._origin - self._bytes / self._byte_rate
        self._origin += late
        self._late = 0.0
        self._drift.ignore_shifts(at)
        seconds = max(0.0, late) if uncaptured.samples is None else self._format.duration_of(uncaptured.samples)
        if missing := self._whole_frames(seconds):
            position, length = uncaptured.after // self._format.frame_bytes, self._format.duration_of(missing)
            self.gaps.append(Gap(GapKind.UNCAPTURED, position, length, self.resolution, missing))

    def _take_lateness(self, late: float, at: float, elapsed: float) -> None:
        if late < 0:
            self._take_early_audio(late, at)
        elif self._stall is not None:
            self._follow_stall(self._stall, late, at)
        elif late > LATE_AFTER:
            self._begin_stall(late, at)
        else:
            self._keep_time(late, elapsed)
        if self._early_audio is not None and at - self._early_audio.window_from >= LOST_AFTER:
            self._follow_early_audio(self._early_audio, at)
        self._drift.add_observed(elapsed, at)
        self._late = max(0.0, late)

    def _keep_time(self, late: float, elapsed: float) -> None:
        """Move the origin with a slow clock, but no faster than clocks drift."""
        step = min(late, FASTEST_DRIFT * elapsed)
        self._origin += step
        self._drift.add_shift(step, self._checked_at)
        self._ripple += (late - self._ripple) / RIPPLE_CHECKS
        if late <= STEADY_WITHIN:
            self._in_time = self.samples

    def _take_early_audio(self, late: float, at: float) -> None:
        """Handle audio earlier than any before: less jitter, a faster clock, or audio that counted as lost."""
        if self._stall is not None:
            self._end_stall_as_burst(self._stall)
        self._origin += late
        if self._early_audio is None:
            self._early_audio = EarlyAudio(self._checked_samples, at)
        self._early_audio.seconds -= late

    def _follow_early_audio(self, early: EarlyAudio, at: float) -> None:
        if early.seconds >= LATE_AFTER:
            early.seconds_before += early.seconds
            early.seconds, early.window_from = 0.0, at
        else:
            self._end_early_audio(early, at)

    def _end_early_audio(self, early: EarlyAudio, at: float) -> None:
        self._early_audio = None
        length = early.seconds_before + early.seconds
        if length < LATE_AFTER:
            self._drift.add_shift(-length, self._checked_at)
            return
        missing = -self._uncount(length)
        self._drift.ignore_shifts(at)
        if missing or length >= SHORTEST_BURST:
            self.gaps.append(Gap(GapKind.BURST, early.position, length, self.resolution, missing))

    def _uncount(self, seconds: float) -> int:
        counted = sum(self._may_arrive.values())
        arrived = min(counted, self._whole_frames(seconds))
        if self._format.duration_of(counted - arrived) <= self.resolution:
            arrived = counted
        left = arrived
        for kind, samples in self._may_arrive.items():
            taken = min(samples, left)
            self._may_arrive[kind] -= taken
            self._missing[kind] -= taken
            left -= taken
        return arrived

    def _begin_stall(self, late: float, at: float) -> None:
        fresh = self._bytes - self._bytes_checked
        # A single late message shows where the stall was; of several, any may have been late.
        uncertain = fresh if fresh > self._sizes.usual else 0
        self._stall = Stall(
            position=self._checked_samples,
            uncertainty=uncertain // self._format.frame_bytes,
            window_from=at,
            latest=late,
            lowest=late,
            low=late,
            sudden=late - self._late > STEADY_WITHIN,
            dry=not fresh,
        )

    def _follow_stall(self, stall: Stall, late: float, at: float) -> None:
        if late <= LATE_AFTER:
            self._end_stall_as_burst(stall)
            return
        # A stall begins where nothing arrives; between two frames nothing arrives either.
        if self._bytes == self._bytes_checked and late - self._late > STEADY_WITHIN:
            stall.begin_at(self.samples)
        stall.add_lateness(late, self.samples)
        if stall.is_settled(at):
            self._count_missing(stall, stall.low, at)

    def _end_stall_as_burst(self, stall: Stall) -> None:
        self._stall = None
        if stall.latest >= SHORTEST_BURST:
            # The audio grew later than was observed, until shortly before it arrived.
            resolution = max(self.resolution, self._interval)
            self.gaps.append(
                Gap(GapKind.BURST, stall.position, stall.latest, resolution, position_uncertainty=stall.uncertainty)
            )

    def _count_missing(self, stall: Stall, late: float, at: float, *, at_least: bool = False) -> None:
        self._stall = None
        self._origin += late
        self._drift.ignore_shifts(at)
        kind, position, uncertainty = self._classify(stall)
        missing = self._add_missing(kind, position, late, uncertainty=uncertainty, at_least=at_least)
        if self._sizes.slip < position * self._format.frame_bytes:  # A short message proves that it is lost.
            self._may_arrive[kind] += missing

    def _classify(self, stall: Stall) -> tuple[GapKind, int, int]:
        start = stall.position * self._format.frame_bytes
        if self._sizes.slip >= start:
            return GapKind.HOLE, self._sizes.slip // self._format.frame_bytes, 0
        if stall.caught_up or self._sizes.backlog >= start:
            return GapKind.HOLE, stall.position, max(stall.uncertainty, stall.caught_up_until - stall.position)
        if not stall.sudden:
            return GapKind.HOLE, self._in_time, stall.position + stall.uncertainty - self._in_time
        return GapKind.PAUSE, stall.position, stall.uncertainty

    def _add_missing(
        self, kind: GapKind, position: int, seconds: float, *, uncertainty: int = 0, at_least: bool = False
    ) -> int:
        missing = self._whole_frames(seconds)
        self._missing[kind] += missing
        resolution = max(self.resolution, self._interval) if at_least else self.resolution
        length = self._format.duration_of(missing)
        self.gaps.append(Gap(kind, position, length, resolution, missing, uncertainty, at_least))
        return missing

    def _whole_frames(self, seconds: float) -> int:
        # Whole frames are lost; the rest of the measured length is jitter.
        frame = max(1, self._sizes.usual // self._format.frame_bytes)
        return round(seconds * self._format.sample_rate / frame) * frame

    @property
    def _checked_samples(self) -> int:
        return self._bytes_checked // self._format.frame_bytes
