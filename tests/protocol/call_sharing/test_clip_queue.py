import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.call_sharing.clip_queue import (
    GIVE_UP_AFTER,
    MAX_AT_JAMBONZ,
    MAX_PASSED_BYTES,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    UNKNOWN_SECONDS,
    ClipQueue,
    QueuedClip,
    seconds_of,
)


def clip(name: str, *, tool: int = 1, size: int = 1, seconds: float = 1.0) -> QueuedClip:
    return QueuedClip(name, tool, bytes(size), seconds)


def names(clips: list[QueuedClip]) -> list[str]:
    return [one.name for one in clips]


def filled(count: int, *, seconds: float = 1.0) -> ClipQueue:
    """Return a queue of clips "0", "1" and so on, as many as possible passed on at 0."""
    queue = ClipQueue()
    for number in range(count):
        queue.add_clip(clip(str(number), seconds=seconds))
    queue.take_due_clips(0.0)
    return queue


@pytest.mark.parametrize(("answered", "at", "due"), [("2", 1.0, 3), ("x", 1.0, 0), ("x", 1000.0, MAX_AT_JAMBONZ)])
def test_an_answer_of_a_later_clip_says_that_those_before_are_over(answered: str, at: float, due: int) -> None:
    queue = filled(MAX_AT_JAMBONZ + 4)

    queue.end_clip(answered, at)

    assert len(queue.take_due_clips(at)) == due


def test_a_clip_without_an_answer_is_given_up_when_it_must_be_over() -> None:
    queue = filled(MAX_AT_JAMBONZ + 2, seconds=3.0)
    due = 3.0 + GIVE_UP_AFTER

    assert queue.deadline == due
    assert queue.take_due_clips(due - 0.01) == []
    assert len(queue.take_due_clips(due)) == 1

    # The second can have begun when the first was given up.
    assert queue.deadline == 2 * due
    assert len(queue.take_due_clips(2 * due)) == 1
    # There is no deadline while nothing waits.
    assert queue.deadline is filled(MAX_AT_JAMBONZ).deadline is None


def test_the_time_of_a_clip_counts_from_the_end_of_the_one_before() -> None:
    queue = filled(MAX_AT_JAMBONZ + 2, seconds=3.0)

    queue.end_clip("0", 100.0)
    queue.take_due_clips(100.0)

    assert queue.deadline == 100.0 + 3.0 + GIVE_UP_AFTER


def test_long_clips_are_passed_on_one_by_one() -> None:
    queue = ClipQueue()
    for number in range(3):
        queue.add_clip(clip(str(number), size=MAX_PASSED_BYTES))

    assert names(queue.take_due_clips(0.0)) == ["0"]
    assert queue.deadline is not None
    assert names(queue.take_due_clips(queue.deadline)) == ["1"]


def test_a_clip_on_top_drops_all_but_what_plays_and_lengthens_that() -> None:
    queue = filled(MAX_AT_JAMBONZ + 1, seconds=3.0)

    assert names(queue.interrupt_by_clip(10.0)) == [str(number) for number in range(1, MAX_AT_JAMBONZ + 1)]

    for number in range(MAX_AT_JAMBONZ):
        queue.add_clip(clip(f"new{number}"))
    assert len(queue.take_due_clips(0.0)) == MAX_AT_JAMBONZ - 1
    assert queue.deadline == 10.0 + 3.0 + GIVE_UP_AFTER


def test_there_is_room_for_so_many_clips_and_so_many_bytes() -> None:
    many, large = ClipQueue(), ClipQueue()

    for number in range(MAX_WAITING):
        assert many.has_room(1)
        many.add_clip(clip(str(number)))
    large.add_clip(clip("a", size=100))

    assert not many.has_room(0)
    assert large.has_room(MAX_WAITING_BYTES - 100)
    assert not large.has_room(MAX_WAITING_BYTES - 99)
    large.take_due_clips(0.0)
    assert large.has_room(MAX_WAITING_BYTES)


STEPS = st.lists(st.sampled_from(["add", "answer", "time", "kill", "interrupt", "leave"]), max_size=60)


@given(STEPS)
def test_whatever_happens_jambonz_never_has_too_many_and_all_that_wait_get_their_turn(steps: list[str]) -> None:
    queue, now, number = ClipQueue(), 0.0, 0
    passed: list[str] = []
    for step in steps:
        match step:
            case "add":
                queue.add_clip(clip(str(number), tool=number % 3))
                number += 1
            case "answer" if passed:
                queue.end_clip(passed[-1], now)
            case "time":
                now += 4.0
            case "kill":
                queue.drop_waiting()
            case "interrupt":
                queue.interrupt_by_clip(1.0)
            case "leave":
                queue.forget_tool(1)
        passed += names(queue.take_due_clips(now))

    while (deadline := queue.deadline) is not None:
        passed += names(queue.take_due_clips(deadline))

    assert len(queue) == 0
    assert passed == sorted(set(passed), key=int)


def wav(byte_rate: int, audio: bytes) -> bytes:
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, 8000, byte_rate, 2, 16)
    return head + struct.pack("<4sI", b"data", len(audio)) + audio


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("content", "kind", "rate", "seconds"),
    [
        (base64_of(bytes(16_000)), "raw", 8000, 1.0),
        (base64_of(bytes(16_000)), "raw", 16_000, 0.5),
        # Everything else is read as 16000 (listenctl-protocol(7) 5.1).
        (base64_of(bytes(16_000)), "raw", "8000", 0.5),
        (base64_of(bytes(16_000)), "raw", None, 0.5),
        (base64_of(bytes(16_000)), "raw", [], 0.5),
        (base64_of(wav(16_000, bytes(16_000))), "wav", None, 1.0),
        (base64_of(bytes(10**9 // 8)), "raw", 8000, 3600.0),
        # Without content a clip takes no time.
        (None, "raw", 8000, 0.0),
        (5, "raw", 8000, 0.0),
        (["AAAA"], "raw", 8000, 0.0),
        # Only a WAV file has a known length.
        ("", "wav", None, None),
        ("RIFF", "wav", None, None),
        ("é" * 5000, "wav", None, None),
        ("=" * 9, "wav", None, None),
        ("A" * 8191, "wav", None, None),
        (base64_of(wav(0, bytes(100))), "wav", None, None),
    ],
)
def test_how_long_a_clip_plays_is_seen_from_its_content(
    content: object, kind: str, rate: object, seconds: float | None
) -> None:
    assert seconds_of(PlayAudio(content, kind, rate)) == (None if seconds is None else pytest.approx(seconds, abs=0.01))


def test_a_clip_of_unknown_length_is_given_up_after_a_minute() -> None:
    queue = ClipQueue()
    for name in map(str, range(MAX_AT_JAMBONZ + 1)):
        queue.add_clip(QueuedClip(name, 1, b"", None))

    queue.take_due_clips(0.0)

    assert (queue.deadline, queue.seconds_left(0.0)) == (UNKNOWN_SECONDS + GIVE_UP_AFTER, None)


def test_the_seconds_left_are_those_of_all_clips_less_what_has_passed() -> None:
    queue = filled(MAX_AT_JAMBONZ + 2, seconds=3.0)
    total = 3.0 * (MAX_AT_JAMBONZ + 2)

    assert [queue.seconds_left(at) for at in (0.0, 1.0, 3.0, 4.0)] == [total, total - 1, total - 3, total - 3]

    queue.end_clip("0", 4.0)
    assert queue.seconds_left(5.0) == total - 4
    assert ClipQueue().seconds_left(5.0) == 0.0
