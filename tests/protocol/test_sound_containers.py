import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.sound_containers import (
    OPENING_BYTES,
    id3_bytes,
    is_undecided,
    sound_container,
    text_kind,
)

TONE = (np.sin(np.arange(8000) / 5) * 0.5).astype("float32")


def encoded(container: str, subtype: str, rate: int = 16000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, TONE, rate, subtype=subtype, format=container)
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "subtype", "name"),
    [
        ("WAV", "PCM_16", "WAV"),
        ("RF64", "PCM_16", "RF64"),
        ("W64", "PCM_16", "W64"),
        ("AIFF", "PCM_16", "AIFF"),
        ("AIFF", "FLOAT", "AIFC"),
        ("AU", "ULAW", "AU"),
        ("CAF", "PCM_16", "CAF"),
        ("FLAC", "PCM_16", "FLAC"),
        ("OGG", "OPUS", "Ogg"),
        ("VOC", "PCM_16", "VOC"),
    ],
)
def test_a_container_is_recognised_by_its_first_bytes(container: str, subtype: str, name: str) -> None:
    data = encoded(container, subtype)

    assert sound_container(data[:OPENING_BYTES]) == name
    assert sound_container(b"ID3\4\0\0\0\0\0\x08" + bytes(8) + data) == name


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("quality", [0.0, 0.5, 0.99])
def test_mp3_is_recognised_by_a_chain_of_frames(rate: int, quality: float) -> None:
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", rate, 1, format="MP3", compression_level=quality, bitrate_mode="CONSTANT"
    ) as mp3:
        mp3.write(TONE)
    data = file.getvalue()

    assert sound_container(data[:OPENING_BYTES]) == "MP3"
    assert is_undecided(data[:100])
    # What looks like one frame is none yet.
    assert sound_container(data[:4] + bytes(OPENING_BYTES)) is None


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"RIFX\0\0\0\0WAVEfmt ", "RIFX"),
        (b"BW64\xff\xff\xff\xffWAVEds64", "BW64"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"RIFF\0\0", "WAV"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81", "WebM"),
        (b"\0\0\0\x20ftypM4A ", "MP4"),
        (b"#!AMR-WB\n", "AMR"),
        (b"#!SILK_V3", "SILK"),
        (b"ID3\3\0\0\0\0\x7f\x7f" + bytes(20), "MP3"),
        (b"\xff\xf1\x50\x40\x02\x1f\xfc" + bytes(9) + b"\xff\xf1\x50\x40\x02\x1f\xfc" + bytes(9), "AAC"),
        (b"RIFF\0\0\0\0CDXA", None),
        (b"FORM\0\0\0\0ILBM", None),
        (b"\xff" * 5000, None),
        (b"", None),
    ],
)
def test_others_are_recognised_by_what_they_begin_with(data: bytes, name: str | None) -> None:
    assert sound_container(data) == name


@given(st.lists(st.integers(-3, 3), min_size=20, max_size=3000), st.integers(0, 12))
def test_quiet_samples_are_no_container_and_no_text(samples: list[int], shift: int) -> None:
    data = (np.array(samples, "<i2") << shift).tobytes()

    assert sound_container(data) is None
    assert text_kind(data) is None


@given(st.integers(0, 2**32), st.integers(1, 32767))
def test_noise_is_no_container_and_no_text(seed: int, level: int) -> None:
    data = np.random.default_rng(seed).integers(-level, level + 1, 4000).astype("<i2").tobytes()

    assert sound_container(data) is None
    assert text_kind(data) is None


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"type":"response.audio.delta","delta":"AAAA"}', "JSON"),
        (b'  {"a":1}', "JSON"),
        (b"UklGRiR9AABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQB9AAAAAOAP", "Base64"),
        (b"data:audio/wav;base64,UklGRiR9AABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAA", "Base64"),
        (b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>\n", "HTML or XML"),
        (b"Traceback (most recent call last): the key of the synthesiser is not valid.", "text"),
        # A-law silence, and too little to tell.
        (b"U" * 1000, None),
        (b"UVUVVUU" * 100, None),
        (b"hello", None),
        (bytes(1000), None),
    ],
)
def test_text_is_named(data: bytes, kind: str | None) -> None:
    assert text_kind(data) == kind


@pytest.mark.parametrize(
    ("data", "kind"), [(b"hello\n", "text"), (b"{}", "text"), (b"", None), (bytes(6), None), (b"U\x80", None)]
)
def test_a_whole_stream_that_is_short_is_text_if_it_reads_as_text(data: bytes, kind: str | None) -> None:
    assert text_kind(data, whole=True) == kind


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", 0),
        (b"ID3\3\0\0\0\0\0\x0a", 20),
        (b"ID3\4\0\x10\0\0\1\0", 148),
        (b"ID3\4\0\0\0\0\0\x80", 0),
        (b"ID3\4\0", 0),
        (b"RIFF", 0),
    ],
)
def test_the_length_of_an_id3_tag_is_read(data: bytes, size: int) -> None:
    assert id3_bytes(data) == size


@pytest.mark.parametrize("data", [b"\1\0", b"\1\0\2\0", bytes(4), b"RIF\0", b"\xff\xff\xff\xff", bytes(12)])
def test_samples_are_passed_on_at_once(data: bytes) -> None:
    assert not is_undecided(data)


@pytest.mark.parametrize("data", [b"R", b"RIFF", b"RIFF\0\0\0\0WAV", b"ID3", b"\0\0\0\x18f", b"OggS"[:3], b"hello"])
def test_the_start_of_an_opening_waits_for_more(data: bytes) -> None:
    assert is_undecided(data)
