"""The summary of one captured call."""

from listenctl.commands.inspect.inspected_call_summary import summarize_inspected_call
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.rule_violations import Culprit, Violation
from listenctl.protocol.jambonz_model.rule_catalogue import Severity
from listenctl.terminal.printable_text import TextStyle
from tests.helpers.inspected import APPLICATION, JAMBONZ, SILENCE, MadeUp, capture_events, inspect, new_session

PLAIN = TextStyle(color=False, unicode=True)


def lines_of(report: CallReport, columns: int | None = None) -> list[str]:
    return summarize_inspected_call(report, PLAIN, columns)


def line(report: CallReport, label: str) -> str:
    """Return the text after a label."""
    (found,) = [one for one in lines_of(report) if one.startswith(f"  {label} ")]
    return found[11:]


def test_call_with_a_stream_and_marks() -> None:
    (report,) = inspect(capture_events("c2_bidir_stream8k_marks_nominus1"))

    lines = lines_of(report)
    assert lines[0] == "12a72abe-1a8b-4d42-ba49-8d9f47e35e43  +15551230001 → +15559870002, inbound"
    assert line(report, "audio") == "8k mono, 15.00 s, complete"
    assert line(report, "played").startswith("9.00 s streamed at 8k (by the pace of the audio), in 161 messages")
    assert line(report, "marks").startswith("15 sent, 9 playout, 5 cleared, 1 forgotten, answered after 0.02 to 2.02 s")
    assert line(report, "commands") == "15 mark, 1 clearMarks, 1 killAudio"
    assert line(report, "end") == "closed by jambonz (1000), answered"


def test_call_with_clips_and_digits() -> None:
    (report,) = inspect(capture_events("e_playaudio_featureserver"))

    lines = lines_of(report)
    assert line(report, "keys") == "5 at 0:09.2 (1600 ms)"
    assert line(report, "clips") == "6 sent, 5 played to the end, 1 killed"
    assert "           0:07.2  q1: raw at 16k, 0.50 s, queued; done at 0:08.2" in lines
    assert lines[-1] == "  problems none found"


def test_pause_is_not_counted_as_lost() -> None:
    (report,) = inspect(capture_events("f_pause_graceful"))

    assert line(report, "audio") == "8k mono, 6.02 s, complete, 3.00 s paused"
    assert "           paused 3.00 s at 0:03.0" in lines_of(report)


def test_worst_problem_comes_first_with_position_and_remedy() -> None:
    made = MadeUp()
    made.listen(0.0, 1.0)
    made.say(1.0, {"type": "Mark", "data": {"name": "a"}})
    made.frame(1.1, APPLICATION, 9, b"x")
    made.say(1.2, "{no json")
    made.say(1.3, "{nor this")

    lines = lines_of(made.close(2.0))
    first = next(index for index, one in enumerate(lines) if one.startswith("  error"))
    assert lines[first].startswith("  error command-unknown, application, at 0:01.000 (packet 52): ")
    assert lines[first + 1].startswith("    Use playAudio, killAudio")
    assert lines[first + 2].startswith("  error command-no-json, application, at 0:01.200 (packet 54), 2 times: ")
    assert next(one for one in lines if "problems" in one) == "  problems 3 errors, 1 note"


def test_audio_missing_in_the_capture_is_distinguished() -> None:
    made = MadeUp()
    made.listen(0.0, 1.0)
    made.lose(1.0, JAMBONZ, 640)
    made.listen(3.0, 4.0)

    report = made.close(4.0)
    assert line(report, "audio") == "8k mono, 2.00 s, 50.00% complete, 2.00 s missing in the capture"
    assert any(one.startswith("  warning capture-hole, capture, at 0:01.000") for one in lines_of(report))


def test_hole_too_short_to_measure_makes_completeness_uncertain() -> None:
    made = MadeUp()
    made.listen(0.0, 1.0)
    made.lose(1.0, JAMBONZ, 100)
    made.listen(1.0, 2.0)

    assert line(made.close(2.0), "audio") == "8k mono, 2.00 s, complete as far as is known"


def test_call_without_messages() -> None:
    made = MadeUp(session=new_session(request=None), metadata=None)

    report = made.end(1.0, how="capture")
    assert lines_of(report)[0] == "unknown-1"
    assert line(report, "audio") == "none from jambonz"
    assert line(report, "end") == "no Close; the capture ends earlier"


def test_control_characters_from_peers_are_removed() -> None:
    metadata = {"sampleRate": 8000, "mixType": "mono", "callSid": "A\x1b]0;x\x07", "from": "\x1b[2J", "to": "\u202e1"}
    made = MadeUp(metadata=metadata)
    made.mark(0.1, "\x1b[31m")
    made.say(0.2, {"type": "playAudio", "data": {"id": "\x9b2J", "audioContentType": "raw\n", "audioContent": ""}})
    made.say(0.3, {"type": "\x1b[0m\r\n"})
    made.answer(0.4, "\x1b[5m")

    text = "\n".join(lines_of(made.close(0.5, data=b"\x03\xe8\x1b[1m")))
    assert not set(text) & {"\x1b", "\x9b", "\x07", "\r", "\u202e"}


def test_lines_are_wrapped_to_the_terminal_width() -> None:
    (report,) = inspect(capture_events("c2_bidir_stream8k_marks_nominus1"))

    assert max(map(len, lines_of(report, columns=60))) <= 60
    assert " ".join(" ".join(lines_of(report, columns=60)[1:]).split()) == " ".join(
        " ".join(lines_of(report)[1:]).split()
    )


def test_source_of_the_stream_rate_is_named() -> None:
    made = MadeUp()
    made.stream(0.5, SILENCE)

    assert line(made.close(1.0), "played") == (
        "0.02 s streamed at 8k (by the rate of the received audio), in 1 message, up to 0.0 s ahead"
    )


def test_severities_are_colored() -> None:
    made = MadeUp()
    made.say(0.1, "{")
    report = made.close(0.2)

    assert any("\x1b[31merror\x1b[0m" in one for one in summarize_inspected_call(report, TextStyle(color=True), None))


def test_added_audio_violation_is_listed() -> None:
    made = MadeUp()
    made.listen(0.0, 1.0, frame=SILENCE)
    report = made.close(1.1)
    silent = Violation("audio-silent", Severity.WARNING, 0.02, Culprit.JAMBONZ, None, None, "nothing but silence")
    report.add_violations([silent])

    assert line(report, "problems") == "1 warning"
    assert "  warning audio-silent, jambonz, at 0:00.020: nothing but silence" in lines_of(report)


def test_long_lists_are_shortened() -> None:
    made = MadeUp()
    for index in range(40):
        made.answer(index / 10, f'{{"event":"dtmf","dtmf":"{index % 10}"}}')
        made.say(index / 10, {"type": "playAudio", "data": {"audioContentType": "raw", "audioContent": "AAAA"}})
    report = made.close(5.0)

    assert line(report, "keys").endswith(", and 28 more")
    assert f"{' ' * 11}and 34 more; --json has all" in lines_of(report)
    assert len(lines_of(report)) < 40
