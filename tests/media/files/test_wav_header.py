import io
import subprocess
from pathlib import Path
from typing import BinaryIO, cast

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from listenctl.errors import ListenctlError
from listenctl.media.files.wav_header import (
    HEADER_BYTES,
    GrowingHeader,
    WavInfo,
    read_header,
    stream_header,
    wav_header,
)
from listenctl.protocol.audio import AudioFormat

STEREO = AudioFormat(8000, 2)
# listenctl-protocol(7), test vector V5
V5_HEADER = bytes.fromhex(
    "52494646a402000057415645666d7420100000000100 0200 401f0000 007d0000 0400 1000 6461746180020000"
)
V5_SAMPLES = bytes.fromhex("e803feffe903fdff")


def parse(header: bytes, data: bytes = b"") -> WavInfo:
    return read_header(io.BytesIO(header + data))


class SparseFile(io.BytesIO):
    """A header in front of more audio than a test can hold; only its size is looked at."""

    def __init__(self, header: bytes, size: int) -> None:
        super().__init__(header)
        self._size = size

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._size if whence == io.SEEK_END else super().seek(offset, whence)


def sox_stat(source: str, piped: bytes | None = None) -> str:
    command = ["sox", "-t", "wav", source, "-n", "stat"]
    return subprocess.run(command, input=piped, capture_output=True, check=True).stderr.decode()


@pytest.mark.parametrize(
    ("data_bytes", "header"),
    [
        (
            640,
            "52494646 c8020000 57415645"
            "4a554e4b 1c000000 00000000000000000000000000000000000000000000000000000000"
            "666d7420 10000000 0100 0200 401f0000 007d0000 0400 1000"
            "64617461 80020000",
        ),
        (
            0x1_2345_6788,
            "52463634 ffffffff 57415645"
            "64733634 1c000000 d067452301000000 8867452301000000 e259d14800000000 00000000"
            "666d7420 10000000 0100 0200 401f0000 007d0000 0400 1000"
            "64617461 ffffffff",
        ),
    ],
    ids=["RIFF with room to become RF64", "RF64 past 4 GiB"],
)
def test_riff_and_rf64_headers_have_the_same_length(data_bytes: int, header: str) -> None:
    assert wav_header(STEREO, data_bytes) == bytes.fromhex(header)
    assert len(bytes.fromhex(header)) == HEADER_BYTES


def test_header_is_riff_as_long_as_its_size_field_holds() -> None:
    last = 0xFFFFFFFF - 72 - 3

    assert wav_header(STEREO, last)[:4] == b"RIFF"
    assert wav_header(STEREO, last + 4)[:4] == b"RF64"


@pytest.mark.parametrize("data_bytes", [0, 640, 0xFFFF_FF00, 0xFFFFFFFF - 72, 0xFFFFFFFF - 71, 1 << 40])
def test_a_growing_file_has_the_header_of_its_size(data_bytes: int) -> None:
    assert GrowingHeader(STEREO).of_size(data_bytes) == wav_header(STEREO, data_bytes)


def test_v5_header_is_read() -> None:
    info = parse(V5_HEADER, V5_SAMPLES * 80)

    assert info == WavInfo("RIFF", STEREO, 1, 16, 676, 44, 640)
    assert info.is_pcm16


@given(
    rate=st.integers(1, 384_000), channels=st.integers(1, 2), data_bytes=st.integers(0, 1 << 40).map(lambda n: n & ~3)
)
def test_what_is_written_is_read_back(rate: int, channels: int, data_bytes: int) -> None:
    file = SparseFile(wav_header(AudioFormat(rate, channels), data_bytes), HEADER_BYTES + data_bytes)

    info = read_header(cast("BinaryIO", file))

    assert (info.format, info.data_offset, info.data_bytes) == (AudioFormat(rate, channels), HEADER_BYTES, data_bytes)
    assert info.riff_bytes == 72 + data_bytes


def test_sox_and_soundfile_read_both_forms(tmp_path: Path) -> None:
    riff, rf64 = tmp_path / "riff.wav", tmp_path / "rf64.wav"
    data = V5_SAMPLES * 4000
    ds64 = bytes.fromhex("64733634 1c000000 48fa000000000000 00fa000000000000 803e000000000000 00000000")
    riff.write_bytes(wav_header(STEREO, len(data)) + data)
    long_header = wav_header(STEREO, 1 << 32)
    rf64.write_bytes(long_header[:12] + ds64 + long_header[48:] + data)

    for path in (riff, rf64):
        assert "Length (seconds):      1.000000" in sox_stat(str(path))
        samples, rate = soundfile.read(path, dtype="int16")
        assert (rate, samples.astype("<i2").tobytes()) == (8000, data)


def test_stream_header_is_read_from_a_pipe() -> None:
    data = V5_SAMPLES * 4000

    assert stream_header(STEREO)[:8] == bytes.fromhex("52494646 24f0ff7f")
    said = sox_stat("-", stream_header(STEREO) + data)
    assert "Length (seconds):      1.000000" in said
    assert "WARN" not in said
    with soundfile.SoundFile(io.BytesIO(stream_header(STEREO) + data)) as file:
        assert file.read(dtype="int16").astype("<i2").tobytes() == data


def test_other_chunks_are_passed_over() -> None:
    extras = b"LIST\x03\x00\x00\x00abc\x00" + b"bext\x02\x00\x00\x00xy"

    info = parse(V5_HEADER[:12] + extras + V5_HEADER[12:], V5_SAMPLES)

    assert (info.format, info.data_offset) == (STEREO, 44 + len(extras))


def test_extensible_header_tells_its_true_encoding() -> None:
    body = bytes.fromhex("feff 0200 401f0000 007d0000 0400 1000 1600 1000 03000000 0100 00000000100080 0000aa00389b71")
    header = V5_HEADER[:12] + b"fmt \x28\x00\x00\x00" + body + b"data\x00\x00\x00\x00"

    info = parse(header)

    assert info.is_pcm16
    assert info.data_bytes == 0


def test_other_encodings_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "float.wav"
    soundfile.write(path, [0.0], 8000, subtype="FLOAT")

    with path.open("rb") as file:
        info = read_header(file)

    assert (info.encoding, info.bits, info.is_pcm16) == (3, 32, False)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not a WAV file"),
        (b"RIFF\x00\x00\x00\x00AVI ", "is not a WAV file"),
        (b"fLaC" * 20, "is not a WAV file"),
        (V5_HEADER[:30], "no complete format chunk"),
        (V5_HEADER[:12] + V5_HEADER[36:], "no complete format chunk"),
        (V5_HEADER[:22] + b"\x00\x00" + V5_HEADER[24:], "0 channels at 8000 Hz"),
        (V5_HEADER[:12] + b"JUNK\x00\x00\x00\x00" * 1001, "more than 1000 chunks"),
    ],
)
def test_what_is_no_wav_is_said_with_the_file_name(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(content)

    with path.open("rb") as file, pytest.raises(ListenctlError, match=rf"call\.wav: .*{problem}"):
        read_header(file)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_header_or_our_error(noise: bytes) -> None:
    for content in (noise, V5_HEADER[:12] + noise, V5_HEADER[:36] + noise):
        try:
            info = parse(content)
        except ListenctlError:
            continue
        assert 12 <= info.data_offset <= len(content)
