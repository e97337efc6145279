"""A whole playout, fed with wire bytes (listenctl-protocol(7) 5, 6, 11 V10 to V13); clips have tests of their own."""

import struct
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.jambonz_messages import Mark
from listenctl.protocol.jambonz_model.command_verdicts import Verdict
from listenctl.protocol.jambonz_model.playout import Playout
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, PROFILES, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio
from tests.helpers.playout import V7, words

MARK = b'{"type":"mark","data":{"name":"my-mark-1"}}'
KILL = b'{"type":"killAudio"}'
CLEAR = b'{"type":"clearMarks"}'


def streaming(profile: Profile = CURRENT, sample_rate: int = 8000, *, enabled: bool = True) -> Playout:
    return Playout(profile, BidirectionalAudio(enabled=enabled, streaming=True, sample_rate=sample_rate))


def mark(name: str) -> bytes:
    return b'{"type":"mark","data":{"name":"' + name.encode() + b'"}}'


def run(playout: Playout, ms: int) -> tuple[list[tuple[int, str, str]], list[Verdict]]:
    """Step the playout; return the answers to marks with their milliseconds, and the verdicts."""
    answers = []
    verdicts: list[Verdict] = []
    for _ in range(ms // 20):
        at = round(playout.time * 1000)
        tick = playout.play_tick()
        answers += [(at, message.name, message.event) for message in tick.messages if isinstance(message, Mark)]
        verdicts += tick.verdicts
    return answers, verdicts


def replay(playout: Playout, sent: list[tuple[int, list[bytes]]], *, until: int) -> list[tuple[int, str, str]]:
    """Send texts and audio at their milliseconds; return the answers to marks."""
    answers = []
    for at, messages in sent:
        answers += run(playout, at - round(playout.time * 1000))[0]
        for message in messages:
            if message.startswith(b"{"):
                playout.take_text(message)
            else:
                playout.take_audio(message)
    return answers + run(playout, until - round(playout.time * 1000))[0]


def test_a_mark_is_answered_with_the_very_bytes_of_the_media_server() -> None:
    playout = streaming()

    playout.take_text(MARK)
    tick = playout.play_tick()

    (text,) = CURRENT.serialize_messages(tick.messages)
    assert text.encode() == bytes.fromhex(
        "7b2274797065223a20226d61726b222c202264617461223a207b226e616d65223a226d792d6d61726b2d31222c20226576656e74223a"
        "2022706c61796f7574227d7d"
    )


@pytest.mark.parametrize("text", [b'{"type":"mark","name":"x"}', b'{"type":"mark","data":{"name":5}}'])
def test_a_mark_without_a_name_in_its_data_is_ignored(text: bytes) -> None:
    playout = streaming()

    assert words(*playout.take_text(text)) == ["ignored no-name"]
    assert run(playout, 100) == ([], [])


def test_a_message_is_taken_in_pieces_of_1024_bytes() -> None:
    playout = streaming()

    # 1024, 1024, 1024 and 128 bytes: the third piece fills the pre-buffer, and the fourth stays.
    playout.take_audio(bytes(3200))

    assert playout.buffered == 1536 / 8000
    assert playout.held == 64 / 8000


def test_a_mark_behind_a_long_message_comes_before_its_last_piece() -> None:
    playout = streaming()

    playout.take_audio(bytes(16000))
    playout.take_text(MARK)

    # 320 samples of 8000 wait in the pre-buffer for more.
    assert run(playout, 2000)[0] == [(960, "my-mark-1", "playout")]


def test_an_odd_byte_waits_for_the_next_message() -> None:
    playout = streaming()

    for _ in range(10):
        playout.take_audio(b"\x34" + b"\x12\x34" * 127)
    assert (playout.held, playout.buffered) == (1275 / 8000, 0)
    playout.take_audio(bytes(9))
    assert (playout.held, playout.buffered) == (1279 / 8000, 0)
    playout.take_audio(b"\x34")

    assert playout.held == 0
    assert playout.play_tick().audio[:254] == b"\x34\x12" * 127


def test_an_empty_message_is_nothing() -> None:
    playout = streaming()
    playout.take_text(MARK)

    assert playout.take_audio(b"") == ()

    # Any other message would have taken the mark into the audio.
    assert run(playout, 20)[0] == [(0, "my-mark-1", "playout")]


@pytest.mark.parametrize(
    ("size", "fragmented", "lost"),
    [(900_019, False, False), (900_019, True, True), (300_019, True, False), (665_600, True, False)],
)
def test_long_messages_must_not_come_in_fragments(size: int, fragmented: bool, lost: bool) -> None:
    text = b'{"type":"killAudio"}'.ljust(size)

    (verdict,) = streaming().take_text(text, fragmented=fragmented)

    assert words(verdict) == ["ignored fragments-too-long" if lost else "obeyed"]
    assert verdict.wrong == lost


def test_long_audio_in_fragments_is_lost() -> None:
    playout = streaming()

    assert words(*playout.take_audio(bytes(665_602), fragmented=True)) == ["ignored fragments-too-long"]
    assert playout.buffered == 0
    assert playout.take_audio(bytes(9_600_000)) == ()
    assert playout.buffered + playout.held == 600


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

    answers = replay(streaming(), sent, until=14000)

    assert answers == [
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
    (found,) = streaming().take_text(text)

    assert words(found) == [verdict]
    assert found.wrong == (not verdict.startswith(("obeyed", "queued")))
    assert found.command == 1


def test_verdicts_carry_the_number_of_their_message() -> None:
    playout = streaming()

    playout.take_audio(bytes(320))
    playout.take_text(MARK)
    playout.take_audio(bytes(320))

    assert [verdict.command for verdict in playout.take_text(KILL)] == [4]
    assert [(verdict.command, *words(verdict)) for verdict in run(playout, 20)[1]] == [(2, "interrupted killed")]


def test_the_31st_mark_is_dropped() -> None:
    playout = streaming()

    verdicts = [playout.take_text(MARK)[0] for _ in range(31)]

    assert words(*verdicts) == ["queued"] * 30 + ["ignored too-many-marks"]
    assert playout.outstanding_marks == ("my-mark-1",) * 30


def test_a_mark_that_is_answered_early_is_said_to_be() -> None:
    playout = streaming()
    playout.take_text(MARK)
    playout.take_audio(b"\xff\xff" * 1280)
    playout.take_text(mark("second"))
    playout.take_audio(bytes(1280))

    _, verdicts = run(playout, 20)

    assert words(*verdicts) == ["finished", "finished sample-value"]
    assert [verdict.wrong for verdict in verdicts] == [False, True]


def test_audio_too_soon_after_kill_is_said_to_be_lost() -> None:
    playout = streaming()
    playout.take_text(KILL)
    playout.take_audio(bytes(2560))

    _, verdicts = run(playout, 20)

    assert words(*verdicts) == ["ignored too-soon"]
    assert verdicts[0].sentence.startswith("1280 samples")
    assert verdicts[0].command == 2


def test_marks_that_are_forgotten_get_a_verdict_each() -> None:
    playout = streaming()
    playout.take_text(mark("a"))
    playout.take_text(mark("b"))

    verdicts = playout.take_text(CLEAR)

    assert [(verdict.command, *words(verdict)) for verdict in verdicts] == [
        (1, "interrupted forgotten"),
        (2, "interrupted forgotten"),
        (3, "obeyed"),
    ]


def test_without_streaming_audio_and_marks_come_to_nothing() -> None:
    playout = Playout()

    assert words(*playout.take_audio(bytes(320)), *playout.take_audio(bytes(320))) == ["ignored not-streaming"]
    assert words(*playout.take_text(MARK), *playout.take_text(CLEAR)) == ["ignored not-streaming"] * 2
    assert run(playout, 100) == ([], [])
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
    assert not Playout(CURRENT, option).streams
    assert not Playout(IDEAL, option).streams


def test_old_takes_no_audio_and_knows_no_marks() -> None:
    playout = streaming(OLD)

    assert not playout.streams
    assert words(*playout.take_audio(bytes(320))) == ["ignored unsupported"]
    assert words(*playout.take_text(MARK), *playout.take_text(CLEAR)) == ["ignored unknown-type"] * 2
    assert words(*playout.take_text(V7)) == ["played"]


@pytest.mark.parametrize(
    ("profile", "streams"), [(CURRENT, True), (NEXT, False), (IDEAL, False)], ids=lambda value: str(value)[:20]
)
def test_disabled_is_not_disabled_everywhere(profile: Profile, streams: bool) -> None:
    playout = streaming(profile, enabled=False)

    assert playout.streams == streams
    assert words(*playout.take_audio(bytes(320))) == ([] if streams else ["ignored disabled"])


@pytest.mark.parametrize("profile", [IDEAL, NEXT])
def test_marks_and_tails_work_as_documented(profile: Profile) -> None:
    playout = streaming(profile, 16000)

    playout.take_audio(bytes(32000))
    playout.take_text(mark("half"))
    playout.take_audio(bytes(100))
    playout.take_text(mark("end"))

    answers, verdicts = run(playout, 2000)
    assert answers == [(1000, "half", "playout"), (1000, "end", "playout")]
    assert words(*verdicts, *playout.end_listen()) == ["finished", "finished"]


def test_a_stream_is_added_to_what_else_plays_and_wraps_around() -> None:
    playout = streaming()
    playout.take_audio(struct.pack("<h", 20000) * 1280 + struct.pack("<h", 1) * 640)
    beneath = struct.pack("<h", 20000) * 160

    heard = b"".join(playout.play_tick(beneath).audio for _ in range(13))

    values = [(value, len(list(run))) for value, run in groupby(struct.unpack("<2080h", heard))]
    assert values == [(-25536, 1280), (20001, 256), (20000, 544)]


def test_every_tick_has_its_length() -> None:
    playout = Playout(CURRENT, BidirectionalAudio(streaming=True, sample_rate=11025), call_rate=11025)
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
    playout = Playout(PROFILES[name], BidirectionalAudio(streaming=streams, sample_rate=16000))

    for message in sent:
        verdicts = playout.take_text(message)
        assert verdicts
        playout.take_audio(message)
        assert len(playout.play_tick().audio) == 320
    playout.end_listen()
