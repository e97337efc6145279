"""Signatures of webhooks, as Standard Webhooks defines them (https://www.standardwebhooks.com): HMAC-SHA256."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Self

from listenctl.errors import UsageError

PREFIX = "whsec_"
MIN_SECRET_BYTES = 24

HOW_TO_MAKE_ONE = 'make one with: echo "whsec_$(openssl rand -base64 32)"'


class SigningSecrets:
    """One secret or several: while a secret is replaced, webhooks are signed with both."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = keys  # the one of each secret

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Parse secrets that white space separates; an error names ``where`` they were read, and never the text."""
        keys = [_parse_secret(word, where) for word in text.split()]
        if not keys:
            raise UsageError(f"{where}: there is no secret to sign webhooks with; {HOW_TO_MAKE_ONE}")
        return cls(keys)

    def sign(self, delivery_id: str, sent_at: float, body: bytes) -> dict[str, str]:
        """Return the headers that identify and sign a request which is sent at this Unix time."""
        moment = str(int(sent_at))
        signed = f"{delivery_id}.{moment}.".encode() + body
        signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in self.keys]
        return {
            "webhook-id": delivery_id,
            "webhook-timestamp": moment,
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }


def _parse_secret(word: str, where: str) -> bytes:
    try:
        if not word.startswith(PREFIX):
            raise ValueError
        key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error) as exc:
        raise UsageError(f"{where}: a secret to sign webhooks is whsec_ and Base64; {HOW_TO_MAKE_ONE}") from exc
    if len(key) < MIN_SECRET_BYTES:
        raise UsageError(
            f"{where}: a secret has at least {MIN_SECRET_BYTES} bytes, and this one {len(key)}; {HOW_TO_MAKE_ONE}"
        )
    return key
