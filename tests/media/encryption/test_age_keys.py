import subprocess
from pathlib import Path

import pytest
from pyrage import passphrase, x25519

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.encryption.age_keys import read_identities, read_recipients


def no_passphrase(path: Path) -> str:
    raise AssertionError(f"{path} needs no passphrase")


def ssh_key(path: Path, kind: str, words: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", words, "-f", path], check=True)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Return a file as age-keygen writes it."""
    identity = x25519.Identity.generate()
    path = tmp_path / "key.txt"
    path.write_text(f"# created: now\n# public key: {identity.to_public()}\n{identity}\n")
    return path


def public(key: Path) -> str:
    return key.read_text().partition("public key: ")[2].partition("\n")[0]


def test_a_recipient_decrypts_with_its_key(key: Path) -> None:
    message = read_recipients([public(key)]).encrypt(b"secret")

    assert b"secret" not in message
    assert read_identities([key], no_passphrase).decrypt(message) == b"secret"


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_ssh_keys_can_be_used(tmp_path: Path, kind: str) -> None:
    path = ssh_key(tmp_path / "id", kind)
    line = path.with_suffix(".pub").read_text().strip()
    keys = read_identities([path], no_passphrase)

    for text in (line, str(path.with_suffix(".pub"))):
        assert keys.decrypt(read_recipients([text]).encrypt(b"secret")) == b"secret"


def test_a_file_has_a_recipient_on_each_line(tmp_path: Path, key: Path) -> None:
    path = ssh_key(tmp_path / "id", "ed25519")
    file = tmp_path / "recipients"
    file.write_text(f"# us\n\n{public(key)}\n  {path.with_suffix('.pub').read_text()}")

    message = read_recipients([str(file)]).encrypt(b"secret")

    for identity in (key, path):
        assert read_identities([identity], no_passphrase).decrypt(message) == b"secret"


def test_a_message_without_audio_is_never_longer_than_foreseen(key: Path) -> None:
    recipients = read_recipients([public(key)])

    assert max(len(recipients.encrypt(bytes(200))) for _ in range(50)) < recipients.overhead


def test_a_message_for_others_is_not_decrypted(key: Path) -> None:
    other = str(x25519.Identity.generate().to_public())

    assert read_identities([key], no_passphrase).decrypt(read_recipients([other]).encrypt(b"secret")) is None


def test_a_key_with_a_passphrase_asks_for_it(tmp_path: Path, key: Path) -> None:
    protected = tmp_path / "key.age"
    protected.write_bytes(passphrase.encrypt(key.read_bytes(), "words"))
    message = read_recipients([public(key)]).encrypt(b"secret")

    assert read_identities([protected], lambda _: "words").decrypt(message) == b"secret"
    with pytest.raises(ListenctlError, match=r"key\.age: can't be decrypted with this passphrase"):
        read_identities([protected], lambda _: "others")


def test_a_secret_key_as_recipient_is_refused_and_never_repeated(key: Path) -> None:
    secret = key.read_text().splitlines()[-1]

    for text in (secret, secret.lower(), str(key)):
        with pytest.raises(UsageError, match="is a SECRET key") as refused:
            read_recipients([text])
        assert secret[20:40].lower() not in str(refused.value).lower()


def test_a_private_key_of_ssh_as_recipient_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a SECRET key"):
        read_recipients([str(ssh_key(tmp_path / "id", "ed25519"))])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("age1nonsense", "'age1nonsense' can't be used as a recipient"),
        ("ssh-ed25519 AAAA", "can't be used as a recipient"),
        ("ecdsa-sha2-nistp256 AAAA", "can't be used as a recipient"),
        ("/nowhere/keys", "can't be read: No such file or directory; recipients begin with age1 or ssh-"),
        ("/dev/null", "has no recipients"),
    ],
)
def test_what_is_no_recipient_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read_recipients([text])


def test_what_is_no_identity_is_refused(tmp_path: Path, key: Path) -> None:
    file = tmp_path / "other"
    for text, reason in (
        (public(key), "line 1: is no secret key"),
        ("", "has no secret key"),
        ("AGE-SECRET-KEY-1AB", "can't be used as a secret key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "can't be used as a secret key"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=reason):
            read_identities([file], no_passphrase)
    with pytest.raises(UsageError, match="must be decrypted first; remove its passphrase"):
        read_identities([ssh_key(tmp_path / "id", "ed25519", "words")], no_passphrase)
