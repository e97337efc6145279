"""The summary at the end of a simulated call: audio sent, lateness, and the results of the server's commands."""

from collections import Counter
from collections.abc import Iterable, Sequence

from listenctl.json_lines import JsonObject, ReportedEvent
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.terminal.event_lines import describe_end
from listenctl.terminal.printable_text import count_noun, format_moment, format_size, printable

_MAX_WRONG = 20
_MAX_DETAIL = 200
_LABEL = 10


def summarize_call(ended: JsonObject, verdicts: Sequence[JsonObject], stream_rate: int | None = None) -> str:
    """
    Return the summary for the developer of the server.

    Args:
        ended: the ``call-ended`` event.
        verdicts: every ``verdict`` event of the call.
        stream_rate: the rate of the server's audio, where it is played as a stream.
    """
    lines = [
        _line("sent", _audio(ended)),
        _line("lateness", _lateness(ended)),
        *_received(ended, stream_rate),
        _line("commands", _commands(ended, verdicts)),
        *_unanswered(verdicts),
        *_wrong(verdicts),
        _line("keys", _text(ended.get("digits")) or "none"),
        _line("end", describe_end(ended)),
    ]
    return "".join(f"{line}\n" for line in lines)


def _line(label: str, text: str) -> str:
    return f"{label.ljust(_LABEL)}{text}"


def _text(value: object, limit: int = _MAX_DETAIL) -> str:
    return printable(str(value), limit) if value else ""


def _audio(ended: ReportedEvent) -> str:
    stalled = ended["stalled_samples"]
    late = ended["lost_samples"] - stalled
    losses = (
        f"{count_noun(late, 'sample')} lost because the server did not read in time" if late else "",
        f"{count_noun(stalled, 'sample')} lost by --fault stall" if stalled else "",
    )
    frames = count_noun(ended["frames"], "frame")
    parts = (
        f"{ended['seconds']:.2f} s of audio from {frames}",
        f"call of {ended['duration']:.2f} s",
        *filter(None, losses),
    )
    return ", ".join(parts)


def _lateness(ended: ReportedEvent) -> str:
    lateness = ended["lateness_ms"] or {}
    known = [f"{name} {lateness[name]:.1f} ms" for name in ("p50", "p99", "max") if lateness.get(name) is not None]
    return ", ".join(known) or "nothing was sent"


def _received(ended: ReportedEvent, stream_rate: int | None) -> list[str]:
    """Return a line about the binary messages of the server, if there were any; only a stream has a duration."""
    size = ended["received_audio_bytes"]
    if not size:
        return []
    length = f"{size / (stream_rate * SAMPLE_BYTES):.2f} s of audio" if stream_rate else f"{format_size(size)} of audio"
    return [_line("received", f"{length} in {ended['received_audio_messages']} messages")]


def _commands(ended: ReportedEvent, verdicts: Sequence[JsonObject]) -> str:
    if not ended["commands"]:
        return "none received"
    outcomes = Counter(_outcomes_of_commands(verdicts))
    counts = [f"{number} {outcome}" for outcome, number in outcomes.most_common()]
    if (others := ended["commands"] - outcomes.total()) > 0:
        counts.append(f"{others} not counted")
    return f"{ended['commands']} from the server: {', '.join(counts)}"


def _outcomes_of_commands(verdicts: Sequence[ReportedEvent]) -> Iterable[str]:
    """Return one outcome for each command: the first that is wrong, else the last; audio is no command."""
    wrong: dict[object, str] = {}
    last: dict[object, str] = {}
    for verdict in verdicts:
        if verdict["command"] != "audio":
            outcome = _text(verdict["outcome"])
            last[verdict["number"]] = outcome
            if verdict["wrong"]:
                wrong.setdefault(verdict["number"], outcome)
    return (last | wrong).values()


def _unanswered(verdicts: Sequence[ReportedEvent]) -> list[str]:
    """Return a line if nothing was said to the caller although no answer was demanded, which would be wrong."""
    missing = [verdict for verdict in verdicts if verdict["reason"] == "no-answer" and not verdict["wrong"]]
    return [_line("answer", _text(verdict["detail"])) for verdict in missing]


def _wrong(verdicts: Sequence[ReportedEvent]) -> list[str]:
    """Return a line for each kind of wrong verdict, in order of first occurrence, and each advice once."""
    wrong = [verdict for verdict in verdicts if verdict["wrong"]]
    counts = Counter(_kind(verdict) for verdict in wrong)
    first = {_kind(verdict): verdict for verdict in reversed(wrong)}
    lines: list[str] = []
    for kind, number in list(counts.items())[:_MAX_WRONG]:
        lines.append(_line("wrong", _describe(first[kind], number)))
        advice = _line("", _text(first[kind]["advice"]))
        if advice.strip() and advice not in lines:
            lines.append(advice)
    more = len(counts) - _MAX_WRONG
    return [*lines, _line("wrong", f"and {more} more kinds")] if more > 0 else lines


def _kind(verdict: ReportedEvent) -> tuple[str, str, str]:
    # Details of the same kind differ in their numbers.
    return str(verdict["command"]), str(verdict["outcome"]), str(verdict["reason"])


def _describe(verdict: ReportedEvent, number: int) -> str:
    command, outcome, reason = _kind(verdict)
    why = f" ({reason})" if reason else ""
    number_of = f"#{verdict['number']} " if verdict["number"] else ""
    where = f"{number_of}at {format_moment(verdict['time'])}"
    times = f"{number} times, first {where}" if number > 1 else where
    return _text(f"{command} {outcome}{why}, {times}: {verdict['detail']}")
