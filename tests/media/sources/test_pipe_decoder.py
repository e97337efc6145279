import struct

import numpy as np
import pytest

from listenctl.errors import UsageError
from listenctl.media.sources.pipe_decoder import PipeDecoder

AUDIO = np.arange(1, 101, dtype="<i2").tobytes()


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def fmt(*, encoding: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16) -> bytes:
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", encoding, channels, rate, rate * frame, frame, bits))


def wav(*chunks: bytes) -> bytes:
    return b"RIFF\xff\xff\xff\xffWAVE" + b"".join(chunks)


def decode(data: bytes, *, size: int | None = None, channel: int = 0, rate: int = 8000) -> bytes:
    decoder = PipeDecoder(rate, channel=channel)
    size = size or max(1, len(data))
    pieces = [decoder.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join(pieces) + decoder.end_stream()


@pytest.mark.parametrize("size", [None, 1, 3])
@pytest.mark.parametrize("length", [len(AUDIO), 0, 0x7FFF0000, 0x7FFFF024, 0xFFFFFFFF])
def test_the_samples_of_a_wav_are_found_whatever_its_length_says(size: int | None, length: int) -> None:
    data = wav(chunk(b"LIST", b"odd"), fmt(), chunk(b"data", AUDIO, length))

    assert decode(data, size=size) == AUDIO


@pytest.mark.parametrize("size", [None, 1])
def test_what_stands_behind_the_audio_is_no_audio(size: int | None) -> None:
    assert decode(wav(fmt(), chunk(b"data", AUDIO), chunk(b"LIST", b"a comment")), size=size) == AUDIO


def test_an_extensible_header_is_understood() -> None:
    body = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4, 1) + bytes(14)

    assert decode(wav(chunk(b"fmt ", body), chunk(b"data", AUDIO))) == AUDIO


@pytest.mark.parametrize("size", [None, 1, 7])
@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize(
    ("encoding", "bits", "frames"),
    [
        (1, 8, bytes([0x80, 0xFF, 0x81, 0x00])),
        (1, 16, b"\x00\x00\x00\x7f\x00\x01\x00\x80"),
        (1, 24, b"\xff\x00\x00\x12\x00\x7f\x00\x00\x01\x00\x00\x80"),
        (1, 32, b"\xff\xff\x00\x00\x12\x34\x00\x7f\x00\x00\x00\x01\x00\x00\x00\x80"),
        (3, 32, struct.pack("<4f", 0.0, 127 / 128, 1 / 128, -1.0)),
        (3, 64, struct.pack("<4d", 0.0, 127 / 128, 1 / 128, -1.0)),
    ],
)
def test_samples_of_every_depth_become_16_bits(
    encoding: int, bits: int, frames: bytes, channel: int, size: int | None
) -> None:
    data = wav(fmt(encoding=encoding, channels=2, bits=bits), chunk(b"data", frames))

    heard = decode(data, size=size, channel=channel)

    assert np.frombuffer(heard, "<i2").tolist() == ([0, 256] if channel == 0 else [32512, -32768])


def test_floats_that_are_too_loud_are_clipped_and_what_is_no_number_is_silence() -> None:
    frames = struct.pack("<5f", 2.0, -2.0, float("inf"), float("-inf"), float("nan"))

    heard = decode(wav(fmt(encoding=3, bits=32), chunk(b"data", frames)))

    assert np.frombuffer(heard, "<i2").tolist() == [32767, -32768, 32767, -32768, 0]


def test_another_rate_is_converted_to_its_whole_length() -> None:
    heard = decode(wav(fmt(rate=22050), chunk(b"data", bytes(44100))), size=1000)

    assert abs(len(heard) - 16000) <= 2
    assert set(heard) == {0}


@pytest.mark.parametrize("size", [None, 1, 3])
@pytest.mark.parametrize("data", [b"", b"\1", b"\1\0", b"\1\0\2", b"\1\0\2\0", b"RIF\0", AUDIO + b"\1"])
def test_everything_else_is_raw(data: bytes, size: int | None) -> None:
    assert decode(data, size=size) == data[: len(data) & ~1]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"fLaC", "stdin is fLaC; pipe raw"),
        (b"OggS", "stdin is OggS; pipe raw"),
        (wav(fmt(encoding=7, bits=8), chunk(b"data", AUDIO)), "has neither PCM nor float samples"),
        (wav(fmt(bits=12), chunk(b"data", AUDIO)), "has neither PCM nor float samples"),
        (wav(fmt(encoding=3, bits=16), chunk(b"data", AUDIO)), "has neither PCM nor float samples"),
        (wav(chunk(b"data", AUDIO)), "has neither PCM nor float samples"),
        (wav(fmt(channels=0), chunk(b"data", AUDIO)), "has 0 channels at 8000 Hz"),
        (wav(fmt(rate=1), chunk(b"data", AUDIO)), "has 1 channels at 1 Hz"),
        (wav(chunk(b"LIST", b"", 0xFFFFFFFF)), "has no audio in its first 1048576 bytes"),
        (wav(fmt()), "ends within its header"),
        (b"RIFF", "ends within its header"),
    ],
)
def test_what_cant_be_played_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        decode(data)


@pytest.mark.parametrize("data", [AUDIO, wav(fmt(), chunk(b"data", AUDIO))])
def test_a_second_channel_must_be_there(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"one channel|no channel 2"):
        decode(data, channel=1)
