"""The script of a captured call, even a damaged one, and how far ahead it is read."""

import gzip
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from listenctl.capture.capture_events import CapturedFrame, CaptureEvent
from listenctl.capture.tls.key_log import KeyLogFile
from listenctl.replay.find_captured_calls import find_captured_calls
from listenctl.replay.replay_script import BATCH_STEPS, CaptureFile, ReplayScript
from tests.helpers.capture import FOLDER, received_audio
from tests.helpers.dumps import BINARY, jambonz, plan, play, write_dump
from tests.helpers.server import recorded_audio, running

pytestmark = pytest.mark.simulated_time

NAME = "a_mono8k_sip"


def capture(path: Path) -> CaptureFile:
    return CaptureFile(str(path), path.name)


async def test_an_encrypted_call_is_played_with_its_secrets() -> None:
    path = FOLDER / "encrypted/d_wss_mono16k.pcap.gz"
    (keylog,) = (FOLDER / "encrypted").glob("*.keylog")
    secrets = KeyLogFile(keylog)

    (call,) = find_captured_calls(CaptureFile(str(path), "d", secrets))
    script = ReplayScript(CaptureFile(str(path), "d", secrets), call)
    frames = [step.event.frame async for step in script if isinstance(step.event, CapturedFrame)]

    assert sum(len(frame.payload) for frame in frames if frame.opcode == BINARY) == 384_000


@pytest.mark.parametrize("share", [0.3, 0.9])
async def test_a_truncated_capture_is_played_to_its_end(share: float, tmp_path: Path) -> None:
    whole = gzip.decompress((FOLDER / f"{NAME}.pcap.gz").read_bytes())
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(whole[: int(len(whole) * share)])

    async with running(record=tmp_path / "recordings") as run:
        result = await play(plan(cut, run.port))
        saved = await run.events.wait_for("recording-saved")

    played, audio = recorded_audio(saved), received_audio(NAME).data
    assert played == audio[: len(played)]
    assert abs(len(played) / len(audio) - share) < 0.01
    assert result.notes == ["the capture has no Close of jambonz (it ends before); closed with 1000"]


async def test_the_file_is_read_only_a_little_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dump(
        tmp_path / "long", [jambonz(number / 50, BINARY, bytes(320)) for number in range(20 * BATCH_STEPS)]
    )
    read = 0
    original = CaptureFile.read

    def counting(self: CaptureFile) -> Iterator[CaptureEvent]:
        nonlocal read
        for event in original(self):
            read += 1
            yield event

    (call,) = find_captured_calls(capture(path), "1")
    monkeypatch.setattr(CaptureFile, "read", counting)
    script = ReplayScript(capture(path), call)
    ahead = [read - number async for number in numbered(script)]

    assert max(ahead) <= 2 * BATCH_STEPS + 2
    assert len(ahead) == 20 * BATCH_STEPS + 1


async def test_a_wrong_time_shifts_no_other_and_a_pause_of_hours_is_skipped(tmp_path: Path) -> None:
    times = (0.0, 1.0, 1e9, 2.0, 9000.0, 9001.0)
    path = write_dump(tmp_path / "d", [jambonz(at, BINARY, bytes(320)) for at in times])

    (call,) = find_captured_calls(capture(path), "1")
    script = ReplayScript(capture(path), call)
    moments = [round(step.at, 3) async for step in script if isinstance(step.event, CapturedFrame)]

    assert moments == [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]
    assert [str(notice) for notice in script.notices][-1] == (
        "call 1: its times jump by more than an hour; the pause is skipped"
    )


async def numbered(script: ReplayScript) -> AsyncIterator[int]:
    number = 0
    async for _ in script:
        number += 1
        yield number
