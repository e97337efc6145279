"""
The vectors V9 to V13 of listenctl-protocol(7) 11, with wire bytes through a whole playout in 20 ms ticks.

V11 was measured with whole messages, as in ``test_stream_playout.py``. A socket delivers pieces of 1024 bytes (6.1), so
that of 8000 samples in one message the last 320 stay in the pre-buffer. Here messages are 50 ms long: nothing stays,
and the times are those of V11.
"""

import struct
from dataclasses import dataclass, field

import pytest

from listenctl.protocol.jambonz_messages import Mark, PlayDone
from listenctl.protocol.jambonz_model.playout import Playout
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio
from tests.helpers.playout import SECOND, play, tone, words

KILL = b'{"type":"killAudio"}'
FRAME = tone(160)


def chunks(samples: bytes) -> list[bytes]:
    """Cut into messages of 400 samples: four fill the pre-buffer at first, two later."""
    return [samples[start : start + 800] for start in range(0, len(samples), 800)]


ONE_SECOND = chunks(tone(SECOND))

Answer = tuple[int, str, str]


@dataclass(slots=True)
class Line:
    """A playout, with the answers to marks and the samples that were heard in each tick."""

    playout: Playout = field(
        default_factory=lambda: Playout(CURRENT, BidirectionalAudio(streaming=True, sample_rate=8000))
    )
    answers: list[Answer] = field(default_factory=list)
    ticks: list[bytes] = field(default_factory=list)

    def send(self, *messages: bytes) -> None:
        for message in messages:
            if message.startswith(b"{"):
                self.playout.take_text(message)
            else:
                self.playout.take_audio(message)

    def run(self, ms: int) -> None:
        for _ in range(ms // 20):
            at = 20 * len(self.ticks)
            tick = self.playout.play_tick()
            self.ticks.append(tick.audio)
            self.answers += [(at, one.name, one.event) for one in tick.messages if isinstance(one, Mark)]

    @property
    def audible(self) -> list[int]:
        """The number of samples in each tick that aren't silence."""
        return [sum(value != 0 for value in struct.unpack("<160h", audio)) for audio in self.ticks]

    @property
    def held(self) -> int:
        return round(self.playout.held * SECOND)


def mark(name: str) -> bytes:
    return b'{"type":"mark","data":{"name":"' + name.encode() + b'"}}'


def test_frames_are_heard_from_the_eighth_on_and_then_four_at_a_time() -> None:
    line = Line()

    line.send(*[FRAME] * 7)
    line.run(100)
    assert (sum(line.audible), line.held) == (0, 1120)

    line.send(FRAME)
    line.run(200)
    assert line.audible[5:] == [160] * 8 + [0, 0]

    line.send(*[FRAME] * 3)
    line.run(100)
    assert (line.audible[15:], line.held) == ([0] * 5, 480)

    line.send(FRAME)
    line.run(100)
    assert (line.audible[20:], line.held) == ([160] * 4 + [0], 0)


def test_2559_bytes_and_one_more_fill_the_pre_buffer() -> None:
    line = Line()

    line.send(tone(1280)[:2559])
    assert (line.held, line.playout.buffered) == (1279, 0)
    line.send(tone(1280)[2559:])

    assert (line.held, line.playout.buffered) == (0, 0.16)


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        ([*ONE_SECOND, mark("m1")], [(1000, "m1", "playout")]),
        ([mark("m0"), *ONE_SECOND, mark("m1")], [(0, "m0", "playout"), (1020, "m1", "playout")]),
        # In one message, of which 7680 samples are played.
        ([tone(SECOND), mark("m1")], [(960, "m1", "playout")]),
        (
            [mark(f"m{number}") for number in range(40)],
            [(20 * number, f"m{number}", "playout") for number in range(30)],
        ),
        ([*[FRAME] * 8, mark("x"), FRAME, mark("y")], []),
    ],
    ids=["behind", "in-front-and-behind", "behind-one-message", "forty", "stuck"],
)
def test_marks_are_answered_in_their_time(sent: list[bytes], answers: list[Answer]) -> None:
    line = Line()

    line.send(*sent)
    line.run(3000)

    assert line.answers == answers


def test_with_a_stuck_mark_161_entries_are_held() -> None:
    line = Line()

    line.send(*[FRAME] * 8, mark("x"), FRAME, mark("y"))
    line.run(5000)

    assert (line.answers, line.held, line.playout.outstanding_marks) == ([], 161, ("x", "y"))


def test_kill_clears_both_marks_in_its_tick() -> None:
    line = Line()

    line.send(*ONE_SECOND, mark("a"), *ONE_SECOND, mark("b"))
    line.run(100)
    line.send(KILL)
    line.run(3000)

    assert line.answers == [(100, "a", "cleared"), (100, "b", "cleared")]
    assert sum(line.audible) == 800


def test_after_kill_a_mark_is_answered_in_the_place_of_the_next() -> None:
    line = Line()

    line.send(mark("a"), *ONE_SECOND, mark("b"), *ONE_SECOND)
    line.run(200)
    line.send(KILL)
    line.run(20)
    line.send(mark("c"), *ONE_SECOND, mark("d"), *ONE_SECOND)
    line.run(5000)

    # `c` comes at the start of the second that follows it, where `d` should.
    assert line.answers == [(0, "a", "playout"), (200, "b", "cleared"), (1220, "c", "playout")]
    assert line.playout.outstanding_marks == ("d",)


@pytest.mark.parametrize(("wait", "heard"), [(0, 0), (20, 1600)])
def test_audio_within_a_tick_of_kill_is_lost(wait: int, heard: int) -> None:
    line = Line()
    line.send(*ONE_SECOND)
    line.run(100)

    line.send(KILL)
    line.run(wait)
    line.send(*chunks(tone(1600, 2000)))
    line.run(1000)

    values = struct.unpack(f"<{160 * len(line.ticks)}h", b"".join(line.ticks))
    assert values.count(2000) == heard
    assert line.held == 0


def test_real_samples_of_minus_one_answer_marks_early() -> None:
    line = Line()

    for number in range(5):
        line.send(*chunks(tone(1000) + b"\xff\xff" + tone(6999)), mark(f"m{number}"))
    line.run(6000)

    assert line.answers == [
        (120, "m0", "playout"),
        (1000, "m1", "playout"),
        (1120, "m2", "playout"),
        (2000, "m3", "playout"),
        (5020, "m4", "playout"),
    ]


def test_no_mark_comes_through_resampling() -> None:
    line = Line(Playout(CURRENT, BidirectionalAudio(streaming=True, sample_rate=16000)))

    for number in range(5):
        line.send(mark(f"m{number}"), tone(16000))
    line.run(6000)

    assert line.answers == []
    # Up to 1279 samples of the sender's rate stay, 639 of the call's.
    assert 5 * SECOND - 640 <= sum(line.audible) <= 5 * SECOND


@dataclass(slots=True)
class Clips:
    """A playout of clips, with what is heard and which clips are said to be done."""

    playout: Playout
    heard: list[tuple[int, int]] = field(default_factory=list)
    done: list[tuple[int, object]] = field(default_factory=list)

    def run(self, ms: int) -> None:
        for _ in range(ms // 20):
            at = round(self.playout.time * 1000)
            tick = self.playout.play_tick()
            values = {value for value in struct.unpack("<160h", tick.audio) if value}
            self.heard += [(at, value) for value in values]
            self.done += [(at, one.id) for one in tick.messages if isinstance(one, PlayDone)]

    def spans(self) -> list[tuple[int, int, int]]:
        """What was heard in a row: the value, and the milliseconds from and until when."""
        spans: list[tuple[int, int, int]] = []
        for at, value in self.heard:
            if spans and spans[-1][0] == value and spans[-1][2] == at:
                spans[-1] = (value, spans[-1][1], at + 20)
            else:
                spans.append((value, at, at + 20))
        return spans


def test_of_thirteen_clips_the_first_plays_eleven_wait_and_one_is_dropped() -> None:
    clips = Clips(Playout())

    verdicts = []
    for number in range(1, 14):
        clip = play(tone(4000, number), id=number, queuePlay=True)
        verdicts += words(*clips.playout.take_text(clip))
        clips.run(20)
    clips.run(8000)

    assert verdicts == ["played", *["queued"] * 11, "ignored queue-full"]
    # Each is heard a tick after its start, which is in the tick after the end of the one before.
    assert clips.spans() == [(number, 520 * number - 500, 520 * number) for number in range(1, 13)]
    assert clips.done == [(520 * number, number) for number in range(1, 13)]


def test_clips_without_queue_play_are_heard_inside_each_other() -> None:
    clips = Clips(Playout())

    for number in (1, 2, 3):
        clips.playout.take_text(play(tone(5 * SECOND, number), id=number))
        clips.run(1000)
    clips.run(15000)

    assert clips.spans() == [
        (1, 20, 1000),
        (2, 1020, 2000),
        (3, 2020, 7020),
        (2, 7020, 11040),
        (1, 11040, 15060),
    ]
    assert clips.done == [(7020, 3), (11040, 2), (15060, 1)]


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        (
            CURRENT,
            '{"type":"playDone","data":{"id":"v8","playbackSeconds":"1","playbackMilliseconds":"1240",'
            '"playbackLastOffsetPos":"9920"}}',
        ),
        (
            NEXT,
            '{"type":"playDone","data":{"id":"v8","reason":"completed","playbackSeconds":1,'
            '"playbackMilliseconds":1240,"playbackLastOffsetPos":9920}}',
        ),
        (IDEAL, '{"type":"playDone"}'),
    ],
    ids=["current", "next", "ideal"],
)
def test_each_implementation_says_its_own_play_done(profile: Profile, text: str) -> None:
    playout = Playout(profile)

    playout.take_text(play(tone(9920), id="v8"))
    messages = [message for _ in range(70) for message in playout.play_tick().messages]

    assert profile.serialize_messages(messages) == (text,)


def test_of_3200_bytes_the_last_128_are_a_piece_of_their_own() -> None:
    line = Line()
    line.send(FRAME * 8)
    line.run(200)

    line.send(tone(1600))

    # Of 512, 512, 512 and 64 samples the second piece fills the pre-buffer again.
    assert (line.playout.buffered, line.held) == (1024 / SECOND, 576)


def test_disconnect_is_obeyed_and_outstanding_marks_get_no_answer() -> None:
    line = Line()
    line.send(mark("a"), *ONE_SECOND, mark("b"))

    verdicts = line.playout.take_text(b'{"type":"disconnect"}')
    line.playout.end_listen()
    line.run(2000)

    assert words(*verdicts) == ["obeyed"]
    assert line.answers == []
