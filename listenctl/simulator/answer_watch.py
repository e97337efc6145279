"""How soon the application answers the caller: whether anything is heard after the caller has stopped talking."""

from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, Verdict, VerdictReason

# About -42 dBFS: comfort noise of a phone line is below, speech above.
LOUD = 256
_PAUSE = 1.0
"""Seconds: a shorter silence of the caller is a pause, in which an application rightly waits."""


def is_loud(samples: bytes) -> bool:
    """Return whether 16-bit samples of the host's byte order are louder than noise."""
    values = memoryview(samples[: len(samples) & ~1]).cast("h")
    return max(values, default=0) > LOUD or min(values, default=0) < -LOUD


class AnswerWatch:
    """
    Watch one call.

    The caller waits for an answer from the start of the call, and again from the end of whatever the caller says.
    Any sound of the application answers, also one that began before the caller stopped.
    """

    def __init__(self, within: float | None) -> None:
        self._within = within  # seconds that an answer may take, None for any
        self._since = 0.0
        self._waiting = True
        self.caller_talked = False
        self.answered = False  # whether anything was ever heard

    def add_frame(self, time: float, seconds: float, *, caller: bool, application: bool) -> list[Verdict]:
        """Take a frame that begins at ``time`` and lasts some seconds, and whether each side is loud in it."""
        verdicts = []
        if caller:
            verdicts = self._missing(time) if self.caller_talked else []
            self.caller_talked = self._waiting = True
            self._since = time + seconds
        if application:
            verdicts += self._late(time)
            self.answered, self._waiting = True, False
        return verdicts

    def end_call(self, time: float, *, streams: bool) -> list[Verdict]:
        """Return what is missing; a stream without any sound is worth a word even if no answer is expected."""
        if self._within is None and streams and self.caller_talked and not self.answered:
            sentence = "nothing was ever said to the caller"
            return [Verdict(0, CommandOutcome.MISSING, VerdictReason.NO_ANSWER, sentence)]
        return self._missing(time)

    def _late(self, time: float) -> list[Verdict]:
        took = time - self._since
        if self._within is None or not self._waiting or took <= self._within:
            return []
        sentence = f"the answer came after {took:.1f} s, later than the {self._within:g} s of --answer-within"
        return [Verdict(0, CommandOutcome.HEARD, VerdictReason.LATE_ANSWER, sentence, wrong=True)]

    def _missing(self, time: float) -> list[Verdict]:
        took = time - self._since
        if self._within is None or not self._waiting or took <= max(self._within, _PAUSE):
            return []
        what = "the caller was not answered" if self.answered else "nothing was ever said to the caller"
        sentence = f"{what} in {took:.1f} s, and --answer-within allows {self._within:g} s"
        return [Verdict(0, CommandOutcome.MISSING, VerdictReason.NO_ANSWER, sentence, wrong=True)]
