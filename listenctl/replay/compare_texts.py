"""Compare the texts of an application in a capture with those of a live server; of long ones, only digests are kept."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from hashlib import blake2b

from listenctl.protocol import peer_json

MAX_TEXTS = 20_000
"""The most texts of a side that are compared."""
MAX_STRING = 120
MAX_SHOWN = 160
_MAX_VALUE = 1024
_MAX_PAIRS = 4_000_000
_MAX_CHANGES = 3


@dataclass(frozen=True, slots=True)
class AnswerDifference:
    """A difference between the answers in a capture and those of a live server."""

    kind: str  # ``missing``, ``extra``, ``different``, ``moved`` or ``later``
    what: str  # the type of a text, ``audio`` or ``close``
    detail: str
    captured_at: float | None = None
    live_at: float | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "what": self.what,
            "detail": self.detail,
            "captured_at": _rounded(self.captured_at),
            "live_at": _rounded(self.live_at),
        }


@dataclass(frozen=True, slots=True)
class AnswerTiming:
    """Which answers count as late."""

    tolerance: float
    speed: float | None  # relative to the capture; None is as fast as possible, and then nothing is late

    def lateness(self, captured_at: float, live_at: float) -> float:
        """Return the seconds by which an answer is late; 0 within the tolerance."""
        if self.speed is None:
            return 0.0
        late = live_at - captured_at / self.speed
        return late if late > self.tolerance else 0.0


@dataclass(frozen=True, slots=True)
class AnswerText:
    at: float
    key: bytes
    kind: str
    value: object
    shown: str


def without_members(value: object, kind: str, ignored: Collection[str]) -> object:
    """Return a text without the ``ignored`` members (``id``, ``mark.name``), and with digests for long strings."""
    match value:
        case dict():
            return {
                name: without_members(member, kind, ignored)
                for name, member in value.items()
                if name not in ignored and f"{kind}.{name}" not in ignored
            }
        case list():
            return [without_members(member, kind, ignored) for member in value]
        case str() if len(value) > MAX_STRING:
            return f"{len(value)} characters, {blake2b(value.encode(), digest_size=6).hexdigest()}"
    return value


def parse_answer_text(at: float, raw: bytes, ignored: Collection[str]) -> AnswerText:
    """Parse a text; one that isn't a JSON object is compared by its bytes."""
    value, _ = peer_json.decode(peer_json.read_text(raw).strip()) or (None, 0)
    if not isinstance(value, dict):
        shown = raw[:MAX_SHOWN].decode(errors="replace")
        return AnswerText(at, _digest(raw), "text", None, shown)
    kind = value.get("type")
    kind = kind if isinstance(kind, str) else "text"
    value = without_members(value, kind, ignored)
    written = _canonical(value)
    kept = value if len(written) <= _MAX_VALUE else None
    return AnswerText(at, _digest(written.encode(errors="replace")), kind[:MAX_STRING], kept, written[:MAX_SHOWN])


def compare_texts(
    captured: Sequence[AnswerText], live: Sequence[AnswerText], timing: AnswerTiming
) -> Iterator[AnswerDifference]:
    missing: list[AnswerText] = []
    extra: list[AnswerText] = []
    for before, after in _aligned(captured, live):
        if before is not None and after is not None:
            if before.key != after.key:
                yield AnswerDifference("different", before.kind, _changes(before, after), before.at, after.at)
            elif late := timing.lateness(before.at, after.at):
                detail = f"{late * 1000:.0f} ms later: {before.shown}"
                yield AnswerDifference("later", before.kind, detail, before.at, after.at)
        elif before is not None:
            missing.append(before)
        elif after is not None:
            extra.append(after)
    yield from _moved(missing, extra)


def _moved(missing: list[AnswerText], extra: list[AnswerText]) -> Iterator[AnswerDifference]:
    elsewhere: dict[bytes, list[AnswerText]] = defaultdict(list)
    for text in reversed(extra):
        elsewhere[text.key].append(text)
    found: set[int] = set()
    for text in missing:
        if others := elsewhere[text.key]:
            other = others.pop()
            found.add(id(other))
            yield AnswerDifference("moved", text.kind, f"in another order: {text.shown}", text.at, other.at)
        else:
            yield AnswerDifference("missing", text.kind, text.shown, text.at)
    for text in extra:
        if id(text) not in found:
            yield AnswerDifference("extra", text.kind, text.shown, None, text.at)


Pair = tuple[AnswerText | None, AnswerText | None]


def _aligned(captured: Sequence[AnswerText], live: Sequence[AnswerText]) -> Iterator[Pair]:
    begin = 0
    while begin < min(len(captured), len(live)) and captured[begin].key == live[begin].key:
        yield captured[begin], live[begin]
        begin += 1
    before, after = captured[begin:], live[begin:]
    if len(before) * len(after) > _MAX_PAIRS:
        yield from _paired(before, after)
        return
    keys = [text.key for text in before], [text.key for text in after]
    for tag, one, one_end, other, other_end in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from zip(before[one:one_end], after[other:other_end], strict=True)
        else:
            yield from _paired(before[one:one_end], after[other:other_end])


def _paired(before: Sequence[AnswerText], after: Sequence[AnswerText]) -> Iterator[Pair]:
    """Pair texts of one type in order: one changed text rather than one missing and one extra."""
    waiting: dict[str, list[AnswerText]] = defaultdict(list)
    known = {text.key for text in before}
    spare = [text for text in after if text.key not in known]
    for text in reversed(spare):
        waiting[text.kind].append(text)
    taken: set[int] = set()
    there = {text.key for text in after}
    for text in before:
        other = waiting[text.kind].pop() if text.key not in there and waiting[text.kind] else None
        taken.add(id(other))
        yield text, other
    yield from ((None, text) for text in after if id(text) not in taken)


def _changes(before: AnswerText, after: AnswerText) -> str:
    if before.value is None or after.value is None:
        return f"{before.shown} → {after.shown}"
    changes = list(_walk(before.value, after.value, ""))
    more = f", and {len(changes) - _MAX_CHANGES} more" if len(changes) > _MAX_CHANGES else ""
    return ", ".join(changes[:_MAX_CHANGES]) + more


def _walk(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            place = f"{path}.{name}" if path else str(name)
            yield from _walk(before.get(name, _ABSENT), after.get(name, _ABSENT), place)
    elif _canonical(before) != _canonical(after):
        yield f"{path}: {_canonical(before)[:MAX_SHOWN]} → {_canonical(after)[:MAX_SHOWN]}"


_ABSENT = object()


def _canonical(value: object) -> str:
    return "nothing" if value is _ABSENT else peer_json.encode(value, sort_keys=True)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=12).digest()


def _rounded(time: float | None) -> float | None:
    return None if time is None else round(time, 3)
