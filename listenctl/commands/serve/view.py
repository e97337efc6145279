"""The meters of a running server: levels come in as calls are read, frames go out ten times a second."""

import asyncio
from dataclasses import dataclass
from typing import TextIO

from listenctl.commands.serve.server_meters import CallState, CallView, MeterScreen, ServerView
from listenctl.media.measure_levels import LevelMeasurer, Levels
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.server import ListenServer
from listenctl.terminal.level_meter import ChannelLevel, LevelDelay, MeterBallistics
from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.stop_signals import suspending_at_ctrl_z

FRAME_TIME = 0.1


@dataclass(slots=True)
class _Needles:
    playback: LevelDelay
    ballistics: MeterBallistics
    channels: int

    def show(self, now: float) -> tuple[ChannelLevel, ...]:
        return self.ballistics.update(self.playback.show(now), now)


class LiveView:
    """Show a server and its calls on a terminal until closed."""

    def __init__(self, server: ListenServer, stream: TextIO, style: TextStyle, title: str) -> None:
        self._server = server
        self._title = title
        self._loop = asyncio.get_running_loop()
        self._needles: dict[str, _Needles] = {}
        self._delay = server.settings.read_interval + FRAME_TIME
        self.screen = MeterScreen(stream, style, clock=self._loop.time)
        server.watchers.append(self)

    async def run(self) -> None:
        """Draw until cancelled."""
        try:
            with suspending_at_ctrl_z(self.screen.close):
                while True:
                    self.screen.draw(self._view())
                    await asyncio.sleep(FRAME_TIME)
        finally:
            self.screen.close()

    def start_meter(self, log: LiveCallLog) -> LevelMeasurer:
        """Return what measures a call that begins."""
        meter = LevelMeasurer(log.audio_format)
        channels = log.audio_format.channels
        playback = LevelDelay(meter.window, self._delay)
        self._needles[log.id] = _Needles(playback, MeterBallistics(channels), channels)
        return meter

    def show_levels(self, log: LiveCallLog, _position: int, windows: list[Levels]) -> None:
        """Take levels that were measured."""
        self._needles[log.id].playback.feed(self._loop.time(), windows)

    def _view(self) -> ServerView:
        server = self._server
        now = self._loop.time()
        calls = [self._row(call, call.log, now) for call in server.live if call.log is not None]
        self._forget_ended()
        recorder = server.recorder
        live = [call.log for call in server.live if call.log is not None]
        return ServerView(
            url=server.url,
            title=self._title,
            calls_live=len(server.live),
            calls_total=server.calls_total,
            calls_failed=server.calls_failed,
            gap_seconds=server.gap_seconds + sum(log.gap_seconds for log in live),
            recorded_bytes=recorder.recorded_bytes if recorder else 0,
            recorded_seconds=recorder.recorded_seconds if recorder else 0.0,
            calls=calls,
        )

    def _forget_ended(self) -> None:
        live = {call.log.id for call in self._server.live if call.log is not None}
        for ended in [name for name in self._needles if name not in live]:
            del self._needles[ended]

    def _row(self, call: LiveCall, log: LiveCallLog, now: float) -> CallView:
        return CallView(
            id=log.id,
            started=call.started_at,
            caller=log.metadata.caller or "",
            callee=log.metadata.callee or "",
            sample_rate=log.audio_format.sample_rate,
            mix_type=log.metadata.mix_type or ("stereo" if log.audio_format.channels == 2 else "mono"),
            channels=self._needles[log.id].show(now),
            last_dtmf=log.last_digit,
            gap_seconds=log.gap_seconds,
            state=_state(log),
            recording=call.recording.path if call.recording else "",
            warnings=log.warnings,
        )


def _state(log: LiveCallLog) -> CallState:
    if not log.samples:
        return "waiting"
    return "paused" if log.ledger.stalled else "live"
