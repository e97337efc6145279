"""
The gap ledger: compares audio time with arrival time, because jambonz drops seconds of audio without notice.

Audio flows at its sample rate, so the time at which all audio so far *should* have begun, its *origin*, stays the same.
Lateness moves the origin for a moment and lost audio for good; two different clocks move it by less than a millisecond
a second. The ledger gets every message and, once per read, the time by which all of them had arrived; it finds ``Gap``s
(listenctl-protocol(7) 3.3, 13). ``loss_thresholds`` says when audio counts as late or lost.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import MISSING, Gap, GapKind
from listenctl.protocol.gaps.lateness import ClockDrift, EarlyAudio, Stall, UncapturedAudio
from listenctl.protocol.gaps.loss_thresholds import (
    BIT_BY_BIT,
    LATE_AFTER,
    LATE_START_AFTER,
    LONGEST_END,
    LOST_AFTER,
    SHORTEST_BURST,
    SMALLEST_JAMBONZ_BUFFER,
    STEADY_WITHIN,
)
from listenctl.protocol.gaps.measured_rate import RateMeter
from listenctl.protocol.gaps.message_sizes import MessageSizes

# Sound cards and servers differ by up to some hundred ppm; lost audio comes in steps.
FASTEST_DRIFT = 0.001
RIPPLE_CHECKS = 16
# Stalls that follow each other this often are decided without waiting for what follows.
MOST_STALLS = 8


class GapLedger:
    """
    Keep the gaps of one call.

    Only audio shows how late audio is. That nothing arrived by some time says where a stall begins, and when audio
    arrived; how often it is said changes nothing.
    """

    def __init__(self, audio_format: AudioFormat, started_at: float) -> None:
        self._format = audio_format
        self._byte_rate, self._frame_bytes = audio_format.byte_rate, audio_format.frame_bytes
        self._started_at = started_at  # time of the opening handshake; audio captured before it arrives as a burst
        self._sizes = MessageSizes()
        self._bytes = 0
        self._bytes_checked = 0
        self._checked_at = started_at  # when audio was last seen
        self._quiet_until = started_at  # nothing arrived after ``_checked_at`` until then
        self._interval = 0.0  # seconds within which the last audio arrived
        self._origin = started_at
        self._first_check = (started_at, 0)  # time and bytes
        self._late = 0.0
        self._ripple = 0.0  # average lateness of audio that is in time
        self._in_time = 0  # position
        self._in_time_at = started_at
        self._stalls: list[Stall] = []  # the outermost first; each began while the one before was undecided
        self.unobserved = 0.0
        """Seconds since the last audio in which we didn't read."""
        self._early_audio: EarlyAudio | None = None
        self._drift = ClockDrift()
        self._rate_meter = RateMeter(audio_format)
        self._missing = dict.fromkeys(MISSING, 0)
        self._may_arrive = dict(self._missing)
        self._expects_end = False
        self._uncaptured: UncapturedAudio | None = None
        self._reported = 0
        self.measured_rate: int | None = None
        """The sample rate at which the audio really arrives, once it is certain that it isn't the stated one."""
        self.gaps: list[Gap] = []

    @property
    def samples(self) -> int:
        return self._bytes // self._frame_bytes

    @property
    def stalled(self) -> bool:
        """Whether audio is late now, so that it isn't known yet what is missing."""
        if self._stalls:
            return True
        return self._bytes_checked > 0 and not self._expects_end and self._lateness(self._quiet_until) > LATE_AFTER

    @property
    def lost_samples(self) -> int:
        """Samples per channel that were thrown away, by jambonz or by us, or may have been lost."""
        return sum(self._missing.values()) - self.paused_samples

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
        self._rate_meter, self.measured_rate = RateMeter(audio_format), None
        self._read_as(audio_format)
        first_at, first_bytes = self._first_check
        self._origin = first_at - first_bytes / self._byte_rate
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

    def add_unobserved(self, seconds: float) -> None:
        """Record that we didn't read for ``seconds``: what is missing after that may have been sent."""
        self.unobserved += seconds
        self._rate_meter.restart()

    def add_refused(self, audio_bytes: int) -> None:
        """Record the audio of a last message that we don't take; a cut frame of the usual size is no loss."""
        if audio_bytes > self._sizes.usual and (missing := self._format.samples_in(audio_bytes)):
            self._missing[GapKind.REFUSED] += missing
            length = self._format.duration_of(missing)
            self.gaps.append(Gap(GapKind.REFUSED, self.samples, length, 0.0, missing))

    def expect_end(self) -> None:
        """Record that jambonz is shutting down: if nothing more arrives, nothing is missing."""
        self._expects_end = True

    def add_uncaptured(self, samples: int | None) -> None:
        """Record ``samples`` (None: unknown) that arrived but were not captured; what comes next sets a new origin."""
        self._uncaptured = UncapturedAudio(self._bytes, samples).joined_to(self._uncaptured)
        # Audio that was missing before more audio arrived is a separate gap.
        if self._stalls and self._checked_samples > self._stalls[-1].position:
            self._settle_stalls(self._checked_at)
        self._stalls.clear()
        self._early_audio = None

    def find_gaps(self, at: float) -> Sequence[Gap]:
        """Return the new gaps, given that everything added had arrived by ``at``."""
        fresh = self._bytes > self._bytes_checked
        if not self._bytes or (self._expects_end and not fresh):
            return ()
        if self._early_audio is not None:
            self._pass_early_windows(self._early_audio, at)
        if fresh:
            self._check_audio(at)
        else:
            self._quiet_until = at
        return self._new_gaps() if self._reported < len(self.gaps) else ()

    def _check_audio(self, at: float) -> None:
        self._interval = at - self._quiet_until
        if self._uncaptured and self._bytes > self._uncaptured.after:
            self._resume(self._uncaptured, at)
        elif not self._bytes_checked:
            self._start(at)
        else:
            if (silence := self._silence()) > LATE_AFTER:
                self._begin_silence(silence)
            self._take_lateness(self._lateness(at), at)
        self._bytes_checked = self._bytes
        self._checked_at = self._quiet_until = at
        self.unobserved = 0.0

    def add_audio_run(self, before: float, times: Sequence[float], message_bytes: int) -> int:
        """Do ``find_gaps`` and ``add_messages`` for each message while all are in time; return for how many."""
        if self._stalls or self._uncaptured is not None or self._expects_end or not self._bytes_checked:
            return 0
        if message_bytes != self._sizes.usual or self._reported < len(self.gaps):
            return 0
        if self._silence() > LATE_AFTER:
            return 0
        rate, frame = self.measured_rate, message_bytes / self._byte_rate
        for taken, at in enumerate(times):
            if at != before:
                late = before - self._origin - self._bytes / self._byte_rate
                early = self._early_audio
                # Neither this audio is late nor would the next be.
                if not 0 < at - before <= LATE_AFTER - late + frame or late > LATE_AFTER:
                    return taken
                if early and at - early.window_from >= LOST_AFTER:
                    return taken
                if self._bytes > self._bytes_checked:
                    self._interval = before - self._quiet_until
                    self._take_lateness(late, before)
                    self._bytes_checked, self._checked_at = self._bytes, before
                    self.unobserved = 0.0
                    if self.measured_rate != rate:
                        return taken
                self._quiet_until = before = at
            self._bytes += message_bytes
        return len(times)

    def end_call(self, at: float | None) -> Sequence[Gap]:
        """Return the gaps that the end of the call decides; ``at`` is None if nobody knows when it ended."""
        # The call ended at an unknown time between the last two looks at it.
        silent_until = self._quiet_until
        gaps = [] if at is None else list(self.find_gaps(at))
        if not self._bytes_checked:
            return [*gaps, *self._new_gaps()]
        if self._checked_at in (at, silent_until):
            silent_until = self._checked_at - self._interval
        if self._early_audio is not None:
            self._end_early_audio(self._early_audio)
        if self.measured_rate is None and (rate := self._rate_meter.measured_at_the_end()):
            self._take_rate(rate)
        elif not self._expects_end:
            self._end_stalls(silent_until)
        return [*gaps, *self._new_gaps()]

    def _new_gaps(self) -> Sequence[Gap]:
        reported, self._reported = self._reported, len(self.gaps)
        return self.gaps[reported:]

    def _lateness(self, at: float) -> float:
        """Return how late audio is if no more than now is there at ``at``."""
        return at - self._origin - self._bytes / self._byte_rate

    def _silence(self) -> float:
        """Return how late the first audio since the last check is at least: nothing had arrived by then."""
        return self._quiet_until - self._origin - (self._bytes_checked + self._sizes.usual) / self._byte_rate

    def _start(self, at: float) -> None:
        """Set the origin by the first audio, which was captured before it was sent."""
        self._first_check = (at, self._bytes)
        self._in_time_at = at
        self._origin = at - self._bytes / self._byte_rate
        self._drift.ignore_shifts(at)
        self._rate_meter.measure(at, self._bytes)
        delay = self._origin - self._started_at
        if delay > LATE_START_AFTER:
            self.gaps.append(Gap(GapKind.LATE_START, 0, delay, self.resolution))
        elif delay < -SHORTEST_BURST:
            # More may follow at once, for example when resampled (listenctl-protocol(7) 13).
            self._early_audio = EarlyAudio(0, at, seconds=-delay)

    def _resume(self, uncaptured: UncapturedAudio, at: float) -> None:
        """Set the origin again by the first audio after uncaptured audio."""
        self._uncaptured = self._early_audio = None
        self._stalls.clear()
        late = self._lateness(at)
        self._origin += late
        self._late = 0.0
        self._drift.ignore_shifts(at)
        seconds = max(0.0, late) if uncaptured.samples is None else self._format.duration_of(uncaptured.samples)
        if missing := self._whole_frames(seconds):
            position, length = uncaptured.after // self._frame_bytes, self._format.duration_of(missing)
            self.gaps.append(Gap(GapKind.UNCAPTURED, position, length, self.resolution, missing))

    def _take_lateness(self, late: float, at: float) -> None:
        elapsed = at - self._checked_at
        if late < 0:
            self._take_early_audio(late, at)
        elif self._stalls:
            self._follow_stalls(late, at)
        elif late > LATE_AFTER:
            self._begin_stall(late, at)
        else:
            self._keep_time(late, elapsed, at)
        self._drift.add_observed(elapsed, at)
        if at >= self._rate_meter.due and (rate := self._rate_meter.measure(at, self._bytes)):
            self._take_rate(rate)
        self._late = max(0.0, self._lateness(at))

    def _take_rate(self, rate: int) -> None:
        """Count all audio so far at the rate at which it arrived: it was neither early nor late."""
        self.measured_rate = rate
        self._read_as(replace(self._format, sample_rate=rate))
        self._origin = self._checked_at - self._bytes_checked / self._byte_rate
        self._drift.ignore_shifts(self._checked_at)

    def _read_as(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._byte_rate, self._frame_bytes = audio_format.byte_rate, audio_format.frame_bytes
        self._stalls.clear()
        self._early_audio = None
        self._sizes.slips.clear()
        self._sizes.backlogs.clear()

    def _keep_time(self, late: float, elapsed: float, at: float) -> None:
        """Move the origin with a slow clock, but no faster than clocks drift."""
        step = min(late, FASTEST_DRIFT * elapsed)
        self._origin += step
        self._drift.add_shift(step, self._checked_at)
        self._ripple += (late - self._ripple) / RIPPLE_CHECKS
        if late <= STEADY_WITHIN:
            self._in_time, self._in_time_at = self.samples, at

    def _take_early_audio(self, late: float, at: float) -> None:
        """Handle audio earlier than any before: less jitter, a faster clock, or audio that counted as lost."""
        self._end_as_burst(0)
        self._origin += late
        if self._early_audio is None:
            self._early_audio = EarlyAudio(self._checked_samples, at)
        self._early_audio.seconds -= late

    def _pass_early_windows(self, early: EarlyAudio, at: float) -> None:
        while at - early.window_from >= LOST_AFTER:
            if early.seconds < LATE_AFTER:
                self._end_early_audio(early)
                return
            early.seconds_before += early.seconds
            early.seconds = 0.0
            early.window_from += LOST_AFTER

    def _end_early_audio(self, early: EarlyAudio) -> None:
        self._early_audio = None
        length = early.seconds_before + early.seconds
        if length < LATE_AFTER:
            self._drift.add_shift(-length, self._checked_at)
            return
        missing = -self._uncount(length)
        self._drift.ignore_shifts(self._checked_at)
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

    def _begin_silence(self, late: float) -> None:
        """Begin a stall where nothing arrived for a while."""
        position = self._checked_samples
        if late - self._late <= STEADY_WITHIN:
            return
        if not self._stalls:
            self._add_stall(Stall(position, 0, late, sudden=True, located=True, unobserved=self.unobserved))
            return
        stall = self._stalls[-1]
        if late - stall.level <= LATE_AFTER and stall.located:
            return
        if stall.flows:
            stall.kind, stall.position, stall.uncertainty = self._classify(stall, self._bytes_checked)
            self._add_stall(Stall(position, 0, late, sudden=True, located=True, unobserved=self.unobserved))
            return
        # Audio that had not begun to flow belongs to the same stall, which begins before or after it.
        stall.unobserved += self.unobserved
        if stall.located:
            stall.begin_again(stall.position, max(stall.uncertainty, position - stall.position), late)
        else:
            stall.begin_again(position, 0, late)

    def _begin_stall(self, late: float, at: float) -> None:
        fresh = self._bytes - self._bytes_checked
        # A single late message shows where the stall was; of several, any may have been late.
        uncertain = fresh if fresh > self._sizes.usual else 0
        sudden = late - self._late > STEADY_WITHIN or at - self._in_time_at < BIT_BY_BIT
        stall = Stall(
            position=self._checked_samples,
            uncertainty=uncertain // self._frame_bytes,
            latest=late,
            sudden=sudden,
            located=not uncertain,
            unobserved=self.unobserved,
        )
        stall.add_lateness(late, self.samples, at)
        self._add_stall(stall)

    def _add_stall(self, stall: Stall) -> None:
        self._stalls.append(stall)
        if len(self._stalls) > MOST_STALLS:
            self._count_stall(self._stalls.pop(0))

    def _follow_stalls(self, late: float, at: float) -> None:
        while len(self._stalls) > 1 and late <= self._stalls[-2].level + LATE_AFTER:
            self._end_as_burst(len(self._stalls) - 1)
        if late <= LATE_AFTER:
            self._end_as_burst(0)
            return
        stall = self._stalls[-1]
        stall.add_lateness(late, self.samples, at)
        if stall.is_settled(at):
            self._settle_stalls(at)

    def _end_as_burst(self, first: int) -> None:
        """End the stalls from ``first`` on: all that was late has arrived."""
        ended = self._stalls[first:]
        del self._stalls[first:]
        if not ended:
            return
        length = max(stall.latest for stall in ended) - (self._stalls[-1].level if self._stalls else 0.0)
        if length < SHORTEST_BURST:
            return
        # The audio grew later than was observed, until shortly before it arrived.
        resolution = max(self.resolution, self._interval)
        position, uncertainty = ended[0].position, ended[0].uncertainty
        burst = Gap(GapKind.BURST, position, length, resolution, position_uncertainty=uncertainty)
        (self._stalls[-1].bursts if self._stalls else self.gaps).append(burst)

    def _settle_stalls(self, at: float) -> None:
        self._drift.ignore_shifts(at)
        while self._stalls:
            self._count_stall(self._stalls.pop(0))

    def _end_stalls(self, silent_until: float) -> None:
        """Count what is missing at the end of the call, at least; nothing arrived until ``silent_until``."""
        if self._stalls and self._stalls[-1].is_end(self._checked_at, self._interval):
            self._stalls.pop()
        while self._stalls:
            stall = self._stalls.pop(0)
            proved = stall.kind is not None or self._slip_after(stall.position) is not None
            # Audio that still catches up is on its way; nothing shows that it is lost.
            if not proved and stall.latest - stall.level > LATE_AFTER:
                self._origin += stall.level
                continue
            stall.sudden |= not self._missing[GapKind.HOLE]
            self._count_stall(stall, at_least=not stall.flows)
        silence = self._lateness(silent_until)
        if silence > LONGEST_END:
            stall = Stall(self.samples, 0, silence, sudden=True, located=True, unobserved=self.unobserved)
            self._count_stall(stall, at_least=True)

    def _count_stall(self, stall: Stall, *, at_least: bool = False) -> None:
        """Count what the outermost stall lacks, and move the origin behind it."""
        late = stall.level
        self._origin += late
        for other in self._stalls:
            other.lower_by(late)
        kind, position, uncertainty = (
            self._classify(stall) if stall.kind is None else (stall.kind, stall.position, stall.uncertainty)
        )
        if kind is GapKind.PAUSE and stall.unobserved:
            unknown = min(late, stall.unobserved)
            late -= unknown
            self._count_missing(GapKind.UNKNOWN, position, unknown, uncertainty, at_least)
        if late > LATE_AFTER or kind is not GapKind.PAUSE:
            self._count_missing(kind, position, late, uncertainty, at_least)
        self.gaps += stall.bursts
        self._in_time, self._in_time_at = max(self._in_time, position + uncertainty), self._checked_at

    def _count_missing(self, kind: GapKind, position: int, late: float, uncertainty: int, at_least: bool) -> None:
        missing = self._add_missing(kind, position, late, uncertainty=uncertainty, at_least=at_least)
        if self._slip_after(position) is None:  # A short message proves that it is lost.
            self._may_arrive[kind] += missing

    def _slip_after(self, position: int, before: float = inf) -> int | None:
        """Return the bytes before the last message without its first bytes, if it came after ``position``."""
        start = position * self._frame_bytes
        return next((slip for slip in reversed(self._sizes.slips) if start <= slip < before), None)

    def _classify(self, stall: Stall, before: float = inf) -> tuple[GapKind, int, int]:
        """Return what a stall that ended ``before`` these bytes was, its position and uncertainty."""
        slip = self._slip_after(stall.position, before)
        if slip is not None:
            return GapKind.HOLE, slip // self._frame_bytes, 0
        start = stall.position * self._frame_bytes
        if stall.caught_up or any(start <= backlog < before for backlog in self._sizes.backlogs):
            return GapKind.HOLE, stall.position, max(stall.uncertainty, stall.caught_up_until - stall.position)
        # A busy sender is late now more, now less; what is lost is lost.
        if not stall.sudden and stall.latest - stall.level <= LATE_AFTER:
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
        frame = max(1, self._sizes.usual // self._frame_bytes)
        return round(seconds * self._format.sample_rate / frame) * frame

    @property
    def _checked_samples(self) -> int:
        return self._bytes_checked // self._frame_bytes
