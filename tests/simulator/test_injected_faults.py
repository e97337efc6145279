"""What each fault does to a call (protocol.md 2.6, 3.3, 6.1, 13), without a call."""

import pytest

from listenctl.errors import UsageError
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.jambonz_model.first_text import BROKEN_FIRST_TEXTS
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer
from listenctl.simulator.fault_catalogue import FAULT_KINDS, FaultValue
from listenctl.simulator.injected_faults import ClosingMode, FaultNote, InjectedFaults, parse_fault

GOOD = b'{"sampleRate":8000,"mixType":"mono","callSid":"c"}'
KEY = b'{"event":"dtmf","dtmf":"1","duration":"1600"}'


def troubles(*specs: str, channels: int = 1) -> InjectedFaults:
    return InjectedFaults([parse_fault(spec) for spec in specs], channels=channels)


def test_without_faults_nothing_is_changed() -> None:
    none = troubles()

    assert none.first_text(GOOD) == GOOD
    assert none.first_text_is_due(0.0, audio_sent=False)
    assert none.together([GOOD, KEY]) == (GOOD, KEY)
    assert none.cut(b"\1\2\3\4") == (b"\1\2\3\4",)
    assert none.skew(b"\1\2\3\4") == b"\1\2\3\4"
    assert (none.gate(0.0), none.captures(0.0), none.reads(0.0, 10**9)) == (True, True, True)
    assert none.subprotocol("audio.jambonz.org") == "audio.jambonz.org"
    assert (none.backlog, none.buffer_seconds(2.0), none.early_digits) == (0.0, 2.0, "")
    assert (none.ending, none.read_rate, none.notes(1e9)) == (ClosingMode.HANG_UP, None, ())


@pytest.mark.parametrize(
    ("spec", "text", "number", "start"),
    [
        ("stall", "3", 3.0, 2.0),
        ("stall=4.5", "4.5", 4.5, 2.0),
        ("stall=3@5", "3@5", 3.0, 5.0),
        ("pause=1@0", "1@0", 1.0, 0.0),
        ("burst=2", "2", 2.0, 0.0),
        ("slow-reader", "0", 0.0, 0.0),
        ("skew=17", "17", 17.0, 0.0),
        ("glued-texts=#A", "#A", 0.0, 0.0),
        ("subprotocol=chat", "chat", 0.0, 0.0),
        ("odd-chunks", "", 0.0, 0.0),
    ],
)
def test_a_fault_is_read_with_its_value_or_the_default(spec: str, text: str, number: float, start: float) -> None:
    fault = parse_fault(spec)

    assert fault.name == spec.partition("=")[0]
    assert (fault.text, fault.number, fault.start) == (text, number, start)


@pytest.mark.parametrize("name", FAULT_KINDS)
def test_each_fault_can_be_asked_for_by_its_name_alone(name: str) -> None:
    assert parse_fault(name).kind is FAULT_KINDS[name]


@pytest.mark.parametrize("name", [name for name, kind in FAULT_KINDS.items() if kind.value])
def test_an_empty_value_is_none(name: str) -> None:
    with pytest.raises(UsageError, match=f"--fault '{name}=': can't read ''; give {name}="):
        parse_fault(f"{name}=")


def test_an_unknown_fault_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        parse_fault("stal=3")

    assert str(caught.value).startswith("--fault 'stal': there is no such fault; give one of first-frame-apostrophe, ")
    assert all(name in str(caught.value) for name in FAULT_KINDS)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("odd-chunks=3", "takes no value; give odd-chunks"),
        ("stall=-1", "can't read '-1'; give stall=SECONDS[@START]"),
        ("stall=3@", "can't read ''; give stall=SECONDS[@START]"),
        ("stall=nan", "can't read 'nan'"),
        ("stall=0", "0 is not from 0.001 to 3600"),
        ("burst=5.1", "5.1 is not from 0.001 to 5"),
        ("burst=1@2", "can't read '1@2'; give burst=SECONDS"),
        ("skew=0", "0 is not from 1 to 640000"),
        ("skew=1.5", "can't read '1.5'; give skew=SAMPLES"),
        ("glued-texts=12x", "can't read '12x'; give glued-texts=DIGITS"),
        ("subprotocol=a\r\nX: y", r"can't read 'a\r\nX: y'; give subprotocol=NAME"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(spec: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_fault(spec)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "specs",
    [
        ("first-frame-cut", "first-frame-empty"),
        ("no-first-frame", "first-frame-quotes"),
        ("no-first-frame", "late-first-frame"),
        ("first-frame-binary", "late-first-frame"),
        ("abrupt-end", "graceful-shutdown"),
        ("subprotocol", "no-subprotocol"),
        ("burst=1", "burst=2"),
    ],
)
def test_faults_that_contradict_each_other_are_refused(specs: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=f"{specs[0]} and {specs[1]}".replace("=1", "").replace("=2", "")):
        troubles(*specs)


def test_each_way_to_break_a_first_frame_is_a_fault() -> None:
    assert {f"first-frame-{name}" for name in BROKEN_FIRST_TEXTS} == {
        name for name in FAULT_KINDS if name.startswith("first-frame-") and name != "first-frame-binary"
    }


@pytest.mark.parametrize("name", BROKEN_FIRST_TEXTS)
def test_the_first_text_is_broken(name: str) -> None:
    broken = troubles(f"first-frame-{name}").first_text(GOOD)

    assert broken == BROKEN_FIRST_TEXTS[name](GOOD)
    assert broken != GOOD


def test_there_may_be_no_first_text() -> None:
    assert troubles("no-first-frame").first_text(GOOD) is None


def test_a_late_first_text_lets_audio_go_ahead() -> None:
    late = troubles("late-first-frame=2.5")

    assert not late.first_text_is_due(0.0, audio_sent=False)
    assert not late.first_text_is_due(2.48, audio_sent=True)
    assert late.first_text_is_due(2.5, audio_sent=True)


def test_a_binary_frame_may_come_first() -> None:
    binary = troubles("first-frame-binary")

    assert not binary.first_text_is_due(60.0, audio_sent=False)
    assert binary.first_text_is_due(0.02, audio_sent=True)


def test_texts_that_leave_together_are_glued() -> None:
    glued = troubles("glued-texts=1")

    assert glued.early_digits == "1"
    assert glued.together([GOOD, KEY]) == (
        b'{"sampleRate":8000,"mixType":"mono","callSid":"c"}{"event":"dtmf","dtmf":"1","duration":"1600"}',
    )
    assert glued.together([KEY]) == (KEY,)
    assert glued.together([]) == ()


def test_a_burst_is_captured_before_the_connection_and_fits_the_buffer() -> None:
    assert (troubles("burst=1").backlog, troubles("burst=1").buffer_seconds(2.0)) == (1.0, 2.0)
    assert (troubles("burst=4").backlog, troubles("burst=4").buffer_seconds(2.0)) == (4.0, 4.5)


def test_during_a_stall_nothing_leaves() -> None:
    stalled = troubles("stall=3@5", "stall=1@10")

    shut = [number / 10 for number in range(120) if not stalled.gate(number / 10)]

    assert shut == [*(number / 10 for number in range(50, 80)), *(number / 10 for number in range(100, 110))]
    assert stalled.captures(6.0)


def test_a_stall_longer_than_the_buffer_costs_a_buffer_full_and_sixteen_bytes() -> None:
    stalled = troubles("stall=4@2")
    fork = SendBuffer(AudioFormat(8000, 1), seconds=3.0, resampled=False)
    messages, lost = [], []

    for number in range(350):
        if samples := fork.add_frame(bytes(320)):
            lost.append((number / 50, samples))
        if stalled.gate(number / 50):
            messages.append(fork.take_message())

    # V14: 3 s are gone at 5 s, and the next message, at 6 s, lacks its first 16 bytes.
    assert lost == [(5.0, 24_008)]
    assert [len(message) for message in messages] == [320] * 100 + [16_304] + [320] * 49


@pytest.mark.parametrize(("seconds", "size"), [(0.5, 8_000), (1.5, 24_000), (5.0, 80_000)])
def test_a_burst_is_one_message(seconds: float, size: int) -> None:
    burst = troubles(f"burst={seconds}")
    fork = SendBuffer(AudioFormat(8000, 1), seconds=burst.buffer_seconds(2.0), resampled=False)

    lost = sum(fork.add_frame(bytes(320)) for _ in range(round(burst.backlog * 50)))

    assert lost == 0
    assert len(fork.take_message()) == size


def test_during_a_pause_nothing_is_captured() -> None:
    paused = troubles("pause=3@5")

    assert [paused.captures(elapsed) for elapsed in (4.98, 5.0, 7.98, 8.0)] == [True, False, False, True]
    assert paused.gate(6.0)


@pytest.mark.parametrize(
    ("message", "pieces"),
    [
        (b"", (b"",)),
        (b"\1", (b"\1",)),
        (b"\1\2", (b"\1", b"\2")),
        (b"\1\2\3\4", (b"\1\2\3", b"\4")),
        (b"\1\2\3\4\5\6", (b"\1\2\3", b"\4\5\6")),
    ],
)
def test_chunks_are_odd(message: bytes, pieces: tuple[bytes, ...]) -> None:
    assert troubles("odd-chunks").cut(message) == pieces


@pytest.mark.parametrize("size", [320, 640, 624, 96_000])
def test_both_chunks_of_a_frame_are_odd(size: int) -> None:
    message = bytes(number % 251 for number in range(size))

    first, second = troubles("odd-chunks").cut(message)

    assert first + second == message
    assert (len(first) % 2, len(second) % 2) == (1, 1)


def test_the_right_channel_is_late_across_frames() -> None:
    skewed = troubles("skew=3", channels=2)
    sent = bytes.fromhex("0100a100 0200a200 0300a300 0400a400 0500a500")

    pieces = [skewed.skew(sent[:8]), skewed.skew(b""), skewed.skew(sent[8:])]

    assert pieces == [
        bytes.fromhex("01000000 02000000"),
        b"",
        bytes.fromhex("03000000 0400a100 0500a200"),
    ]


def test_only_stereo_can_be_skewed() -> None:
    with pytest.raises(UsageError, match="give --mix-type stereo"):
        troubles("skew=3", channels=1)


def test_a_slow_reader_reads_so_many_bytes_a_second() -> None:
    slow = troubles("slow-reader=1000")

    assert slow.read_rate == 1000.0
    assert slow.reads(0.5, 499)
    assert not slow.reads(0.5, 500)
    assert slow.reads(0.501, 500)


def test_the_slowest_reader_never_reads() -> None:
    assert not troubles("slow-reader").reads(3600.0, 0)


def test_calls_end_in_three_ways() -> None:
    assert troubles("abrupt-end").ending is ClosingMode.ABORT
    assert troubles("graceful-shutdown=7").ending is ClosingMode.SHUT_DOWN
    assert troubles("graceful-shutdown=7").patience == 7.0


def test_another_subprotocol_or_none_is_offered() -> None:
    assert troubles("subprotocol=chat").subprotocol("audio.jambonz.org") == "chat"
    assert troubles("no-subprotocol").subprotocol("audio.jambonz.org") is None


def test_faults_are_reported_once_when_they_begin() -> None:
    noted = troubles("stall=1@4", "odd-chunks", "pause=2@3")

    assert noted.notes(0.0) == (FaultNote("odd-chunks", "", "binary messages end in the middle of a sample", 0.0),)
    assert noted.notes(2.98) == ()
    assert [(note.name, note.time) for note in noted.notes(5.0)] == [("pause", 3.0), ("stall", 4.0)]
    assert noted.notes(100.0) == ()


def test_every_fault_says_what_it_does_and_what_a_good_server_does() -> None:
    assert all(kind.does and kind.good_server for kind in FAULT_KINDS.values())
    assert all(bool(kind.default) == (kind.value != FaultValue.NONE) for kind in FAULT_KINDS.values())
    assert FAULT_KINDS["stall"].usage == "stall=SECONDS[@START]"
    assert FAULT_KINDS["abrupt-end"].usage == "abrupt-end"
