"""Recordings as captured sessions: the audio as jambonz sent it, with times computed from the gaps."""

import json
import shutil
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.capture_events import CapturedAudio, CaptureEvent
from listenctl.capture.formats.read_recording import RecordedTimes, find_sidecar, read_recording
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.read_capture import read_capture
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.sidecar import Sidecar
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.gaps.gap import Gap, GapKind
from listenctl.protocol.jambonz_messages import Dtmf, JambonzMessage, Mark, PlayDone, UnknownMessage
from listenctl.protocol.listen_session import MessageReceived, Sender
from listenctl.server.calls.live_call_log import LiveCallEnd, LiveCallLog
from listenctl.server.recording.describe_recording import describe_recording
from tests.helpers.pcap import endings, frames, losses, notices, payloads, read_file, sessions, timed_frames
from tests.helpers.server import STARTED_AT, call_log
from tests.media.files.test_sidecar import DOCUMENT

METADATA = '{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}'
STEREO = '{"sampleRate":8000,"mixType":"stereo","callSid":"CS-A"}'
SECOND = bytes(range(250)) * 64
CHUNK = 320


def save(log: LiveCallLog, recording: Recording, folder: Path) -> Path:
    log.ended_at, log.ending = log.started_at + 5, log.ending or LiveCallEnd("jambonz", 1000, "bye")
    recording.close()
    path = folder / "a.json"
    path.write_bytes(describe_recording(log, recording).serialize())
    return path


def recorded(folder: Path, *, log: LiveCallLog | None = None, fill: bool = False) -> tuple[LiveCallLog, Recording]:
    log = log or call_log(METADATA)
    return log, Recording(folder / "a.wav", log.audio_format, fill=fill)


def saved(folder: Path) -> Path:
    """Return the sidecar of a recording of ``SECOND``."""
    log, recording = recorded(folder)
    recording.write_audio(0, SECOND)
    return save(log, recording, folder)


def change_audio(path: Path, **changes: object) -> None:
    described = json.loads(path.read_text())
    described["audio"] |= changes
    path.write_text(json.dumps(described))


def audio_of(events: Iterable[CaptureEvent]) -> bytes:
    return b"".join(frame.payload for frame in frames(events) if frame.opcode == 2)


def test_the_audio_comes_as_jambonz_sends_it(tmp_path: Path) -> None:
    events = read_file(saved(tmp_path))

    (session,) = sessions(events)
    assert (session.source, session.began) == (str(tmp_path / "a.json"), STARTED_AT)
    assert (session.client, session.target, session.subprotocol) == ("127.0.0.1:1", "/", "audio.jambonz.org")
    assert session.is_listen
    metadata, *audio, close = timed_frames(events)
    assert (metadata.at, metadata.frame.opcode, metadata.frame.payload) == (STARTED_AT, 1, METADATA.encode())
    assert [len(one.frame.payload) for one in audio] == [CHUNK] * 50
    assert b"".join(one.frame.payload for one in audio) == SECOND
    assert [round(one.at - STARTED_AT, 6) for one in audio[:3]] == [0.02, 0.04, 0.06]
    assert (close.at, close.sender, close.frame.payload) == (STARTED_AT + 5, Sender.JAMBONZ, b"\x03\xe8bye")
    assert endings(events) == [(None, "closed")]


def test_time_never_goes_back(tmp_path: Path) -> None:
    log, recording = recorded(tmp_path)
    recording.write_audio(0, SECOND * 6)

    events = read_file(save(log, recording, tmp_path))

    times = [one.at for one in events if not isinstance(one, CaptureNotice | CapturedAudio)]
    assert times == sorted(times)


def test_what_was_said_stands_where_it_was(tmp_path: Path) -> None:
    log, recording = recorded(tmp_path)
    recording.write_audio(0, SECOND)
    messages: tuple[JambonzMessage, ...] = (
        Dtmf("1", "1600"),
        Mark("m", "playout"),
        PlayDone(id="c"),
        UnknownMessage("x", '{"type":"x"}', {}),
    )
    for index, message in enumerate(messages):
        log.add_entry(MessageReceived(1600 * index, message))

    events = read_file(save(log, recording, tmp_path))

    texts = [
        (round(one.at - STARTED_AT, 3), one.frame.payload) for one in timed_frames(events) if one.frame.opcode == 1
    ][1:]
    assert texts == [
        (0.0, b'{"event":"dtmf","dtmf":"1","duration":"1600"}'),
        (0.2, b'{"type": "mark", "data": {"name":"m", "event": "playout"}}'),
        (0.4, b'{"type":"playDone","data":{"id":"c"}}'),
        (0.6, b'{"type":"x"}'),
    ]
    assert [one.at for one in timed_frames(events)] == sorted(one.at for one in timed_frames(events))


@pytest.mark.parametrize("fill", [False, True])
def test_a_pause_is_where_nothing_comes(tmp_path: Path, fill: bool) -> None:
    log, recording = recorded(tmp_path, fill=fill)
    recording.write_audio(0, SECOND[:8000])
    gap = Gap(GapKind.PAUSE, 4000, 2.0, 0.02, missing=16_000)
    log.ledger.gaps.append(gap)
    if fill:
        recording.insert_silence(gap.position, gap.missing)
    recording.write_audio(4000, SECOND[8000:])

    events = read_file(save(log, recording, tmp_path))

    audio = [one for one in timed_frames(events) if one.frame.opcode == 2]
    assert b"".join(one.frame.payload for one in audio) == SECOND
    assert [round(one.at - STARTED_AT, 3) for one in (audio[24], audio[25])] == [0.5, 2.52]
    assert losses(events) == []


def test_inserted_silence_is_skipped_to_the_sample(tmp_path: Path) -> None:
    log, recording = recorded(tmp_path, fill=True)
    recording.write_audio(0, SECOND[:8002])
    log.ledger.gaps.append(Gap(GapKind.HOLE, 4001, 0.1, 0.02, missing=777))
    recording.insert_silence(4001, 777)
    recording.write_audio(4001, SECOND[8002:])

    events = read_file(save(log, recording, tmp_path))

    assert audio_of(events) == SECOND


def test_a_recording_is_one_call_however_many_of_its_files_are_named(tmp_path: Path) -> None:
    log = call_log(STEREO)
    recording = Recording(tmp_path / "a.wav", log.audio_format, layout=ChannelLayout.SPLIT)
    recording.write_audio(0, SECOND)
    save(log, recording, tmp_path)
    numbers, known = count(1), set[str]()

    events = [
        event
        for name in ("a-left.wav", "a-right.wav", "a.json", "./a-left.wav")
        for event in read_capture(f"{tmp_path}/{name}", numbers=numbers, recordings=known)
    ]

    assert len(sessions(events)) == 1
    assert audio_of(events) == SECOND


def test_audio_that_was_cut_off_is_reported(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: -len(SECOND) // 2])

    events = read_file(path)

    assert notices(events) == ["session 1: the audio ends after 4000 of 8000 samples; using those"]


def test_a_burst_comes_all_at_once() -> None:
    gaps = [{"kind": "burst", "position": 8000, "length": 0.5, "missing": 0}]

    times = RecordedTimes(gaps, 8000, filled=False)

    assert [times.time_at(position) for position in (8000, 8160, 12_000, 12_160)] == [1.0, 1.5, 1.5, 1.52]


def test_a_late_start_delays_everything() -> None:
    times = RecordedTimes([{"kind": "late-start", "position": 0, "length": 3.0, "missing": 0}], 8000, filled=False)

    assert times.time_at(160) == 3.02


def test_what_was_received_but_not_written_is_lost(tmp_path: Path) -> None:
    log, recording = recorded(tmp_path)
    recording.write_audio(0, SECOND[:320])
    recording.write_audio(960, SECOND[320:640])

    events = read_file(save(log, recording, tmp_path))

    (lost,) = losses(events)
    assert (lost.sender, lost.size, round(lost.at - STARTED_AT, 3)) == (Sender.JAMBONZ, 1600, 0.02)
    assert [round(one.at - STARTED_AT, 3) for one in timed_frames(events) if one.frame.opcode == 2] == [0.02, 0.14]


@pytest.mark.parametrize("named", ["a-left.wav", "a-right.wav", "a.json"])
def test_channels_in_files_of_their_own_are_put_together(tmp_path: Path, named: str) -> None:
    log = call_log(STEREO)
    names = tmp_path / "a-left.wav", tmp_path / "a-right.wav"
    recording = Recording(tmp_path / "a.wav", log.audio_format, layout=ChannelLayout.SPLIT)
    recording.write_audio(0, SECOND)
    save(log, recording, tmp_path)
    assert all(name.exists() for name in names)

    events = read_file(tmp_path / named)

    assert audio_of(events) == SECOND


def test_metadata_say_what_the_kept_audio_is(tmp_path: Path) -> None:
    log = call_log(STEREO)
    recording = Recording(tmp_path / "a.wav", log.audio_format, layout=ChannelLayout.MIX)
    recording.write_audio(0, SECOND)

    events = read_file(save(log, recording, tmp_path))

    assert json.loads(payloads(events)[0]) == {"sampleRate": 8000, "mixType": "mixed", "callSid": "CS-A"}


def test_compressed_audio_is_read_too(tmp_path: Path) -> None:
    path = saved(tmp_path)
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    soundfile.write(tmp_path / "a.flac", samples, rate)
    (tmp_path / "a.wav").unlink()
    change_audio(path, files=["a.flac"], format="flac")

    assert audio_of(read_file(tmp_path / "a.flac")) == SECOND


def test_raw_audio_is_what_the_sidecar_says(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (tmp_path / "a.raw").write_bytes(SECOND)
    change_audio(path, files=["a.raw"], format="raw")

    assert audio_of(read_file(path)) == SECOND


def test_without_its_audio_the_rest_is_read(tmp_path: Path) -> None:
    log, recording = recorded(tmp_path)
    log.add_entry(MessageReceived(1600, Dtmf("1", "1600")))
    path = save(log, recording, tmp_path)
    (tmp_path / "a.wav").unlink()

    events = read_file(path)

    assert [one.opcode for one in frames(events)] == [1, 1, 8]
    assert "can't read the audio of the recording" in notices(events)[0]


def test_a_sidecar_reads_nothing_in_other_folders(tmp_path: Path) -> None:
    path = saved(tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    described = json.loads(path.read_text())
    described["audio"]["files"] = ["../a.wav"]
    (inner / "a.json").write_text(json.dumps(described))

    assert not [one for one in frames(read_file(inner / "a.json")) if one.opcode == 2]

    shutil.copy(tmp_path / "a.wav", inner)
    assert [one for one in frames(read_file(inner / "a.json")) if one.opcode == 2]


@pytest.mark.parametrize("suffix", ["-left", "-right", ".jambonz"])
def test_the_find_sidecar_a_sound_is_found_by_its_name(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "a.json").write_text("{}")

    assert find_sidecar(str(tmp_path / f"a{suffix}.wav")) == tmp_path / "a.json"


@pytest.mark.parametrize(
    ("name", "changed"),
    [("a.raw", {}), ("a.raw", {"format": "raw", "sample_rate": 1 << 47}), ("a.wav", {"files": ["a\0.wav"]})],
    ids=["named as if it were raw", "of an impossible rate", "of an impossible name"],
)
def test_audio_that_isnt_what_the_sidecar_says_costs_no_event(
    tmp_path: Path, name: str, changed: dict[str, object]
) -> None:
    path = saved(tmp_path)
    change_audio(path, **{"files": [name], **changed})
    (tmp_path / name).write_bytes((tmp_path / "a.wav").read_bytes())

    events = read_file(path)

    assert payloads(events)[0] == METADATA.encode()
    assert "its events are still read" in notices(events)[0]


KEYS = ["kind", "position", "missing", "length", "event", "digit", "name", "code", "by", "files", "begins"]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=9,
)
FIELDS = [*DOCUMENT, "both", "metadata_raw_base64"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_a_sidecar_that_says_anything_never_raises(described: dict[str, object]) -> None:
    sidecar = Sidecar.parse(json.dumps({"audio": {}, "started": "", **described}).encode())
    if sidecar:
        list(read_recording("nowhere/a.json", sidecar, count(1)))


@given(st.lists(st.dictionaries(st.sampled_from(["kind", "position", "missing", "length"]), JSON)), st.booleans())
def test_gaps_that_say_anything_never_raise(gaps: list[dict[str, object]], filled: bool) -> None:
    times = RecordedTimes(gaps, 8000, filled=filled)

    for position in (0, 1, 160, 1 << 40):
        assert times.time_at(position) >= 0
        times.is_filled(position)
