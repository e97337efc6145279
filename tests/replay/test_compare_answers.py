"""What differs between the answers in a capture and those of a live server."""

import asyncio
import json
from pathlib import Path

import pytest

from listenctl.net.client_connection import ConnectionEnd
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.replay.compare_answers import AnswerCollector, AnswerComparison, CompareSettings
from listenctl.replay.compare_audio import BLOCK
from tests.helpers.dumps import (
    BINARY,
    CLOSE,
    METADATA,
    TEXT,
    KeepingServer,
    Timed,
    application,
    jambonz,
    plan,
    play,
    write_dump,
)
from tests.helpers.scripted_server import serving

pytestmark = pytest.mark.simulated_time

HUNG_UP = ConnectionEnd("jambonz", 1000)
NORMAL = b"\x03\xe8"
AUDIO = bytes(range(256)) * 20


def text(kind: str, **data: object) -> bytes:
    return json.dumps({"type": kind, "data": data}).encode()


def mark(name: str) -> bytes:
    return text("mark", name=name)


def compared(
    captured: list[tuple[float, bytes]],
    live: list[tuple[float, bytes]],
    *,
    ignored: tuple[str, ...] = (),
    speed: float | None = 1.0,
    opcode: int = TEXT,
) -> AnswerComparison:
    answers = AnswerCollector(CompareSettings(0.5, ignored), speed)
    for at, data in captured:
        answers.add_captured_frame(at, RawFrame(True, 0, opcode, False, data))
    for at, data in live:
        (answers.add_live_text if opcode == TEXT else answers.add_live_audio)(at, data)
    return answers.compare(HUNG_UP, 9.0, closed_first=False)


def kinds(comparison: AnswerComparison) -> list[tuple[str, str]]:
    return [(one.kind, one.what) for one in comparison.differences]


@pytest.mark.parametrize(
    ("captured", "live", "details"),
    [
        (b'{"type":"mark","data":{"x":1,"name":"a"}}', b'{ "data": {"name": "a", "x": 1}, "type": "mark" }', []),
        (
            text("playAudio", sampleRate=8000),
            text("playAudio", sampleRate="8000"),
            ['data.sampleRate: 8000 → "8000"'],
        ),
        (mark("b"), mark("c"), ['data.name: "b" → "c"']),
        # Texts that aren't JSON are compared by their bytes.
        (b"hello \xff", b"hello \xff", []),
        (b"hello \xff", b"hello \xfe", ["hello � → hello �"]),
    ],
)
def test_a_text_differs_by_its_content(captured: bytes, live: bytes, details: list[str]) -> None:
    comparison = compared([(1.0, mark("a")), (2.0, captured)], [(1.0, mark("a")), (2.1, live)])

    assert [one.detail for one in comparison.differences] == details
    assert (comparison.count, comparison.texts) == (len(details), (2, 2))
    assert all((one.kind, one.captured_at, one.live_at) == ("different", 2.0, 2.1) for one in comparison.differences)


def test_a_clip_with_other_audio_differs_by_its_size_and_digest() -> None:
    captured, live = (text("playAudio", id="x", audioContent=letter * 5000) for letter in "AB")

    (difference,) = compared([(1.0, captured)], [(1.0, live)]).differences

    assert difference.detail.startswith('data.audioContent: "5000 characters, ')
    assert len(difference.detail) < 200


def test_missing_extra_and_moved_answers_differ() -> None:
    captured = [(1.0, mark("a")), (2.0, mark("b")), (3.0, text("killAudio")), (4.0, mark("c"))]
    live = [(1.0, mark("a")), (2.1, text("clearMarks")), (2.2, mark("c")), (2.3, mark("b"))]

    comparison = compared(captured, live)

    assert sorted(kinds(comparison)) == [("extra", "clearMarks"), ("missing", "killAudio"), ("moved", "mark")]


def test_one_answer_too_few_of_many_alike_is_one_difference() -> None:
    said = [(number / 10, mark("same")) for number in range(200)]

    assert kinds(compared(said, said[:-1])) == [("missing", "mark")]
    assert kinds(compared(said[:-1], said)) == [("extra", "mark")]


@pytest.mark.parametrize(
    ("captured_at", "live_at", "speed", "later"),
    [
        (1.0, 1.6, 1.0, ["600 ms later"]),
        (4.0, 4.0, 1.0, []),
        (4.0, 4.0, 2.0, ["2000 ms late"]),
        (4.0, 4.0, 0.5, []),
        (4.0, 4.0, None, []),
        (4.0, 1.0, 1.0, []),
    ],
)
def test_an_answer_beyond_the_tolerance_is_later(
    captured_at: float, live_at: float, speed: float | None, later: list[str]
) -> None:
    comparison = compared([(captured_at, mark("a"))], [(live_at, mark("a"))], speed=speed)

    assert [one.detail[:12] for one in comparison.differences] == later


@pytest.mark.parametrize(("ignored", "count"), [((), 1), (("name",), 0), (("mark.name",), 0), (("playAudio.name",), 1)])
def test_ignored_members_may_differ(ignored: tuple[str, ...], count: int) -> None:
    assert compared([(1.0, mark("a"))], [(1.0, mark("b"))], ignored=ignored).count == count
    assert compared([(1.0, AUDIO)], [], opcode=BINARY, ignored=(*ignored, "audio")).count == 0


def test_audio_may_come_in_other_messages() -> None:
    pieces = [(1.0, AUDIO[at : at + 100]) for at in range(0, len(AUDIO), 100)]

    comparison = compared([(1.0, AUDIO)], pieces, opcode=BINARY)

    assert (comparison.count, comparison.audio) == (0, (len(AUDIO), len(AUDIO)))


@pytest.mark.parametrize(
    ("captured", "live", "kind", "detail"),
    [
        (AUDIO, AUDIO[:-10], "missing", "5110 bytes instead of 5120"),
        (AUDIO[:-10], AUDIO, "extra", "5120 bytes instead of 5110"),
        (
            AUDIO,
            AUDIO[: 3 * BLOCK + 5] + b"\xaa" + AUDIO[3 * BLOCK + 6 :],
            "different",
            f"differs from byte {3 * BLOCK} on, in 1 of 8 blocks of {BLOCK} bytes",
        ),
        (AUDIO + b"ab", AUDIO + b"ax", "different", "differs in its last 2 bytes"),
    ],
)
def test_audio_differs_by_its_amount_and_content(captured: bytes, live: bytes, kind: str, detail: str) -> None:
    comparison = compared([(1.0, captured)], [(1.0, live)], opcode=BINARY)

    assert [(one.kind, one.what, one.detail) for one in comparison.differences] == [(kind, "audio", detail)]


def test_late_audio_is_one_difference() -> None:
    captured = [(at / 10, AUDIO) for at in range(10)]
    live = [(at / 10 + (0.9 if at > 6 else 0.1), AUDIO) for at in range(10)]

    comparison = compared(captured, live, opcode=BINARY)

    assert [one.detail[:17] for one in comparison.differences] == ["up to 900 ms late"]


SERVER_CLOSED = ConnectionEnd("server", 1000)


@pytest.mark.parametrize(
    ("captured", "end", "at", "found"),
    [
        (True, SERVER_CLOSED, 2.1, []),
        (True, ConnectionEnd("server", 1011), 2.1, [("different", "close")]),
        (True, SERVER_CLOSED, 2.9, [("later", "close")]),
        (True, HUNG_UP, 2.1, [("missing", "close")]),
        (False, SERVER_CLOSED, 2.0, [("extra", "close")]),
    ],
)
def test_a_close_of_the_application_is_compared(
    captured: bool, end: ConnectionEnd, at: float, found: list[tuple[str, str]]
) -> None:
    answers = AnswerCollector(CompareSettings(0.5), 1.0)
    if captured:
        answers.add_captured_frame(2.0, RawFrame(True, 0, CLOSE, False, NORMAL))

    assert kinds(answers.compare(end, at, closed_first=captured)) == found


ANSWERED = [jambonz(0.0, TEXT, METADATA), application(0.05, TEXT, mark("a")), jambonz(0.06, CLOSE, NORMAL)]


@pytest.mark.parametrize(
    ("frames", "answer", "tolerance", "found"),
    [
        # The new callSid in an answer counts as that of the capture.
        (
            [
                jambonz(0.0, TEXT, METADATA),
                application(0.1, TEXT, text("hello", call="old-sid")),
                jambonz(0.2, CLOSE, NORMAL),
            ],
            (0.1, text("hello", call="new-sid")),
            0.5,
            [],
        ),
        # An answer that is late is waited for before the Close.
        (ANSWERED, (0.2, mark("a")), 5.0, []),
        (ANSWERED, None, 0.01, [("missing", "mark")]),
        # Texts after the Close are not expected.
        (
            [jambonz(0.0, TEXT, METADATA), jambonz(0.01, CLOSE, NORMAL), application(0.02, TEXT, mark("late"))],
            None,
            0.01,
            [],
        ),
    ],
    ids=["callSid", "late", "missing", "after the Close"],
)
async def test_answers_that_differ_make_the_call_fail(
    frames: list[Timed],
    answer: tuple[float, bytes] | None,
    tolerance: float,
    found: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        if answer is not None:
            delay, payload = answer
            asyncio.get_running_loop().call_later(delay, writer.write, bytes((0x81, len(payload))) + payload)

    async with serving(KeepingServer(says=say).serve) as port:
        settings = CompareSettings(tolerance=tolerance)
        result = await play(plan(write_dump(tmp_path / "d", frames), port, speed=1.0, compare=settings))

    assert result.comparison is not None
    assert kinds(result.comparison) == found
    assert (result.comparison.count, result.ok) == (len(found), not found)
