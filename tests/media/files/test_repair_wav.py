import struct
import subprocess
from pathlib import Path
from typing import BinaryIO, cast

import pytest
import soundfile

from listenctl.errors import ListenctlError
from listenctl.media.files.repair_wav import RepairedWav, diagnose_wav, repair_wav
from listenctl.media.files.wav_header import wav_header
from listenctl.protocol.audio import AudioFormat
from tests.media.files.test_wav_header import SparseFile

STEREO = AudioFormat(8000, 2)
SECOND = bytes(range(250)) * 128
FORMAT_CHUNK = bytes.fromhex("666d7420 10000000 0100 0200 401f0000 007d0000 0400 1000")
LIST_CHUNK = b"LIST\x04\x00\x00\x00INFO"
# As some editors write it: a chunk of odd length without its pad byte.
ODD_CHUNK = b"RIFF\x3b\x7d\0\0WAVE" + FORMAT_CHUNK + b"LIST\x0f\0\0\0INFOISFT\3\0\0\0abc"
ID3_TAG = b"ID3\3\0\0\0\0\0\5" + bytes(5)
RIFX_HEAD = b"RIFX\0\0\x7d\x24WAVE" + bytes.fromhex("666d7420 00000010 0001 0002 00001f40 00007d00 0004 0010") + b"data"
SWAPPED = b"".join(SECOND[at + 1 : at - 1 if at else None : -1] for at in range(0, len(SECOND), 2))
RF64_HEAD = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0"
RF64_TAIL = bytes(12) + FORMAT_CHUNK + b"data\xff\xff\xff\xff"


def header(riff_bytes: int, data_bytes: int) -> bytes:
    sizes = [size.to_bytes(4, "little") for size in (riff_bytes, data_bytes)]
    return b"RIFF" + sizes[0] + b"WAVE" + FORMAT_CHUNK + b"data" + sizes[1]


def mend(path: Path, content: bytes, assumed: AudioFormat | None = None) -> RepairedWav:
    """Recover a file of this content and check what holds for every recovery."""
    path.write_bytes(content)
    recovery = repair_wav(path, assumed=assumed)
    assert path.read_bytes() == content
    if recovery.output:
        samples, rate = soundfile.read(recovery.output, dtype="int16", always_2d=True)
        assert (rate, samples.shape) == (8000, (recovery.diagnosis.samples, 2))
        assert recovery.output.stat().st_mode & 0o777 == 0o600
        subprocess.run(["sox", str(recovery.output), "-n"], check=True)
        assert repair_wav(recovery.output).diagnosis.problems == ()
    return recovery


@pytest.mark.parametrize(
    ("content", "audio", "problem"),
    [
        (header(0, 0) + SECOND, SECOND, "says 0 bytes of audio, but the file holds 32000"),
        (header(36, 0) + SECOND, SECOND, "says 0 bytes of audio"),
        (header(4294967231, 4294967195) + SECOND, SECOND, "leaves the length open (4294967195 bytes)"),
        (header(0xFFFFFFFF, 0xFFFFFFFF) + SECOND, SECOND, "leaves the length open"),
        (header(0x7FFFF024, 0x7FFFF000) + SECOND, SECOND, "leaves the length open"),
        (header(64036, 64000) + SECOND, SECOND, "says 64000 bytes of audio, but the file holds 32000"),
        (header(16036, 16000) + SECOND, SECOND, "says 16000 bytes of audio, but the file holds 32000"),
        (header(0, 32000) + SECOND, SECOND, "says that the file has 8 bytes, but it has 32044"),
        # A cut chunk behind the audio is no audio.
        (header(0, 32000) + SECOND + LIST_CHUNK[:-1], SECOND, "says that the file has 8 bytes"),
        (header(32037, 32001) + SECOND + b"\x07", SECOND, "ends in the middle of a sample"),
        (header(32036, 32000) + SECOND[:-1], SECOND[:-4], "ends in the middle of a sample"),
        (header(32039, 32003)[:36] + SECOND, SECOND, "has no data chunk"),
        (header(0, 0), b"", "says that the file has 8 bytes, but it has 44"),
        (header(0, 0)[:36], b"", "has no data chunk"),
        (wav_header(STEREO, 0) + SECOND, SECOND, "says 0 bytes of audio"),
        (ODD_CHUNK + b"data\0\0\0\0" + SECOND, SECOND, "says 0 bytes of audio"),
        (ODD_CHUNK + b"data\x00\x7d\0\0" + SECOND, SECOND, "a chunk of odd length before its audio has no pad byte"),
        (ODD_CHUNK + b"data\x00\x7d\0\0" + SECOND + LIST_CHUNK, SECOND, "has no pad byte"),
        (ID3_TAG + header(32036, 32000) + SECOND, SECOND, "an ID3 tag of 15 bytes precedes its header"),
        (RIFX_HEAD + b"\0\0\0\0" + SWAPPED, SECOND, "says 0 bytes of audio"),
        (RF64_HEAD + bytes(16) + RF64_TAIL + SECOND, SECOND, "says 0 bytes of audio"),
        (RF64_HEAD + b"\xff" * 16 + RF64_TAIL + SECOND, SECOND, "leaves the length open"),
        (wav_header(STEREO, 1 << 32) + SECOND, SECOND, "says 4294967296 bytes of audio"),
    ],
)
def test_a_broken_file_is_repaired_in_a_copy(tmp_path: Path, content: bytes, audio: bytes, problem: str) -> None:
    # The format in the header goes before the assumed one.
    recovery = mend(tmp_path / "call.wav", content, assumed=AudioFormat(16000, 1))

    assert recovery.output == tmp_path / "call.recovered.wav"
    assert recovery.output.read_bytes() == wav_header(STEREO, len(audio)) + audio
    assert problem in "; ".join(recovery.diagnosis.problems)
    assert recovery.diagnosis.seconds == len(audio) / 32000


@pytest.mark.parametrize(
    "content",
    [
        header(32036, 32000) + SECOND,
        wav_header(STEREO, 32000) + SECOND,
        wav_header(STEREO, 0),
        header(32048, 32000) + SECOND + LIST_CHUNK,
        header(32036, 32000) + SECOND + LIST_CHUNK,
        header(32046, 32000) + SECOND + b"odd \x01\x00\x00\x00x",
        header(48, 0) + LIST_CHUNK,
        header(32036, 32000) + SECOND + b"TAG" + b"title".ljust(125),
        header(32036, 32000) + SECOND + b"APETAGEX" + bytes(200),
        RIFX_HEAD + b"\0\0\x7d\0" + SWAPPED,
        RF64_HEAD + struct.pack("<QQ", 32072, 32000) + RF64_TAIL + SECOND,
    ],
)
def test_a_healthy_file_is_left_alone(tmp_path: Path, content: bytes) -> None:
    recovery = mend(tmp_path / "call.wav", content)

    assert recovery.output is None
    assert recovery.diagnosis.problems == ()
    assert list(tmp_path.iterdir()) == [tmp_path / "call.wav"]


def test_a_file_without_header_needs_a_format(tmp_path: Path) -> None:
    with pytest.raises(ListenctlError, match=r"call\.raw: is not a WAV file; .* needs --raw"):
        mend(tmp_path / "call.raw", SECOND)

    recovery = mend(tmp_path / "call.raw", SECOND, assumed=STEREO)

    assert recovery.output == tmp_path / "call.recovered.wav"
    assert recovery.output.read_bytes() == wav_header(STEREO, 32000) + SECOND


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("call.wav", ["call.recovered.wav", "call.recovered-2.wav"]),
        # Only an extension is cut off.
        ("call.2026", ["call.2026.recovered.wav", "call.2026.recovered-2.wav"]),
    ],
)
def test_a_copy_is_named_for_the_original_and_a_taken_name_gets_a_number(
    tmp_path: Path, name: str, outputs: list[str]
) -> None:
    for output in outputs:
        assert mend(tmp_path / name, header(0, 0) + SECOND).output == tmp_path / output


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"FORM\0\0\x7d\0AIFFCOMM" + SECOND, "is AIFF, not WAV; only WAV files can be repaired"),
        (b".snd\0\0\0\x18" + SECOND, "is AU, not WAV"),
        (b"fLaC" + SECOND, "is FLAC, not WAV"),
        (header(32036, 32000) + SECOND + b"fLaC" + SECOND, "has FLAC data after its audio, at byte 32044"),
        (header(32036, 32000)[:36] + b"LIST\xff\xff\0\0" + SECOND, "isn't certain where its audio begins"),
        (header(0, 0)[:36] + b"\0\0\0\0data\0\0\0\0" + SECOND, "isn't certain where its audio begins"),
    ],
)
def test_what_would_become_noise_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(ListenctlError, match=complaint):
        mend(tmp_path / "call.wav", content, assumed=STEREO)

    assert list(tmp_path.iterdir()) == [tmp_path / "call.wav"]


def test_what_cannot_be_recovered_is_said(tmp_path: Path) -> None:
    with pytest.raises(ListenctlError, match="is not a WAV file"):
        mend(tmp_path / "empty.wav", b"")
    with pytest.raises(ListenctlError, match="holds 8-bit audio of type 7, not 16-bit PCM"):
        mend(
            tmp_path / "ulaw.wav", header(0, 0).replace(b"\x01\x00\x02\x00", b"\x07\x00\x02\x00", 1)[:34] + b"\x08\x00"
        )
    with pytest.raises(ListenctlError, match=r"missing\.wav: no such file"):
        repair_wav(tmp_path / "missing.wav")
    with pytest.raises(ListenctlError, match="is not a file"):
        repair_wav(tmp_path)
    assert not list(tmp_path.glob("*recovered*"))


def test_a_given_output_is_never_overwritten_and_a_failed_one_leaves_nothing(tmp_path: Path) -> None:
    source, output = tmp_path / "call.wav", tmp_path / "repaired.wav"
    source.write_bytes(header(0, 0) + SECOND)

    with pytest.raises(ListenctlError, match="No such file or directory; the original is unchanged"):
        repair_wav(source, output=tmp_path / "missing" / "repaired.wav")
    assert list(tmp_path.iterdir()) == [source]
    assert repair_wav(source, output=output).output == output
    with pytest.raises(ListenctlError, match=r"repaired\.wav: already exists"):
        repair_wav(source, output=output)


def test_a_file_past_4_gib_is_measured_without_reading_it() -> None:
    diagnosis = diagnose_wav(cast("BinaryIO", SparseFile(header(4294967231, 4294967195), 6 << 30)))

    assert diagnosis.data_bytes == (6 << 30) - 44
    assert len(diagnosis.problems) == 1
