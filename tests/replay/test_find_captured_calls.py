"""The calls that are found in a capture to be replayed."""

from pathlib import Path

import pytest

from listenctl.errors import NotFoundError, UsageError
from listenctl.replay.find_captured_calls import find_captured_calls
from listenctl.replay.replay_script import CaptureFile
from tests.helpers.capture import FOLDER
from tests.helpers.dumps import CLOSE, METADATA, TEXT, jambonz, write_dump


def two_calls(folder: Path) -> CaptureFile:
    other = METADATA.replace(b"old-sid", b"second")
    path = write_dump(folder / "two.jsonl", [jambonz(0.0, TEXT, METADATA), jambonz(1.0, CLOSE)])
    write_dump(path, [jambonz(0.0, TEXT, other), jambonz(1.0, CLOSE)], created="2026-11-21T10:00:01.000000Z")
    return CaptureFile(str(path), path.name)


@pytest.mark.parametrize(
    ("wanted", "number"), [(None, 1), ("1", 1), ("2", 2), ("second", 2), ("old-sid", 1), ("sec", 2), ("@latest", 2)]
)
def test_a_call_is_found_by_number_and_by_call_sid(wanted: str | None, number: int, tmp_path: Path) -> None:
    assert [call.number for call in find_captured_calls(two_calls(tmp_path), wanted)] == [number]


def test_a_prefix_of_several_call_sids_is_refused(tmp_path: Path) -> None:
    calls = two_calls(tmp_path)
    frames = [jambonz(0.0, TEXT, METADATA.replace(b"old-sid", b"section")), jambonz(1.0, CLOSE)]
    write_dump(Path(calls.path), frames)

    with pytest.raises(UsageError, match="--call sec matches 2 calls"):
        find_captured_calls(calls, "sec")


def test_a_missing_call_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"two.jsonl: contains no readable frame of a call 3"):
        find_captured_calls(two_calls(tmp_path), "3")


def test_a_websocket_that_is_no_listen_call_must_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "chat.har"
    path.write_text(
        '{"log":{"entries":[{"startedDateTime":"2026-11-21T10:00:00Z","request":{"method":"GET","url":"ws://h/chat"},'
        '"_webSocketMessages":[{"type":"send","time":1795255200.5,"opcode":1,"data":"hello"}]}]}}'
    )

    with pytest.raises(NotFoundError, match="none is a listen call; choose one with --call NUMBER"):
        find_captured_calls(CaptureFile(str(path), path.name))
    assert [call.number for call in find_captured_calls(CaptureFile(str(path), path.name), "1")] == [1]


def test_an_encrypted_call_says_how_to_get_its_secrets() -> None:
    with pytest.raises(NotFoundError, match=r"call 1 can't be read: .*--keylog"):
        find_captured_calls(CaptureFile(str(FOLDER / "encrypted/d_wss_mono16k.pcap.gz"), "d"))
