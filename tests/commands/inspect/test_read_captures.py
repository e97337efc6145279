"""Several captures one after another, and what is wrong with them."""

import signal
from pathlib import Path

import pytest

from listenctl.capture.capture_events import CapturedFrame, SessionOpened
from listenctl.commands.inspect import read_captures as inspect_reading
from listenctl.commands.inspect.read_captures import Captures
from listenctl.errors import UsageError
from tests.helpers.capture import FOLDER

PAUSE, STREAM = (str(FOLDER / f"{name}.pcap.gz") for name in ("f_pause_graceful", "c2_bidir_stream8k_marks_nominus1"))


def numbers(captures: Captures) -> list[int]:
    return [event.session.number for event in captures.read() if isinstance(event, SessionOpened)]


def test_sessions_are_numbered_over_all_files_and_alike_each_time() -> None:
    captures = Captures([PAUSE, STREAM])

    assert numbers(captures) == [1, 2]
    assert numbers(captures) == [1, 2]


def test_a_file_that_cant_be_read_doesnt_stop_the_others(tmp_path: Path) -> None:
    captures = Captures([str(tmp_path / "none"), PAUSE])

    assert numbers(captures) == [1]
    assert captures.failures == [f"{tmp_path / 'none'}: can't be read: No such file or directory; name a capture"]


def test_what_is_wrong_is_said_and_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_reading, "_MOST_NOTICES", 2)
    path = tmp_path / "x.jsonl"
    bad = [
        '{"at":0,"from":"nobody","opcode":"text","text":""}',
        '{"at":0}',
        "x",
        '{"at":0,"from":"jambonz","opcode":99}',
    ]
    path.write_text("\n".join(['{"listenctl_dump":1,"created":""}', *bad, ""]))

    list(Captures([str(path)]).read())
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith(f"listenctl: {path}: line 2: ")
    assert said[2] == f"listenctl: {path}: 2 more problems"


def test_a_first_pass_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"listenctl_dump":1,"created":""}\nx\n')

    list(Captures([str(path)]).read(quiet=True))
    assert capsys.readouterr().err == ""


def test_an_encrypted_session_is_no_damage(capsys: pytest.CaptureFixture[str]) -> None:
    captures = Captures([str(FOLDER / "encrypted" / "d_wss_mono16k.pcap.gz")])

    assert numbers(captures) == [1]
    assert capsys.readouterr().err == ""


def test_a_key_log_decrypts() -> None:
    folder = FOLDER / "encrypted"
    captures = Captures([str(folder / "d_wss_mono16k.pcap.gz")], folder / "d_wss_mono16k.keylog")

    assert sum(isinstance(event, CapturedFrame) for event in captures.read()) > 600


def test_a_signal_ends_the_reading_of_all_files(capsys: pytest.CaptureFixture[str]) -> None:
    captures = Captures([PAUSE, STREAM])
    seen = []
    for event in captures.read(join_audio=False):
        seen.append(event)
        if len(seen) == 100:
            signal.raise_signal(signal.SIGTERM)

    assert len(seen) == 100
    assert captures.interrupted == signal.SIGTERM
    assert capsys.readouterr().err == f"listenctl: {PAUSE}: interrupted; the results cover what was read until then\n"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_key_log_of_nothing_is_refused_unless_it_may_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys"
    path.write_text("root:x:0:0\n")

    with pytest.raises(UsageError, match="keys: holds no secrets of TLS sessions; name"):
        Captures([PAUSE], path)
    Captures(["-"], path)

    assert capsys.readouterr().err == f"listenctl: {path}: holds no secrets of TLS sessions yet\n"
