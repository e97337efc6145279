import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.jambonz_model.clip_decoder import DecodedSound, read_wav


def wav(samples: bytes, *, rate: int = 8000, channels: int = 1, bits: int = 16, kind: int = 1) -> bytes:
    header = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + header + b"LIST\x03\0\0\0abc\0data" + struct.pack("<I", len(samples))
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(samples)) + b"WAVE" + chunks + samples


@pytest.mark.parametrize(
    ("file", "sound"),
    [
        (wav(b"\x01\x00\xfe\xff"), DecodedSound(8000, b"\x01\x00\xfe\xff")),
        (wav(b"\x01\x00\xfe\xff\x07", rate=16000), DecodedSound(16000, b"\x01\x00\xfe\xff")),
        (wav(b"\x80\x00\xff", bits=8), DecodedSound(8000, b"\x00\x00\x00\x80\x00\x7f")),
        (wav(b"\x99\x01\x00\x99\xfe\xff", bits=24), DecodedSound(8000, b"\x01\x00\xfe\xff")),
        (wav(b"\x99\x99\x01\x00", bits=32, kind=0xFFFE), DecodedSound(8000, b"\x01\x00")),
        (wav(struct.pack("<4h", 1, 2, 32767, 1), channels=2), DecodedSound(8000, struct.pack("<2h", 3, 32767))),
        (wav(b""), DecodedSound(8000, b"")),
    ],
)
def test_pcm_becomes_one_channel_of_16_bits(file: bytes, sound: DecodedSound) -> None:
    assert read_wav(file) == sound


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"RIFF",
        wav(b"")[:30],
        b"RIFX" + wav(b"")[4:],
        wav(b"", kind=3),
        wav(b"", bits=12),
        wav(b"", channels=0),
        wav(b"", rate=0),
        wav(b"", rate=999),
    ],
)
def test_what_is_no_pcm_is_not_read(file: bytes) -> None:
    assert read_wav(file) is None


@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_file_raises(rest: bytes, cut: int) -> None:
    sound = read_wav(wav(b"\1\2\3\4")[:cut] + rest)

    assert sound is None or len(sound.samples) % 2 == 0
