"""
The names that marks and clips of attached tools have on the wire, where all tools of a call share one connection.

Each is given once and answered at most once, so that an answer finds its sender even if others come early, twice or
never (protocol.md 6.4). They survive JSON that isn't escaped and FreeSWITCH's command line (protocol.md 2.6, 4).
"""

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_OUTSTANDING = 1000
"""Clips whose order is kept; also what one tool may wait for."""

Own = TypeVar("Own")


@dataclass(frozen=True, slots=True)
class PendingAnswer(Generic[Own]):
    """What a tool waits for: the answer to a mark or clip that it calls ``own_name``."""

    tool: int
    own_name: Own


class GeneratedNames(Generic[Own]):
    """Give names on the wire: ``prefix`` and a number."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._given = 0
        self._outstanding: dict[str, PendingAnswer[Own]] = {}
        self._counts: Counter[int] = Counter()

    def new_name(self, tool: int, own: Own) -> str:
        """Return the name on the wire for what ``tool`` calls ``own``."""
        self._given += 1
        name = f"{self._prefix}{self._given}"
        self._outstanding[name] = PendingAnswer(tool, own)
        self._counts[tool] += 1
        return name

    def is_generated(self, name: object) -> bool:
        """Tell whether the name is one of these, answered or not."""
        if not isinstance(name, str) or not name.startswith(self._prefix):
            return False
        number = name.removeprefix(self._prefix)
        # Longer than any count is no number of ours, and Python refuses to read very long ones.
        short = number.isascii() and number.isdecimal() and len(number) <= len(str(self._given))
        return short and number[0] != "0" and int(number) <= self._given

    def take_request(self, name: str) -> PendingAnswer[Own] | None:
        """Return who waits for the answer, once; None if nobody does any more."""
        asked = self._outstanding.pop(name, None)
        if asked:
            self._counts[asked.tool] -= 1
        return asked

    def names_for(self, tool: int, own: Own) -> list[str]:
        """Return the names of what ``tool`` calls ``own`` and waits for, oldest first."""
        return [name for name, asked in self._outstanding.items() if asked == PendingAnswer(tool, own)]

    def request_for(self, name: str) -> PendingAnswer[Own] | None:
        """Return who waits for the answer, and goes on waiting."""
        return self._outstanding.get(name)

    def count_for(self, tool: int) -> int:
        """Return how many answers the tool waits for."""
        return self._counts[tool]

    def forget_tool(self, tool: int) -> None:
        """Expect nothing for a tool that has left."""
        self._outstanding = {name: asked for name, asked in self._outstanding.items() if asked.tool != tool}
        del self._counts[tool]

    def forget_all_tools(self) -> None:
        """Expect nothing for anyone."""
        self._outstanding.clear()
        self._counts.clear()


class ClipOrder:
    """
    Say which clip a playDone without an id answers, where jambonz returns none (the documented form, protocol.md 4).

    There clips play in the order in which they were sent, and killAudio drops all that wait, so that one answer comes
    for all before it. That can only be assumed, so it ends for good when it proves wrong (``stop_assuming``).
    """

    def __init__(self) -> None:
        # Clips between two killAudios; only the last group plays one by one.
        self._groups: deque[deque[str]] = deque([deque()])
        self._stopped = False

    def add_clip(self, name: str) -> None:
        """Take notice of a clip that was sent."""
        if self._stopped:
            return
        self._groups[-1].append(name)
        if sum(map(len, self._groups)) > MAX_OUTSTANDING:
            self.stop_assuming()

    def drop_clips(self, names: Collection[str]) -> None:
        """Take notice of clips that jambonz has dropped without an answer."""
        self._groups = deque(deque(name for name in group if name not in names) for group in self._groups)

    def add_kill(self) -> None:
        """Take notice of a killAudio."""
        if self._groups[-1]:
            self._groups.append(deque())

    def stop_assuming(self) -> None:
        """Assume nothing any more."""
        self._stopped = True
        self._groups = deque([deque()])

    def take_answered(self) -> tuple[str, ...]:
        """Return the clip that is answered now and behind it those that never will be; empty if none is known."""
        if len(self._groups) > 1:
            return tuple(self._groups.popleft())
        return (self._groups[0].popleft(),) if self._groups[0] else ()
