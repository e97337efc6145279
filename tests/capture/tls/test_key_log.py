"""Secrets of a key log, and a key log file that grows while it is read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.tls.key_log import KeyLog, KeyLogFile, SecretLabel
from listenctl.errors import UsageError

RANDOM = bytes(range(32))

SECRET = bytes(range(48))
LINE = f"CLIENT_RANDOM {RANDOM.hex()} {SECRET.hex()}"


@pytest.mark.parametrize("text", [LINE, f"# made by hand\r\n\r\n{LINE.upper()}\r\n"])
def test_secrets_are_found_by_label_and_client_random(text: str) -> None:
    keylog = KeyLog(text)

    assert keylog.find_secret(SecretLabel.MASTER, RANDOM) == SECRET
    assert keylog.find_secret(SecretLabel.MASTER, bytes(32)) is None
    assert keylog.find_secret(SecretLabel.CLIENT_TRAFFIC, RANDOM) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "#",
        "CLIENT_RANDOM",
        f"CLIENT_RANDOM {RANDOM.hex()}",
        f"CLIENT_RANDOM {RANDOM.hex()} {SECRET.hex()} more",
        f"CLIENT_RANDOM {RANDOM.hex()[2:]} {SECRET.hex()}",
        f"CLIENT_RANDOM {RANDOM.hex()} 00",
        f"CLIENT_RANDOM {RANDOM.hex()} {'xy' * 48}",
        f"EXPORTER_SECRET {RANDOM.hex()} {SECRET.hex()}",
        f"RSA {RANDOM.hex()[:16]} {SECRET.hex()}",
    ],
)
def test_what_is_no_secret_of_use_is_skipped(line: str) -> None:
    assert len(KeyLog(f"{line}\n{LINE}")) == 1


def test_sections_add_up() -> None:
    keylog = KeyLog(LINE)

    keylog.add_lines(LINE.replace(RANDOM.hex(), bytes(32).hex()).encode())

    assert len(keylog) == 2


def test_the_oldest_secrets_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.capture.tls.key_log.MAX_SECRETS", 2)

    keylog = KeyLog("\n".join(f"CLIENT_RANDOM {bytes([number] * 32).hex()} {SECRET.hex()}" for number in range(3)))

    assert [bool(keylog.find_secret(SecretLabel.MASTER, bytes([number] * 32))) for number in range(3)] == [
        False,
        True,
        True,
    ]


@given(st.binary())
def test_anything_may_be_in_a_key_log(text: bytes) -> None:
    assert len(KeyLog(text)) == 0


def line(random: int) -> bytes:
    return f"CLIENT_RANDOM {bytes([random] * 32).hex()} {SECRET.hex()}\n".encode()


def test_secrets_that_are_written_later_are_found(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(line(1))
    keylog = KeyLogFile(path)

    assert keylog.find_secret(SecretLabel.MASTER, bytes([1] * 32)) == SECRET
    assert keylog.find_secret(SecretLabel.MASTER, bytes([2] * 32)) is None
    with path.open("ab") as file:
        file.write(line(2))
    assert keylog.find_secret(SecretLabel.MASTER, bytes([2] * 32)) == SECRET


def test_half_a_line_is_read_when_the_rest_is_there(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(line(1) + line(2)[:70])
    keylog = KeyLogFile(path)

    assert keylog.find_secret(SecretLabel.MASTER, bytes([2] * 32)) is None
    path.write_bytes(line(1) + line(2))
    assert keylog.find_secret(SecretLabel.MASTER, bytes([2] * 32)) == SECRET


def test_a_last_line_without_its_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(line(1) + line(2).rstrip())

    assert KeyLogFile(path).find_secret(SecretLabel.MASTER, bytes([2] * 32)) == SECRET


def test_a_key_log_that_is_gone_costs_only_what_would_come(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(line(1))
    keylog = KeyLogFile(path)
    path.unlink()

    assert keylog.find_secret(SecretLabel.MASTER, bytes([3] * 32)) is None
    assert keylog.find_secret(SecretLabel.MASTER, bytes([1] * 32)) == SECRET


def test_a_missing_key_log_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't read the key log: No such file"):
        KeyLogFile(tmp_path / "none")


def test_a_key_log_without_secrets_is_refused_unless_it_may_grow(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("root:x:0:0\n")

    with pytest.raises(UsageError, match="keys: contains no TLS secrets; give"):
        KeyLogFile(path)
    assert not KeyLogFile(path, live=True)


def test_a_copy_gets_secrets_of_its_own() -> None:
    keylog = KeyLog(line(1))
    copied = keylog.copy()
    copied.add_lines(line(2))

    assert (len(keylog), len(copied)) == (1, 2)
    assert copied.find_secret(SecretLabel.MASTER, bytes([1] * 32)) == SECRET
