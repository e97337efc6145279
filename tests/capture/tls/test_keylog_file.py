"""A key log that grows while it is used."""

from pathlib import Path

import pytest

from listenctl.capture.tls.key_log import KeyLogFile, SecretLabel
from listenctl.errors import UsageError

SECRET = bytes(range(48))


def line(random: int) -> bytes:
    return f"CLIENT_RANDOM {bytes([random] * 32).hex()} {SECRET.hex()}\n".encode()


def test_secrets_that_are_written_later_are_found(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(line(1))
    keylog = KeyLogFile(path)

    assert keylog.find(SecretLabel.MASTER, bytes([1] * 32)) == SECRET
    assert keylog.find(SecretLabel.MASTER, bytes([2] * 32)) is None
    with path.open("ab") as file:
        file.write(line(2))
    assert keylog.find(SecretLabel.MASTER, bytes([2] * 32)) == SECRET


def test_half_a_line_is_read_when_the_rest_is_there(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(line(1) + line(2)[:70])
    keylog = KeyLogFile(path)

    assert keylog.find(SecretLabel.MASTER, bytes([2] * 32)) is None
    path.write_bytes(line(1) + line(2))
    assert keylog.find(SecretLabel.MASTER, bytes([2] * 32)) == SECRET


def test_a_last_line_without_its_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(line(1) + line(2).rstrip())

    assert KeyLogFile(path).find(SecretLabel.MASTER, bytes([2] * 32)) == SECRET


def test_a_key_log_that_is_gone_costs_only_what_would_come(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(line(1))
    keylog = KeyLogFile(path)
    path.unlink()

    assert keylog.find(SecretLabel.MASTER, bytes([3] * 32)) is None
    assert keylog.find(SecretLabel.MASTER, bytes([1] * 32)) == SECRET


def test_a_missing_key_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't read the key log: No such file"):
        KeyLogFile(tmp_path / "none")
