"""The frames of one simulated call, from its tap to its end: made when they are due, measured, and sent."""

from collections.abc import Callable
from itertools import count

from listenctl.client.call_audio import CallAudio, CallFrame
from listenctl.client.call_log import CallLog
from listenctl.client.call_time import CallTime
from listenctl.client.connection import Connection
from listenctl.client.exchange import Exchange
from listenctl.client.faults import Troubles
from listenctl.client.limits import Limits
from listenctl.client.needle import Needle
from listenctl.client.outlet import Outlet
from listenctl.client.plan import CallPlan, KeyPress
from listenctl.media.pacing import Clock, Pacer
from listenctl.protocol.audio import AudioFormat


class Talk:
    """
    Let a call take its course, frame by frame.

    Attributes:
        connection: what frames are sent on; None before the server is connected to.
        over: whether no further frame is to be made.
        limit: which limit of the plan has ended it, empty for none.
        sent, heard: levels of what goes to the server, and of what the caller hears.
    """

    def __init__(
        self,
        plan: CallPlan,
        *,
        exchange: Exchange,
        outlet: Outlet,
        troubles: Troubles,
        log: CallLog,
        time: CallTime,
    ) -> None:
        self._plan = plan
        self._exchange = exchange
        self._outlet = outlet
        self._troubles = troubles
        self._log = log
        self._time = time
        self._limits = Limits(plan)
        self.connection: Connection | None = None
        self.over = False
        self.limit = ""
        self.sent, self.heard = Needle(plan.audio_format), Needle(AudioFormat(plan.verb.sample_rate, 1))

    async def run(self, audio: CallAudio, clock: Clock, press: Callable[[str, float], None]) -> None:
        """
        Make a frame whenever one is due until the call is over, or there is nothing more to say.

        Args:
            press: presses a key of the plan, for so many seconds.
        """
        plan = self._plan
        rate = plan.verb.sample_rate
        pacer = Pacer(rate, clock)
        keys = sorted(plan.keys, key=lambda key: key.time)
        position = 0
        for number in count(1):
            samples = int(number * plan.ptime * rate + 1e-6) - position
            lateness = await pacer.wait(samples)
            time = position / rate
            position += samples
            keys = _press_due(keys, time, press)
            self.limit = self._limits.passed(time)
            if self.over or self.limit:
                break
            frame = await audio.next(samples)
            if frame.over and plan.duration is None and not keys:
                break
            self._send(frame, lateness)

    def _send(self, frame: CallFrame, lateness: float) -> None:
        elapsed = self._time.connected_for
        connected = self.connection is not None
        for note in self._troubles.notes(elapsed) if connected else ():
            self._log.fault(note)
        for tick in frame.ticks:
            self._exchange.answer(tick)
        self._throttle_reading(elapsed)
        self._limits.hear(frame.caller)
        self.sent.feed(frame.fork)
        self.heard.feed(frame.heard)
        if connected and not self._troubles.captures(elapsed):
            return
        lost = self._outlet.audio(self._troubles.skew(frame.fork))
        self._log.frame(self._plan.audio_format.samples(len(frame.fork)), lateness, lost)

    def _throttle_reading(self, elapsed: float) -> None:
        if self.connection is None or self._troubles.read_rate is None:
            return
        if self._troubles.reads(elapsed, self._exchange.received):
            self.connection.resume_reading()
        else:
            self.connection.pause_reading()


def _press_due(keys: list[KeyPress], time: float, press: Callable[[str, float], None]) -> list[KeyPress]:
    """Press the keys whose time has come; return the others."""
    for key in keys:
        if key.time > time:
            break
        press(key.digit, key.duration)
    return [key for key in keys if key.time > time]
