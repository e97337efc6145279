"""Reading of several captures."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from listenctl.capture.capture_events import CapturedFrame, SessionOpened
from listenctl.commands.inspect import read_captures
from listenctl.commands.inspect.read_captures import Captures
from listenctl.terminal.stop_signals import STOP_SIGNALS
from tests.helpers.capture import FOLDER

PAUSE, STREAM = (str(FOLDER / f"{name}.pcap.gz") for name in ("f_pause_graceful", "c2_bidir_stream8k_marks_nominus1"))


def numbers(captures: Captures) -> list[int]:
    return [event.session.number for event in captures.read() if isinstance(event, SessionOpened)]


def test_sessions_are_numbered_across_files_in_every_pass() -> None:
    captures = Captures([PAUSE, STREAM])

    assert numbers(captures) == [1, 2]
    assert numbers(captures) == [1, 2]


def test_unreadable_file_doesnt_stop_the_others(tmp_path: Path) -> None:
    captures = Captures([str(tmp_path / "none"), PAUSE])

    assert numbers(captures) == [1]
    assert captures.failures == [f"{tmp_path / 'none'}: can't be read: No such file or directory; name a capture"]


def test_reported_damage_is_limited_and_off_in_a_quiet_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_captures, "_MOST_NOTICES", 2)
    path = tmp_path / "x.jsonl"
    bad = [
        '{"at":0,"from":"nobody","opcode":"text","text":""}',
        '{"at":0}',
        "x",
        '{"at":0,"from":"jambonz","opcode":99}',
    ]
    path.write_text("\n".join(['{"listenctl_dump":1,"created":""}', *bad, ""]))

    list(Captures([str(path)]).read(quiet=True))
    assert capsys.readouterr().err == ""
    list(Captures([str(path)]).read())
    reported = capsys.readouterr().err.splitlines()
    assert len(reported) == 3
    assert reported[0].startswith(f"listenctl: {path}: line 2: ")
    assert reported[2] == f"listenctl: {path}: 2 more problems"


def test_encrypted_session_is_not_damage(capsys: pytest.CaptureFixture[str]) -> None:
    captures = Captures([str(FOLDER / "encrypted" / "d_wss_mono16k.pcap.gz")])

    assert numbers(captures) == [1]
    assert capsys.readouterr().err == ""


@pytest.fixture(params=STOP_SIGNALS)
def stop_signal(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal with its default handler, whatever started the tests."""
    number: signal.Signals = request.param
    before = signal.signal(number, signal.SIG_DFL)
    yield number
    signal.signal(number, before)


def test_signal_ends_the_reading_of_all_files(stop_signal: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    captures = Captures([PAUSE, STREAM])
    events = []
    for event in captures.read(join_audio=False):
        events.append(event)
        if len(events) == 100:
            signal.raise_signal(stop_signal)

    assert len(events) == 100
    assert captures.interrupted == stop_signal
    assert capsys.readouterr().err == f"listenctl: {PAUSE}: interrupted; the results cover only the part read so far\n"
    assert signal.getsignal(stop_signal) == signal.SIG_DFL


@pytest.mark.parametrize("stop_signal", [signal.SIGHUP], indirect=True)
def test_closed_terminal_doesnt_stop_the_reading_under_nohup(stop_signal: signal.Signals) -> None:
    signal.signal(stop_signal, signal.SIG_IGN)
    captures = Captures([PAUSE])

    for _ in captures.read():
        signal.raise_signal(stop_signal)

    assert captures.interrupted == 0


def test_key_log_may_get_its_first_secrets_while_stdin_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys"
    path.touch()

    captures = Captures([str(FOLDER / "encrypted/d_wss_mono16k.pcap.gz"), "-"], path)
    path.write_bytes((FOLDER / "encrypted/d_wss_mono16k.keylog").read_bytes())

    assert any(isinstance(event, CapturedFrame) for event in captures.read(quiet=True))
    assert capsys.readouterr().err == f"listenctl: {path}: contains no TLS secrets yet\n"
