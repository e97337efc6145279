"""``levels`` events: how loud each call is, for programs that watch."""

from listenctl.events import LevelsEvent, Reporter
from listenctl.media.measure_levels import LevelMeasurer, Levels
from listenctl.server.calls.live_call_log import LiveCallLog


class LevelReporter:
    """Report the levels of every ``interval`` seconds of audio."""

    def __init__(self, reporter: Reporter, interval: float) -> None:
        self._reporter = reporter
        self._interval = interval

    def start_meter(self, log: LiveCallLog) -> LevelMeasurer:
        """Return what measures a call that begins."""
        return LevelMeasurer(log.audio_format, self._interval)

    def show_levels(self, log: LiveCallLog, position: int, windows: list[Levels]) -> None:
        """Report levels that were measured."""
        rate = log.audio_format.sample_rate
        window_samples = max(1, round(rate * self._interval))
        # Windows follow each other from the first sample on, so the last one ends at a multiple of their length.
        end = position // window_samples * window_samples
        for index, levels in enumerate(windows):
            start = end - (len(windows) - index) * window_samples
            channels = [
                {"peak_db": round(level.peak_db, 1), "rms_db": round(level.rms_db, 1), "clipped": level.clipped}
                for level in levels
            ]
            event = LevelsEvent(position=start, time=round(start / rate, 3), channels=channels)
            self._reporter.emit(event, call=log.id, call_sid=log.metadata.call_sid)
