import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.tls import key_log as tls_keylog
from listenctl.capture.tls.key_log import KeyLog, SecretLabel

RANDOM = bytes(range(32))
SECRET = bytes(48)
LINE = f"CLIENT_RANDOM {RANDOM.hex()} {SECRET.hex()}"


@pytest.mark.parametrize("text", [LINE, f"# made by hand\r\n\r\n{LINE.upper()}\r\n"])
def test_secrets_are_found_by_label_and_client_random(text: str) -> None:
    keylog = KeyLog(text)

    assert keylog.find(SecretLabel.MASTER, RANDOM) == SECRET
    assert keylog.find(SecretLabel.MASTER, bytes(32)) is None
    assert keylog.find(SecretLabel.CLIENT_TRAFFIC, RANDOM) is None


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
def test_what_is_no_secret_of_use_is_left_out(line: str) -> None:
    keylog = KeyLog()

    assert keylog.add(f"{line}\n{LINE}") == 1
    assert len(keylog) == 1


def test_sections_add_up() -> None:
    keylog = KeyLog(LINE)

    assert keylog.add(LINE.replace(RANDOM.hex(), bytes(32).hex()).encode()) == 1
    assert len(keylog) == 2


def test_the_oldest_secrets_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_keylog, "MAX_SECRETS", 2)

    keylog = KeyLog("\n".join(f"CLIENT_RANDOM {bytes([number] * 32).hex()} {SECRET.hex()}" for number in range(3)))

    assert [bool(keylog.find(SecretLabel.MASTER, bytes([number] * 32))) for number in range(3)] == [False, True, True]


@given(st.binary())
def test_anything_may_stand_in_a_key_log(text: bytes) -> None:
    assert len(KeyLog(text)) == 0
