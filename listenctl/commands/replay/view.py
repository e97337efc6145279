"""Results of replayed calls as text, with the differences between the answers and the capture."""

from collections.abc import Iterator

from listenctl.replay.compare_answers import AnswerComparison
from listenctl.replay.compare_texts import AnswerDifference
from listenctl.replay.replay_results import ApplicationResult, ReplayResult, ReplayTotals
from listenctl.terminal.printable_text import (
    GREEN,
    RED,
    YELLOW,
    TextStyle,
    count_noun,
    format_duration,
    format_moment,
    format_size,
    printable,
)

MAX_LINES = 20
MAX_DETAIL = 200


def replay_progress(live: int, frames: int, elapsed: float) -> str:
    return f"{format_duration(elapsed)}  {count_noun(live, 'call')} live, {count_noun(frames, 'frame')} played"


def result_lines(result: ReplayResult, style: TextStyle) -> Iterator[str]:
    """Yield the lines about a call to a server."""
    yield f"{call_name(result)}: {_played(result)}; {_ending(result)}"
    for text in _faults(result):
        yield f"  {style.paint(printable(text), RED)}"
    for text in result.notes:
        yield f"  {printable(text)}"
    if result.comparison is not None:
        yield from _compared(result.comparison, style)


def call_name(result: ReplayResult) -> str:
    which = f" (copy {result.copy}, round {result.round})" if result.copy > 1 or result.round > 1 else ""
    return f"call {result.call}{which}"


def application_lines(result: ApplicationResult, style: TextStyle) -> Iterator[str]:
    """Yield the lines about a call of a client."""
    sent = f"sent {result.frames} frames in {result.seconds:.1f} s{_late(result.lateness)}"
    received = (
        f"received {count_noun(result.received_texts, 'text')} and {format_size(result.received_audio_bytes)} of audio"
    )
    closed = "no Close" if result.closed is None else f"closed with {result.closed}"
    yield f"caller {result.caller}, call {result.call}: {sent}; {received}; {closed}"
    faults = [result.error] if result.error else []
    if result.interrupted:
        faults.append(f"interrupted: {_frames(result.unsent)} not sent")
    elif result.unsent:
        faults.append(f"the call ended early: {count_noun(result.unsent, 'frame')} not sent")
    if result.missed_texts:
        faults.append(f"{count_noun(result.missed_texts, 'text')} of jambonz in the capture never arrived")
    for text in faults:
        yield f"  {style.paint(printable(text), RED)}"
    if result.lost:
        yield f"  the capture lacks frames of the application, at {count_noun(result.lost, 'place')}"


def totals_line(totals: ReplayTotals, style: TextStyle) -> str:
    text = f"{count_noun(totals.played, 'call')} replayed, {totals.ok} successfully"
    return style.paint(text, GREEN if totals.ok == totals.played else RED)


def _played(result: ReplayResult) -> str:
    return f"played {result.frames} frames in {result.seconds:.1f} s{_late(result.lateness)}"


def _late(lateness: float | None) -> str:
    return "" if lateness is None else f", at most {lateness * 1000:.1f} ms late"


def _ending(result: ReplayResult) -> str:
    end = result.end
    assert end is not None
    who = {"server": "ended by the server", "jambonz": "hung up", "nobody": "connection lost"}[end.by]
    return who if end.code is None else f"{who} with {end.code}"


def _faults(result: ReplayResult) -> Iterator[str]:
    if result.error:
        yield result.error
    if result.cut_short:
        early = max(0.0, result.early)
        yield f"ended {early:.1f} s early: {_frames(result.unplayed)} not played"
    elif result.interrupted:
        yield f"interrupted: {_frames(result.unplayed)} not played"
    if result.lost:
        yield f"the capture lacks frames of jambonz, at {count_noun(result.lost, 'place')}"


def _frames(frames: int | None) -> str:
    return "frames" if frames is None else count_noun(frames, "frame")


def _compared(comparison: AnswerComparison, style: TextStyle) -> Iterator[str]:
    texts, audio = comparison.texts, comparison.audio
    said = f"{texts[1]} of {texts[0]} texts, {format_size(audio[1])} of {format_size(audio[0])} of audio"
    if not comparison.count:
        yield f"  {style.paint('answered as in the capture', GREEN)}: {said}"
        return
    yield f"  {style.paint(count_noun(comparison.count, 'difference'), RED)} to the answers in the capture: {said}"
    for difference in comparison.differences[:MAX_LINES]:
        yield f"  {_difference(difference, style)}"
    if comparison.count > MAX_LINES:
        yield f"  and {comparison.count - MAX_LINES} more, in the output of --json"


def _difference(difference: AnswerDifference, style: TextStyle) -> str:
    at = difference.live_at if difference.captured_at is None else difference.captured_at
    time = "" if at is None else format_moment(at)
    what = printable(difference.what, 20)
    return (
        f"{style.paint(f'{difference.kind:9}', YELLOW)} {time:>7}  {what}: {printable(difference.detail, MAX_DETAIL)}"
    )
