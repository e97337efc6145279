"""What is found in a capture to be played, whatever its state, and how far ahead it is read."""

import gzip
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from listenctl.capture.capture_events import CapturedFrame, CaptureEvent
from listenctl.errors import ListenctlError, NotFoundError, UsageError
from listenctl.replay.find_captured_calls import find_captured_calls
from listenctl.replay.replay_script import BATCH_STEPS, CaptureFile, ReplayScript, read_secrets
from tests.helpers.capture import FOLDER, received_audio
from tests.helpers.replayed import BINARY, CLOSE, METADATA, TEXT, jambonz, plan, play, write_dump
from tests.helpers.server import recorded_audio, running

NAME = "a_mono8k_sip"


def capture(path: Path) -> CaptureFile:
    return CaptureFile(str(path), path.name)


def two_calls(folder: Path) -> CaptureFile:
    other = METADATA.replace(b"old-sid", b"second")
    path = write_dump(folder / "two.jsonl", [jambonz(0.0, TEXT, METADATA), jambonz(1.0, CLOSE)])
    write_dump(path, [jambonz(0.0, TEXT, other), jambonz(1.0, CLOSE)], created="2026-11-21T10:00:01.000000Z")
    return capture(path)


def test_the_first_call_is_the_default(tmp_path: Path) -> None:
    assert [call.number for call in find_captured_calls(two_calls(tmp_path))] == [1]


@pytest.mark.parametrize(
    ("wanted", "number"), [("1", 1), ("2", 2), ("second", 2), ("old-sid", 1), ("sec", 2), ("@latest", 2)]
)
def test_a_call_is_found_by_number_and_by_call_sid(wanted: str, number: int, tmp_path: Path) -> None:
    assert [call.number for call in find_captured_calls(two_calls(tmp_path), wanted)] == [number]


def test_a_prefix_of_several_call_sids_is_refused(tmp_path: Path) -> None:
    calls = two_calls(tmp_path)
    frames = [jambonz(0.0, TEXT, METADATA.replace(b"old-sid", b"section")), jambonz(1.0, CLOSE)]
    write_dump(Path(calls.path), frames)

    with pytest.raises(UsageError, match="--call sec can mean 2 calls"):
        find_captured_calls(calls, "sec")


def test_all_calls_are_found_with_their_begin(tmp_path: Path) -> None:
    one, other = find_captured_calls(two_calls(tmp_path), every=True)

    assert other.began - one.began == 1.0


def test_a_call_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"two.jsonl: holds no call 3 of which a frame could be read"):
        find_captured_calls(two_calls(tmp_path), "3")


def test_a_websocket_that_is_no_listen_call_has_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "chat.har"
    path.write_text(
        '{"log":{"entries":[{"startedDateTime":"2026-11-21T10:00:00Z","request":{"method":"GET","url":"ws://h/chat"},'
        '"_webSocketMessages":[{"type":"send","time":1795255200.5,"opcode":1,"data":"hello"}]}]}}'
    )

    with pytest.raises(NotFoundError, match="none is a listen call; name one with --call NUMBER"):
        find_captured_calls(capture(path))
    assert [call.number for call in find_captured_calls(capture(path), "1")] == [1]


def test_an_encrypted_call_says_how_to_get_its_secrets() -> None:
    with pytest.raises(NotFoundError, match=r"call 1 can't be read: .*--keylog"):
        find_captured_calls(capture(FOLDER / "encrypted/d_wss_mono16k.pcap.gz"))


async def test_an_encrypted_call_is_played_with_its_secrets(tmp_path: Path) -> None:
    path = FOLDER / "encrypted/d_wss_mono16k.pcap.gz"
    (keylog,) = (FOLDER / "encrypted").glob("*.keylog")
    secrets = read_secrets(keylog)

    (call,) = find_captured_calls(CaptureFile(str(path), "d", secrets))
    script = ReplayScript(CaptureFile(str(path), "d", secrets), call)
    frames = [step.event.frame async for step in script if isinstance(step.event, CapturedFrame)]

    assert sum(len(frame.payload) for frame in frames if frame.opcode == BINARY) == 384_000


def test_a_file_that_is_no_capture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing of that kind\n")

    with pytest.raises(ListenctlError, match="is text; name a capture") as raised:
        find_captured_calls(capture(path))

    assert raised.value.exit_status == 1


def test_a_key_log_without_secrets_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing of that kind\n")

    with pytest.raises(UsageError, match="holds no secrets of TLS sessions"):
        read_secrets(path)


@pytest.mark.parametrize("share", [0.3, 0.9])
async def test_of_a_capture_that_was_cut_off_is_played_what_is_there(share: float, tmp_path: Path) -> None:
    whole = gzip.decompress((FOLDER / f"{NAME}.pcap.gz").read_bytes())
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(whole[: int(len(whole) * share)])

    async with running(record=tmp_path / "recordings") as run:
        result = await play(plan(cut, run.port))
        saved = await run.events.wait_for("recording-saved")

    played, audio = recorded_audio(saved), received_audio(NAME).data
    assert played == audio[: len(played)]
    assert abs(len(played) / len(audio) - share) < 0.01
    assert result.notes == ["the capture has no Close of jambonz (it ends before); hung up with 1000"]


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


async def test_a_wrong_time_moves_no_other_and_a_pause_of_hours_is_left_out(tmp_path: Path) -> None:
    times = (0.0, 1.0, 1e9, 2.0, 9000.0, 9001.0)
    path = write_dump(tmp_path / "d", [jambonz(at, BINARY, bytes(320)) for at in times])

    (call,) = find_captured_calls(capture(path), "1")
    script = ReplayScript(capture(path), call)
    moments = [round(step.at, 3) async for step in script if isinstance(step.event, CapturedFrame)]

    assert moments == [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]
    assert [str(notice) for notice in script.notices][-1] == (
        "call 1: its times jump by more than an hour; played without"
    )


async def numbered(script: ReplayScript) -> AsyncIterator[int]:
    number = 0
    async for _ in script:
        number += 1
        yield number
