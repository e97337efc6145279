"""The keys of encrypted recordings: recipients to encrypt to, identities to decrypt with (age-encryption.org)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from listenctl.errors import ListenctlError, UsageError

AGE_MAGIC = b"age-encryption.org/v1\n"
"""How every age file begins that is not armored."""

_ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_MAX_KEY_FILE = 1 << 20
_SECRET = "age-secret-key-"
_MORE_BYTES = 1024
"""What a message without audio has more than an empty one, and what age adds at random."""


@dataclass(frozen=True, slots=True)
class AgeRecipients:
    """Everyone who can decrypt what is encrypted to them; a message without audio has at most ``overhead`` bytes."""

    keys: Sequence[object]
    overhead: int

    def encrypt(self, data: bytes) -> bytes:
        import pyrage

        return bytes(pyrage.encrypt(data, self.keys))


@dataclass(frozen=True, slots=True)
class AgeIdentities:
    keys: Sequence[object]

    def decrypt(self, message: bytes) -> bytes | None:
        """Return what an age message holds, None if it is damaged, or for others."""
        import pyrage

        try:
            return bytes(pyrage.decrypt(message, self.keys))
        except pyrage.DecryptError:
            return None


def read_recipients(texts: Iterable[str]) -> AgeRecipients:
    """Return the recipients that --encrypt-to names: public keys, or files of them; raises UsageError for others."""
    pyrage = _import_pyrage("--encrypt-to")
    keys: list[object] = []
    for text in texts:
        if _is_key(text):
            keys.append(_read_recipient(pyrage, text, "--encrypt-to"))
        else:
            lines = list(_key_lines(_read_key_file(Path(text), "--encrypt-to"), text))
            keys.extend(_read_recipient(pyrage, line, where) for line, where in lines)
            if not lines:
                raise UsageError(f"--encrypt-to {text}: has no recipients; it needs a public key on each line")
    try:
        overhead = len(pyrage.encrypt(b"", keys)) + _MORE_BYTES
    except pyrage.EncryptError as exc:
        raise UsageError(f"--encrypt-to: these recipients can't be used together: {exc}") from exc
    return AgeRecipients(keys, overhead)


def read_identities(paths: Iterable[Path], ask_passphrase: Callable[[Path], str]) -> AgeIdentities:
    """Return the secret keys in files; ``ask_passphrase`` is called for those that are encrypted with one."""
    pyrage = _import_pyrage("decryption")
    keys: list[object] = []
    for path in paths:
        data = _read_key_file(path, "--identity")
        if data.startswith((AGE_MAGIC, _ARMOR)):
            try:
                data = bytes(pyrage.passphrase.decrypt(data, ask_passphrase(path)))
            except pyrage.DecryptError as exc:
                raise ListenctlError(f"{path}: can't be decrypted with this passphrase: {exc}") from exc
        keys.extend(_read_identities(pyrage, data, path))
    return AgeIdentities(keys)


def _import_pyrage(wanted_by: str) -> Any:
    try:
        import pyrage
        import pyrage.passphrase
        import pyrage.ssh
        import pyrage.x25519
    except ImportError as exc:
        raise UsageError(f"{wanted_by} needs the Python package pyrage: pip install 'listenctl[encrypt]'") from exc
    return pyrage


def _is_key(text: str) -> bool:
    return text.lower().startswith((_SECRET, "age1", "ssh-", "ecdsa-", "sk-")) or "-----BEGIN" in text


def _read_recipient(pyrage: Any, text: str, where: str) -> object:
    if _is_secret(text):
        # The key is not repeated, because the text ends up in logs.
        raise UsageError(
            f"{where}: is a SECRET key, and recipients are public keys: `age-keygen -y FILE` or the .pub file has it; "
            "a secret key on a command line may be in the history of the shell and in logs, so replace it by a new one"
        )
    try:
        if text.startswith("age1"):
            return pyrage.x25519.Recipient.from_str(text)
        return pyrage.ssh.Recipient.from_str(text)
    except pyrage.RecipientError as exc:
        raise UsageError(
            f"{where}: {_shown(text)} can't be used as a recipient: {exc}; give a key that begins with age1, "
            "ssh-ed25519 or ssh-rsa"
        ) from exc


def _is_secret(text: str) -> bool:
    return text.lower().startswith(_SECRET) or "PRIVATE KEY-----" in text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:60]}…")


def _read_key_file(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY_FILE + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        hint = "; recipients begin with age1 or ssh-, anything else is a file" if option == "--encrypt-to" else ""
        raise UsageError(f"{option} {path}: can't be read: {reason}{hint}") from exc
    if len(data) > _MAX_KEY_FILE:
        raise UsageError(f"{option} {path}: is too large for a file of keys")
    return data


def _key_lines(data: bytes, name: object) -> Iterator[tuple[str, str]]:
    """Yield each line that has a key, and where it is."""
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield text, f"{name}, line {number}"


def _read_identities(pyrage: Any, data: bytes, path: Path) -> list[object]:
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            return [pyrage.ssh.Identity.from_buffer(data)]
        lines = list(_key_lines(data, path))
        for text, where in lines:
            if not _is_secret(text):
                raise UsageError(
                    f"{where}: is no secret key; decryption needs the file that age-keygen has written, or a private "
                    "key of SSH"
                )
        if not lines:
            raise UsageError(f"{path}: has no secret key")
        return [pyrage.x25519.Identity.from_str(text) for text, _ in lines]
    except pyrage.IdentityError as exc:
        hint = ""
        if "must be decrypted" in str(exc):
            hint = "; remove its passphrase in a copy with `ssh-keygen -p -N '' -f COPY`"
        raise UsageError(f"{path}: can't be used as a secret key: {exc}{hint}") from exc
