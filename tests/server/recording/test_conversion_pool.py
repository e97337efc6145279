"""Processes that convert recordings."""

import signal
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError
from listenctl.media.files.convert_recording import NO_TAGS
from listenctl.media.files.wav_header import wav_header
from listenctl.protocol.audio import AudioFormat
from listenctl.server.recording.conversion_pool import ConversionPool
from listenctl.terminal.stop_signals import STOP_SIGNALS


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(AudioFormat(8000, 1), 320_000) + bytes(320_000))
    return path


def test_a_signal_that_stops_the_server_doesnt_end_a_conversion(tmp_path: Path) -> None:
    with ConversionPool()._open(tmp_path) as processes:
        handlers = list(processes.map(signal.getsignal, STOP_SIGNALS))

    assert handlers == [signal.SIG_IGN] * len(STOP_SIGNALS)


@pytest.mark.parametrize("begun", [True, False])
def test_conversions_that_are_stopped_keep_the_wav(begun: bool, wav: Path) -> None:
    pool, target = ConversionPool(), wav.with_suffix(".flac")
    if begun:
        assert pool.convert(wav, target, "flac", NO_TAGS).path == target
        target.unlink()
    pool.stop()

    with pytest.raises(ListenctlError, match="the server was stopped before it was converted; the WAV is kept"):
        pool.convert(wav, target, "flac", NO_TAGS)
    assert list(wav.parent.iterdir()) == [wav]
