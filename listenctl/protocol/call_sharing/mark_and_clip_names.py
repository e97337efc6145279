"""
Unique names on the wire for the marks and clips of attached tools: an answer finds its sender even if others arrive
early, twice or never (listenctl-protocol(7) 6.4). Names survive unescaped JSON and FreeSWITCH's command line.
"""

import re
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_REMEMBERED = 2000
"""Names of a call's marks, or clips, that are known after their answer, to show what their tools call them."""
MAX_OUTSTANDING = 1000
"""Unanswered marks and clips of one tool; also the clips whose order is tracked."""

NAME_PREFIX = "lc-"
"""Names on the wire begin with this; behind it a relay puts something random, because an application is beside it."""
_GENERATED = re.compile(r"lc-(?:[0-9a-f]{8}-)?[mc][1-9][0-9]*(?:-[A-Za-z0-9_.-]{1,32})?")
# A name that people gave, and that every jambonz returns as it is; a program's own random name tells nobody anything,
# and a number may be somebody's.
_READABLE = re.compile(r"(?!.*[0-9a-f]{8})(?!(?:[^0-9]*[0-9]){7})[A-Za-z0-9_.-]{1,32}")

Own = TypeVar("Own")


def is_generated_name(name: object) -> bool:
    """Return whether a name looks like one that a server of listenctl gave to the mark or clip of an attached tool."""
    return isinstance(name, str) and _GENERATED.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class PendingAnswer(Generic[Own]):
    """The answer that a tool waits for, to the mark or clip that it calls ``own_name``."""

    tool: int
    own_name: Own


class GeneratedNames(Generic[Own]):
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0
        self._outstanding: dict[str, PendingAnswer[Own]] = {}
        self._counts: Counter[int] = Counter()
        self._own_names: OrderedDict[str, Own] = OrderedDict()

    def new_name(self, tool: int, own: Own, *, readable: str = "") -> str:
        """Return a name for ``own`` that ends with ``readable``, by which people know it, if that is safe."""
        self._count += 1
        name = f"{self._prefix}{self._count}" + (f"-{readable}" if _READABLE.fullmatch(readable) else "")
        self._outstanding[name] = PendingAnswer(tool, own)
        self._counts[tool] += 1
        self._own_names[name] = own
        if len(self._own_names) > MAX_REMEMBERED:
            self._own_names.popitem(last=False)
        return name

    def own_name(self, name: str, default: object) -> object:
        """Return what its tool calls a mark or clip, answered or not."""
        return self._own_names.get(name, default)

    def is_generated(self, name: object) -> bool:
        """Return whether ``name`` was generated here, answered or not."""
        if not isinstance(name, str) or not name.startswith(self._prefix):
            return False
        number = name.removeprefix(self._prefix).partition("-")[0]
        # A number with more digits than the count isn't ours, and Python refuses to parse very long ones.
        short = number.isascii() and number.isdecimal() and len(number) <= len(str(self._count))
        return short and number[0] != "0" and int(number) <= self._count

    def take_pending_answer(self, name: str) -> PendingAnswer[Own] | None:
        asked = self._outstanding.pop(name, None)
        if asked:
            self._counts[asked.tool] -= 1
        return asked

    def names_for(self, tool: int, own: Own) -> list[str]:
        return [name for name, asked in self._outstanding.items() if asked == PendingAnswer(tool, own)]

    def pending_answer_for(self, name: str) -> PendingAnswer[Own] | None:
        return self._outstanding.get(name)

    def count_for(self, tool: int) -> int:
        return self._counts[tool]

    def forget_tool(self, tool: int) -> None:
        self._outstanding = {name: asked for name, asked in self._outstanding.items() if asked.tool != tool}
        del self._counts[tool]

    def forget_all_tools(self) -> None:
        self._outstanding.clear()
        self._counts.clear()
