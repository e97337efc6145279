import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.errors import UsageError
from listenctl.media.sources.pipe_decoder import PipeDecoder
from listenctl.media.sources.sound_file_source import SoundFileDecoder

AUDIO = np.arange(1, 101, dtype="<i2").tobytes()
TONE = (np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) * 0.5).astype("float32")
RF64_HEAD = b"RF64\xff\xff\xff\xffWAVE"


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
    try:
        pieces = [decoder.feed(data[at : at + size]) for at in range(0, len(data), size)]
        return b"".join(pieces) + b"".join(decoder.remaining_audio())
    finally:
        decoder.close()


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
        (b"fLaC", "is FLAC, which can't be read"),
        (b"OggS", "is Ogg, which can't be read"),
        (b"#!AMR\n" + bytes(20), "stdin is AMR, which can't be read; convert it"),
        (bytes(3) + b"\x18ftypM4A " + bytes(20), "stdin is MP4, which can't be read"),
        (b"\xff\xf1\x50\x40\x02\x1f\xfc" + bytes(9) + b"\xff\xf1\x50\x40\x02\x1f\xfc" + bytes(9), "stdin is AAC"),
        (b'{"detail":"quota exceeded"}', "stdin is JSON, not audio"),
        (b"UklGRiR9AABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQB9AAAAAOAP", "stdin is Base64, not audio"),
        (wav(fmt(encoding=3, bits=16), chunk(b"data", AUDIO)), "is WAV, which can't be read"),
        (wav(chunk(b"data", AUDIO)), "has no complete format chunk"),
        (wav(fmt(channels=0), chunk(b"data", AUDIO)), "says 0 channels at 8000 Hz"),
        (wav(fmt(rate=1), chunk(b"data", AUDIO)), "has 1 channels at 1 Hz"),
        (wav(chunk(b"LIST", b"", 0xFFFFFFFF)), "ends within its header"),
        (wav(chunk(b"LIST", b"", 0xFFFFFFFF)) + bytes(1 << 20), "has no audio in its first 1048576 bytes"),
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


def rms(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2)))


@pytest.mark.parametrize("size", [None, 700])
@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("AIFF", "ULAW"), ("AU", "PCM_16"), ("AU", "ULAW"), ("CAF", "PCM_16"),
        ("CAF", "ALAC_16"), ("W64", "PCM_16"), ("RF64", "PCM_16"), ("WAV", "PCM_16"), ("WAV", "PCM_24"),
        ("WAV", "ULAW"), ("WAV", "ALAW"), ("WAV", "IMA_ADPCM"), ("WAV", "GSM610"), ("WAVEX", "FLOAT"),
        ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("VOC", "PCM_16"),
        ("NIST", "PCM_16"), ("AVR", "PCM_16"), ("PAF", "PCM_16"), ("SVX", "PCM_16"),
    ],
)  # fmt: skip
def test_a_sound_file_of_any_kind_is_the_same_on_a_pipe_and_by_name(
    tmp_path: Path, container: str, subtype: str, size: int | None
) -> None:
    path = tmp_path / "sound"
    soundfile.write(path, TONE, 16000, subtype=subtype, format=container)
    decoder = SoundFileDecoder.open(str(path), 8000)
    named = b"".join(iter(decoder.read, b""))
    decoder.close()

    piped = decode(path.read_bytes(), size=size)

    assert np.abs(np.frombuffer(piped, "<i2").astype(int) - np.frombuffer(named, "<i2")).max() <= 1
    assert len(piped) == pytest.approx(16000, rel=0.1)
    assert rms(piped) == pytest.approx(16384 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        # A chunk of odd length without its pad byte, before and behind the audio.
        b"RIFF\0\0\0\0WAVE" + fmt() + b"LIST\x0f\0\0\0INFOISFT\3\0\0\0abc" + chunk(b"data", AUDIO),
        b"RIFF\0\0\0\0WAVELIST\x05\0\0\0INFOx" + fmt() + b"bext\1\0\0\0y" + chunk(b"data", AUDIO) + b"LIST\4\0\0\0INFO",
        wav(fmt(), chunk(b"data", AUDIO, 0)),
        wav(fmt(), chunk(b"data", AUDIO, 0xFFFFFFFF)),
        b"RIFX\0\0\0\0WAVEfmt \0\0\0\x10\0\1\0\1\0\0\x1f\x40\0\0\x3e\x80\0\2\0\x10data\0\0\0\xc8"
        + np.frombuffer(AUDIO, "<i2").byteswap().tobytes(),
        RF64_HEAD
        + b"ds64"
        + struct.pack("<IQQQI", 28, 0, len(AUDIO), 100, 0)
        + fmt()
        + chunk(b"data", AUDIO, 0xFFFFFFFF),
        # Written by a program that crashed, or without the chunk of sizes.
        RF64_HEAD + b"ds64" + struct.pack("<IQQQI", 28, 0, 0, 0, 0) + fmt() + chunk(b"data", AUDIO, 0xFFFFFFFF),
        RF64_HEAD + fmt() + chunk(b"data", AUDIO, 0xFFFFFFFF),
        RF64_HEAD.replace(b"RF", b"BW") + fmt() + chunk(b"data", AUDIO),
        b"ID3\3\0\0\0\0\0\x0a" + bytes(10) + wav(fmt(), chunk(b"data", AUDIO)),
        b"ID3\4\0\x10\0\0\x7f\x7f" + bytes(16383 + 10) + wav(fmt(), chunk(b"data", AUDIO)),
        wav(fmt(), chunk(b"data", AUDIO)) + b"TAG" + b"title".ljust(125),
    ],
)
def test_an_odd_wav_is_read_like_any_other(tmp_path: Path, data: bytes, by_name: bool) -> None:
    if by_name:
        (tmp_path / "odd.wav").write_bytes(data)
        decoder = SoundFileDecoder.open(str(tmp_path / "odd.wav"), 8000)
        heard = b"".join(iter(decoder.read, b""))
        decoder.close()
    else:
        heard = decode(data, size=37)

    assert heard == AUDIO


def test_a_file_that_is_too_long_is_refused_with_what_to_do() -> None:
    decoder = PipeDecoder(8000)
    for block in [b"fLaC", *[bytes(1 << 20)] * 63]:
        assert decoder.feed(block) == b""
    try:
        with pytest.raises(UsageError, match="the FLAC on stdin is longer than 64 MiB; name the file"):
            decoder.feed(bytes(1 << 20))
    finally:
        decoder.close()


@pytest.mark.parametrize(
    "text", [b"not a sound\n", b"error: no model\n", b'{"error":1}', b"This text is a bit longer than that.\n"]
)
@pytest.mark.parametrize("size", [None, 1])
def test_the_short_message_of_a_program_that_failed_is_no_sound(text: bytes, size: int | None) -> None:
    with pytest.raises(UsageError, match=r"-: stdin is (text|JSON), not audio"):
        decode(text, size=size)
