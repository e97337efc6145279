"""
A whole playout with wire bytes: listenctl-protocol(7) 5, 6 and the vectors V8 to V13 of 11.

V11 was measured with whole messages. A socket delivers pieces of 1024 bytes (6.1), so that of 8000 samples in one
message the last 320 stay in the pre-buffer. Here messages are 50 ms long: nothing stays, and the times are as in V11.
"""

import struct
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, PROFILES, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio
from tests.helpers.playout import SECOND, V7, mark, new_playout, play, streaming, tone, words

MARK = b'{"type":"mark","data":{"name":"my-mark-1"}}'
KILL = b'{"type":"killAudio"}'
CLEAR = b'{"type":"clearMarks"}'
FRAME = tone(160)


@pytest.mark.parametrize("text", [b'{"type":"mark","name":"x"}', b'{"type":"mark","data":{"name":5}}'])
def test_a_mark_without_a_name_in_its_data_is_ignored(text: bytes) -> None:
    call = streaming()

    assert words(*call.playout.take_text(text)) == ["ignored no-name"]
    assert call.run(0.1) == []
    assert call.messages == []


def test_a_message_is_taken_in_pieces_of_1024_bytes() -> None:
    call = streaming()

    # 1024, 1024, 1024 and 128 bytes: the third piece fills the pre-buffer, and the fourth stays.
    call.playout.take_audio(bytes(3200))

    assert call.playout.buffered == 1536 / 8000
    assert call.playout.held == 64 / 8000


def test_an_odd_byte_waits_for_the_next_message() -> None:
    call = streaming()

    for _ in range(10):
        call.playout.take_audio(b"\x34" + b"\x12\x34" * 127)
    assert (call.playout.held, call.playout.buffered) == (1275 / 8000, 0)
    call.playout.take_audio(bytes(9))
    assert (call.playout.held, call.playout.buffered) == (1279 / 8000, 0)
    call.playout.take_audio(b"\x34")

    assert call.playout.held == 0
    assert call.playout.play_tick().audio[:254] == b"\x34\x12" * 127


def test_an_empty_message_is_nothing() -> None:
    call = streaming()
    call.playout.take_text(MARK)

    assert call.playout.take_audio(b"") == ()

    # Any other message would have taken the mark into the audio.
    call.run(0.02)
    assert call.answers == [(0, "my-mark-1", "playout")]


@pytest.mark.parametrize(
    ("size", "fragment", "lost"),
    [
        (900_019, 0, False),
        (900_019, 60_000, True),
        (300_019, 60_000, False),
        # The buffer is as large as the first fragment, and grows in steps of 8192 bytes.
        (658_016, 60_000, False),
        (658_017, 60_000, True),
        (663_552, 8192, False),
        (663_553, 8192, True),
        (665_600, 657_408, False),
        (665_601, 700_000, False),
        (700_001, 700_000, True),
    ],
)
def test_long_texts_must_not_come_in_fragments(size: int, fragment: int, lost: bool) -> None:
    text = b'{"type":"killAudio"}'.ljust(size)

    (verdict,) = streaming().playout.take_text(text, fragments=cut_in(size, fragment))

    assert words(verdict) == ["ignored fragments-too-long" if lost else "obeyed"]
    assert verdict.wrong == lost


@pytest.mark.parametrize("fragment", [0, 60_000])
def test_audio_has_no_limit_in_fragments_or_without(fragment: int) -> None:
    call = streaming()

    assert call.playout.take_audio(bytes(9_600_000), fragments=cut_in(9_600_000, fragment)) == ()
    assert call.playout.buffered + call.playout.held == 600


@pytest.mark.parametrize(("fragment", "released"), [(0, 15_872), (8120, 15_764), (160, 16_000), (1023, 15_856)])
def test_each_fragment_is_cut_into_pieces(fragment: int, released: int) -> None:
    # 15,872 and 15,764 samples were heard of the running media server.
    call = streaming()

    call.playout.take_audio(bytes(32_000), fragments=cut_in(32_000, fragment))

    assert call.playout.buffered * 8000 == pytest.approx(released)
    assert call.playout.held * 8000 == pytest.approx(16_000 - released)


def cut_in(size: int, fragment: int) -> list[int]:
    """Return the sizes of the fragments of ``size`` bytes; none for a single frame."""
    return [min(fragment, size - at) for at in range(0, size, fragment)] if fragment else []


def test_a_real_call_gets_its_answers_at_the_same_times() -> None:
    """
    The server's side of capture c2, as it reached the media server, with zeros for the sound.

    Milliseconds count from the first tick after its first mark. The frames behind a text came a little later, because
    TCP held them back.
    """
    frame, burst = bytes(320), bytes(8000)
    sent = [
        (0, [mark("greet-start")]),
        (20, [frame, frame]),
        *((20 * number, [frame]) for number in range(2, 150)),
        (3000, [mark("greet-end")]),
        (4000, [mark("burst-0")]),
        (4020, [burst, mark("burst-1"), burst, mark("burst-2"), burst, mark("burst-3"), burst, mark("burst-end")]),
        (7000, [part for number in range(5) for part in (mark(f"kill-{number}"), burst)]),
        (7020, [mark("kill-5"), burst, mark("kill-end")]),
        (8000, [KILL]),
        (9000, [mark("cl-1")]),
        (9020, [bytes(16000), CLEAR]),
    ]

    call = streaming()
    for (at, messages), (until, _) in pairwise([*sent, (14000, [])]):
        call.send(*messages)
        call.run((until - at) / 1000)

    assert call.answers == [
        (0, "greet-start", "playout"),
        (3100, "greet-end", "playout"),
        (4000, "burst-0", "playout"),
        (4560, "burst-1", "playout"),
        (5060, "burst-2", "playout"),
        (5560, "burst-3", "playout"),
        (6020, "burst-end", "playout"),
        (7040, "kill-0", "playout"),
        (7540, "kill-1", "playout"),
        *((8000, f"kill-{number}", "cleared") for number in (2, 3, 4, 5)),
        (8000, "kill-end", "cleared"),
    ]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (KILL, "obeyed"),
        (CLEAR, "obeyed"),
        (b'{"type":"disconnect"}', "obeyed"),
        (MARK, "queued"),
        (V7, "ignored streaming"),
        (rb'{"type":"mark","data":{"name":"a\"b"}}', "misread name-not-escaped"),
        (b'{"type":"error","data":{}}', "misread ends-verb-only"),
        (b'{"type":"transcription"}', "ignored no-effect"),
        (b'{"type":"transfer"}', "ignored no-effect"),
        (b'{"type":"KILLAUDIO"}', "ignored unknown-type"),
        (b'{"hello":1}', "ignored no-type"),
        (b'{"type":"killAudio"} trailing', "obeyed"),
        (b"not json", "ignored no-json"),
        (b"", "ignored no-json"),
        (b"\xff", "ignored no-json"),
    ],
)
def test_each_text_gets_a_verdict(text: bytes, verdict: str) -> None:
    (found,) = streaming().playout.take_text(text)

    assert words(found) == [verdict]
    assert found.wrong == (not verdict.startswith(("obeyed", "queued")))
    assert found.command == 1


@pytest.mark.parametrize(
    ("sent", "last", "verdicts"),
    [
        ([bytes(320), MARK, bytes(320)], KILL, [(4, "obeyed"), (2, "interrupted killed")]),
        ([mark("a"), mark("b")], CLEAR, [(1, "interrupted forgotten"), (2, "interrupted forgotten"), (3, "obeyed")]),
    ],
)
def test_verdicts_carry_the_number_of_their_message(
    sent: list[bytes], last: bytes, verdicts: list[tuple[int, str]]
) -> None:
    call = streaming()
    call.send(*sent)

    found = [*call.playout.take_text(last), *call.run(0.02)]

    assert [(verdict.command, *words(verdict)) for verdict in found] == verdicts


def test_the_31st_mark_is_dropped() -> None:
    call = streaming()

    verdicts = [call.playout.take_text(MARK)[0] for _ in range(31)]

    assert words(*verdicts) == ["queued"] * 30 + ["ignored too-many-marks"]
    assert call.playout.outstanding_marks == ("my-mark-1",) * 30
    call.run(1)
    assert call.answers == [(20 * number, "my-mark-1", "playout") for number in range(30)]


def test_audio_too_soon_after_kill_is_said_to_be_lost() -> None:
    call = streaming()
    call.playout.take_text(KILL)
    call.playout.take_audio(bytes(2560))

    verdicts = call.run(0.02)

    assert words(*verdicts) == ["ignored too-soon"]
    assert verdicts[0].sentence.startswith("1280 samples")
    assert verdicts[0].command == 2


def test_without_streaming_audio_and_marks_come_to_nothing() -> None:
    playout = new_playout()

    assert words(*playout.take_audio(bytes(320)), *playout.take_audio(bytes(320))) == ["ignored not-streaming"]
    assert words(*playout.take_text(MARK), *playout.take_text(CLEAR)) == ["ignored not-streaming"] * 2
    assert not any(playout.play_tick().messages for _ in range(5))
    assert (playout.buffered, playout.held, playout.outstanding_marks) == (0, 0, ())


@pytest.mark.parametrize(
    "option",
    [
        BidirectionalAudio(streaming=True),
        BidirectionalAudio(streaming=True, sample_rate=0),
        BidirectionalAudio(sample_rate=8000),
    ],
)
def test_streaming_needs_a_rate(option: BidirectionalAudio) -> None:
    assert not new_playout(CURRENT, option).streams
    assert not new_playout(IDEAL, option).streams


def test_old_takes_no_audio_and_knows_no_marks() -> None:
    call = streaming(OLD)

    assert not call.playout.streams
    assert words(*call.playout.take_audio(bytes(320))) == ["ignored unsupported"]
    assert words(*call.playout.take_text(MARK), *call.playout.take_text(CLEAR)) == ["ignored unsupported"] * 2
    assert words(*call.playout.take_text(V7)) == ["played"]


@pytest.mark.parametrize(
    ("profile", "streams"), [(CURRENT, True), (NEXT, False), (IDEAL, False)], ids=lambda value: str(value)[:20]
)
def test_disabled_is_not_disabled_everywhere(profile: Profile, streams: bool) -> None:
    call = streaming(profile, enabled=False)

    assert call.playout.streams == streams
    assert words(*call.playout.take_audio(bytes(320))) == ([] if streams else ["ignored disabled"])


@pytest.mark.parametrize("profile", [IDEAL, NEXT])
def test_marks_and_tails_work_as_documented(profile: Profile) -> None:
    call = streaming(profile, 16000)

    assert call.send(bytes(32000), mark("half"), bytes(100), mark("end")) == ["queued", "queued"]

    verdicts = call.run(2)
    assert call.answers == [(1000, "half", "playout"), (1000, "end", "playout")]
    assert words(*verdicts, *call.playout.end_listen()) == ["finished", "finished"]


def test_a_stream_is_added_to_what_else_plays_and_wraps_around() -> None:
    call = streaming()
    call.playout.take_audio(struct.pack("<h", 20000) * 1280 + struct.pack("<h", 1) * 640)
    beneath = struct.pack("<h", 20000) * 160

    heard = b"".join(call.playout.play_tick(beneath).audio for _ in range(13))

    values = [(value, len(list(run))) for value, run in groupby(struct.unpack("<2080h", heard))]
    assert values == [(-25536, 1280), (20001, 256), (20000, 544)]


def test_every_tick_has_its_length() -> None:
    playout = new_playout(CURRENT, BidirectionalAudio(streaming=True, sample_rate=11025), call_rate=11025)
    playout.take_audio(bytes(22050))

    sizes = [len(playout.play_tick().audio) for _ in range(100)]

    assert sizes[:4] == [440, 442, 440, 442]
    assert sum(sizes) == 2 * 2 * 11025
    assert playout.time == 2.0


@given(
    st.sampled_from(sorted(PROFILES)),
    st.booleans(),
    st.lists(st.binary(max_size=3000) | st.sampled_from([V7, KILL, CLEAR, MARK, b"{}"]), max_size=30),
)
def test_nothing_that_is_sent_raises(name: str, streams: bool, sent: list[bytes]) -> None:
    playout = new_playout(PROFILES[name], BidirectionalAudio(streaming=streams, sample_rate=16000))

    for message in sent:
        verdicts = playout.take_text(message)
        assert verdicts
        playout.take_audio(message)
        assert len(playout.play_tick().audio) == 320
    playout.end_listen()


def chunks(samples: bytes) -> list[bytes]:
    """Cut into messages of 400 samples: four fill the pre-buffer at first, two later."""
    return [samples[start : start + 800] for start in range(0, len(samples), 800)]


ONE_SECOND = chunks(tone(SECOND))


def test_frames_are_heard_from_the_eighth_on_and_then_four_at_a_time() -> None:
    line = streaming()

    line.send(*[FRAME] * 7)
    line.run(0.1)
    assert (sum(line.audible), line.held) == (0, 1120)

    line.send(FRAME)
    line.run(0.2)
    assert line.audible[5:] == [160] * 8 + [0, 0]

    line.send(*[FRAME] * 3)
    line.run(0.1)
    assert (line.audible[15:], line.held) == ([0] * 5, 480)

    line.send(FRAME)
    line.run(0.1)
    assert (line.audible[20:], line.held) == ([160] * 4 + [0], 0)


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        ([*ONE_SECOND, mark("m1")], [(1000, "m1", "playout")]),
        ([mark("m0"), *ONE_SECOND, mark("m1")], [(0, "m0", "playout"), (1020, "m1", "playout")]),
        # In one message, of which 7680 samples are played.
        ([tone(SECOND), mark("m1")], [(960, "m1", "playout")]),
    ],
    ids=["behind", "in-front-and-behind", "behind-one-message"],
)
def test_marks_are_answered_in_their_time(sent: list[bytes], answers: list[tuple[int, str, str]]) -> None:
    line = streaming()

    line.send(*sent)
    line.run(3)

    assert line.answers == answers


def test_with_a_stuck_mark_161_entries_are_held() -> None:
    line = streaming()

    line.send(*[FRAME] * 8, mark("x"), FRAME, mark("y"))
    line.run(5)

    assert (line.answers, line.held, line.playout.outstanding_marks) == ([], 161, ("x", "y"))


def test_after_kill_a_mark_is_answered_in_the_place_of_the_next() -> None:
    line = streaming()

    line.send(mark("a"), *ONE_SECOND, mark("b"), *ONE_SECOND)
    line.run(0.2)
    line.send(KILL)
    line.run(0.02)
    line.send(mark("c"), *ONE_SECOND, mark("d"), *ONE_SECOND)
    line.run(5)

    # `c` comes at the start of the second that follows it, where `d` should.
    assert line.answers == [(0, "a", "playout"), (200, "b", "cleared"), (1220, "c", "playout")]
    assert words(*line.verdicts)[-1] == "finished shifted"
    assert line.playout.outstanding_marks == ("d",)


@pytest.mark.parametrize(("wait", "heard"), [(0, [(1000, 800)]), (0.02, [(1000, 800), (2000, 1600)])])
def test_audio_within_a_tick_of_kill_is_lost(wait: float, heard: list[tuple[int, int]]) -> None:
    line = streaming()
    line.send(*ONE_SECOND)
    line.run(0.1)

    line.send(KILL)
    line.run(wait)
    line.send(*chunks(tone(1600, 2000)))
    line.run(1)

    assert line.runs == heard
    assert line.held == 0


def test_real_samples_of_minus_one_answer_marks_early() -> None:
    line = streaming()

    for number in range(5):
        line.send(*chunks(tone(1000) + b"\xff\xff" + tone(6999)), mark(f"m{number}"))
    line.run(6)

    assert line.answers == [
        (120, "m0", "playout"),
        (1000, "m1", "playout"),
        (1120, "m2", "playout"),
        (2000, "m3", "playout"),
        (5020, "m4", "playout"),
    ]
    finished = [verdict for verdict in line.verdicts if verdict.outcome == "finished"]
    assert [verdict.reason for verdict in finished] == [*["sample-value"] * 4, ""]
    assert [verdict.wrong for verdict in finished] == [True, True, True, True, False]


PLAYED = '"playbackSeconds":"1","playbackMilliseconds":"1240","playbackLastOffsetPos":"9920"}}'


@pytest.mark.parametrize(
    ("profile", "data", "text"),
    [
        (CURRENT, {"id": "v8"}, '{"type":"playDone","data":{"id":"v8",' + PLAYED),
        (CURRENT, {}, '{"type":"playDone","data":{' + PLAYED),
        (OLD, {"id": "v8"}, '{"type":"playDone","data":{"id":"v8",' + PLAYED),
        (
            NEXT,
            {"id": "v8"},
            '{"type":"playDone","data":{"id":"v8","reason":"completed","playbackSeconds":1,'
            '"playbackMilliseconds":1240,"playbackLastOffsetPos":9920}}',
        ),
        (IDEAL, {"id": "v8"}, '{"type":"playDone"}'),
    ],
    ids=["current", "without id", "old", "next", "ideal"],
)
def test_each_implementation_says_its_own_play_done(profile: Profile, data: dict[str, object], text: str) -> None:
    playout = new_playout(profile)

    playout.take_text(play(tone(9920), **data))
    messages = [message for _ in range(70) for message in playout.play_tick().messages]

    assert profile.serialize_messages(messages) == (text,)
