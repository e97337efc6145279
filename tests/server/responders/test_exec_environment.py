"""What a program finds in its environment, whatever the metadata are."""

from pathlib import Path

from listenctl.protocol.audio import AudioFormat
from listenctl.server.responders.exec_environment import MAX_VALUE, child_environment
from tests.helpers.server import call_log

MONO = AudioFormat(8000, 1)


def environment(metadata: bytes, control: Path | None = None, **inherited: str) -> dict[str, str | bytes]:
    return child_environment(inherited, call_log(metadata), audio=MONO, stream_rate=8000, control=control)


def test_our_own_settings_are_not_passed_on() -> None:
    found = environment(b"{}", PATH="/bin", LISTENCTL_AUTH="user:s3cret", LISTENCTL_EXEC="x", LISTENCTL_NAME="night")

    assert found["PATH"] == "/bin"
    assert found.keys().isdisjoint({"LISTENCTL_AUTH", "LISTENCTL_EXEC", "LISTENCTL_NAME", "LISTENCTL_CONTROL"})


def test_what_isnt_known_is_empty() -> None:
    found = environment(b"")

    assert found["LISTENCTL_FROM"] == found["LISTENCTL_MIX_TYPE"] == found["LISTENCTL_METADATA"] == b""
    assert found["LISTENCTL_SAMPLE_RATE"] == b"8000"
    known = "ACCOUNT_SID CALL CALL_SID CHANNELS DIRECTION FROM METADATA MIX_TYPE SAMPLE_RATE STREAM_RATE TO"
    assert sorted(found) == [f"LISTENCTL_{name}" for name in known.split()]


def test_nothing_in_the_metadata_can_keep_a_program_from_starting() -> None:
    raw = b'{"callSid":"a\\u0000b","from":"\\ud800","to":17,"tag":"\xff","mixType":"mono"}'

    found = environment(raw)

    assert found["LISTENCTL_CALL_SID"] == b"ab"
    assert found["LISTENCTL_FROM"] == "\ufffd".encode()
    assert found["LISTENCTL_TO"] == b""
    assert b"\0" not in b"".join(value for value in found.values() if isinstance(value, bytes))


def test_metadata_that_are_too_long_for_the_environment_are_left_out() -> None:
    found = environment(b'{"callSid":"a","tag":"' + b"x" * MAX_VALUE + b'"}')

    assert found["LISTENCTL_METADATA"] == b""
    assert found["LISTENCTL_CALL_SID"] == b"a"


def test_the_server_can_be_found_by_its_name() -> None:
    found = environment(b"{}", Path("/run/user/0/listenctl/night.2.sock"))

    assert found["LISTENCTL_CONTROL"] == b"/run/user/0/listenctl/night.2.sock"
    assert found["LISTENCTL_NAME"] == b"night.2"
