"""A dump without digits: every frame is there, in order and of its size, and none tells what was pressed."""

from collections.abc import Sequence

import pytest

from listenctl.capture.formats.dump_line_format import DumpAudio, DumpLoss
from listenctl.media.dtmf_detector import DtmfDetector
from listenctl.media.sources.tones import dtmf_tones
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.timeline import TimedFrame
from listenctl.server.dump.dump_file import Item
from listenctl.server.dump.dump_mask import MAX_FRAGMENTED_TEXT, DumpMask

MONO, STEREO = AudioFormat(8000, 1), AudioFormat(8000, 2)
US, THEM = Sender.APPLICATION, Sender.JAMBONZ
CONT, TEXT, BINARY, PING = 0, 1, 2, 9
DIGIT = b'{"event":"dtmf","dtmf":"4","duration":"1600"}'
MASKED = b'{"event":"dtmf","dtmf":"x","duration":"1600"}'


def sent(at: float, opcode: int, payload: bytes, sender: Sender = THEM, *, fin: bool = True) -> TimedFrame:
    return TimedFrame(at, sender, RawFrame(fin, 0, opcode, sender is THEM, payload))


def cut(audio: bytes, size: int) -> list[Item]:
    return [sent(at / 16000, BINARY, audio[at : at + size]) for at in range(0, len(audio), size)]


def masked(items: Sequence[Item], audio_format: AudioFormat = MONO, batch: int = 7) -> list[Item]:
    mask = DumpMask(MONO)
    out: list[Item] = []
    for at in range(0, len(items), batch):
        out += mask.feed(items[at : at + batch], audio_format)
    return out + mask.flush()


def shapes(items: Sequence[Item]) -> list[tuple[float, Sender, int, bool, int]]:
    frames = [item for item in items if isinstance(item, TimedFrame)]
    return [(at, sender, frame.opcode, frame.fin, len(frame.payload)) for at, sender, frame in frames]


def audio_of(items: Sequence[Item]) -> bytes:
    frames = (item.frame for item in items if isinstance(item, TimedFrame) and item.sender is THEM)
    return b"".join(frame.payload for frame in frames if frame.opcode == BINARY)


def heard(audio: bytes) -> str:
    detector = DtmfDetector(8000)
    return "".join(tone.digit for tone in detector.feed(audio) + detector.end_audio())


CARD = bytes(800) + dtmf_tones("4111", 8000, tone=0.1, gap=0.05) + bytes(1600)


@pytest.mark.parametrize("size", [320, 321, 1, 5000])
def test_the_tones_of_frames_of_any_size_are_silenced_and_the_frames_stay(size: int) -> None:
    items = cut(CARD, size)
    assert heard(audio_of(items)) == "4111"

    out = masked(items)

    assert shapes(out) == shapes(items)
    assert heard(audio_of(out)) == ""
    assert len(audio_of(out)) == len(CARD)


def test_audio_that_is_collected_in_runs_becomes_single_frames() -> None:
    run = DumpAudio([0.02, 0.04], 320, CARD[:640])

    assert shapes(masked([run])) == [(0.02, THEM, BINARY, True, 320), (0.04, THEM, BINARY, True, 320)]


def test_what_comes_between_audio_keeps_its_place_and_the_application_its_bytes() -> None:
    items = cut(CARD, 320)
    items[5:5] = [
        sent(0.1, TEXT, DIGIT),
        sent(0.1, TEXT, DIGIT, US),
        sent(0.1, BINARY, CARD[:320], US),
        DumpLoss(0.1, 2),
    ]

    out = masked(items, batch=3)

    assert [getattr(item, "sender", None) for item in out] == [getattr(item, "sender", None) for item in items]
    assert out[5:9] == [sent(0.1, TEXT, MASKED), *items[6:9]]


def test_a_digit_in_several_frames_is_masked_when_its_text_is_whole() -> None:
    pieces = [DIGIT[:25], DIGIT[25:26], DIGIT[26:]]
    first, middle, last = (sent(0.1, TEXT if not n else CONT, piece, fin=n == 2) for n, piece in enumerate(pieces))

    out = masked([first, sent(0.1, PING, b"4"), middle, last, sent(0.2, TEXT, DIGIT)])

    assert out == [
        sent(0.1, TEXT, b"", fin=False),
        sent(0.1, PING, b"4"),
        sent(0.1, CONT, b"", fin=False),
        sent(0.1, CONT, MASKED),
        sent(0.2, TEXT, MASKED),
    ]


def test_a_text_in_many_frames_takes_bounded_memory() -> None:
    piece = bytes(10_000)
    items = [sent(0.0, CONT if n else TEXT, piece, fin=n == 29) for n in range(30)]

    *_, last = masked(items)

    assert isinstance(last, TimedFrame)
    assert len(last.frame.payload) == MAX_FRAGMENTED_TEXT


def test_audio_in_several_frames_is_audio() -> None:
    pieces = cut(CARD, 320)
    items: list[Item] = [
        TimedFrame(piece.at, THEM, RawFrame(n % 3 == 2, 0, BINARY if n % 3 == 0 else CONT, True, piece.frame.payload))
        for n, piece in enumerate(piece for piece in pieces if isinstance(piece, TimedFrame))
    ]

    out = masked(items)

    assert shapes(out) == shapes(items)
    assert heard(b"".join(item.frame.payload for item in out if isinstance(item, TimedFrame))) == ""


def test_only_the_last_moments_wait_and_no_longer_than_asked_for() -> None:
    mask = DumpMask(MONO)

    out = mask.feed(cut(CARD[:6400], 320), MONO)

    assert len(out) in (17, 18)
    assert mask.oldest == cut(CARD[:6400], 320)[len(out)]
    assert len(out + mask.flush()) == 20
    assert mask.oldest is None


def test_late_metadata_change_the_format_of_what_follows() -> None:
    mask = DumpMask(MONO)
    stereo = b"".join(CARD[at : at + 2] * 2 for at in range(0, len(CARD), 2))

    out = mask.feed(cut(bytes(320), 320), MONO) + mask.feed(cut(stereo, 640), STEREO) + mask.flush()

    audio = audio_of(out)[320:]
    assert len(audio) == len(stereo)
    left = b"".join(audio[at : at + 2] for at in range(0, len(audio), 4))
    assert heard(left) == ""
