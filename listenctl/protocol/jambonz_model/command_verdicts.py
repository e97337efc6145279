"""What jambonz makes of what an application sends, said to its developer: one word, a reason and a sentence."""

from dataclasses import dataclass
from enum import StrEnum

from listenctl.protocol.jambonz_messages import Mark, PlayDone


class CommandOutcome(StrEnum):
    """
    What became of a command.

    ``played``, ``queued`` and ``obeyed`` say that it was taken; ``misread`` that it was taken for something else than
    it says, ``truncated`` that only its beginning was; ``ignored`` and ``would-crash`` that it was not. Clips and marks
    end later, ``finished`` or ``interrupted``.
    """

    PLAYED = "played"
    QUEUED = "queued"
    OBEYED = "obeyed"
    MISREAD = "misread"
    TRUNCATED = "truncated"
    IGNORED = "ignored"
    WOULD_CRASH = "would-crash"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What jambonz does with one command; a command may get several, at once and later.

    Attributes:
        command: counts what was sent, from 1; texts and binary messages alike.
        reason: a stable word for why, empty where the outcome says it all.
        sentence: the same for people.
        wrong: the application should do something about it.
    """

    command: int
    outcome: CommandOutcome
    reason: str
    sentence: str
    wrong: bool = False


class PlayoutOutbox:
    """
    What playout has to say until somebody takes it: verdicts to the developer, messages to the application.

    ``number`` is that of the message that is being handled; a verdict is on that one unless it says otherwise.
    """

    def __init__(self) -> None:
        self.number = 0
        self._verdicts: list[Verdict] = []
        self._messages: list[Mark | PlayDone] = []

    def add_verdict(
        self, outcome: CommandOutcome, reason: str, sentence: str, *, wrong: bool = False, command: int | None = None
    ) -> None:
        """Add a verdict."""
        self._verdicts.append(Verdict(self.number if command is None else command, outcome, reason, sentence, wrong))

    def add_message(self, message: Mark | PlayDone) -> None:
        """Add a message; it goes out with the next tick."""
        self._messages.append(message)

    def take_verdicts(self) -> tuple[Verdict, ...]:
        """Return the verdicts since the last time."""
        verdicts, self._verdicts = tuple(self._verdicts), []
        return verdicts

    def take_messages(self) -> tuple[Mark | PlayDone, ...]:
        """Return the messages since the last time."""
        messages, self._messages = tuple(self._messages), []
        return messages
