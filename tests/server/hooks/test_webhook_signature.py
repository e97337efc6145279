"""Signatures that whoever uses a library of Standard Webhooks can verify."""

import json
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from listenctl.errors import UsageError
from listenctl.server.hooks.webhook_signature import SigningSecrets

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_plJ3nmyCDGBKInavdOK15jsl0000000000000000000="
BODY = json.dumps({"event": "dtmf", "digit": "ä"}, ensure_ascii=False).encode()


def test_the_example_of_the_library_gets_its_signature() -> None:
    headers = SigningSecrets.parse(OLD, "").sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, b'{"test": 2432232314}')

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("known", [OLD, NEW])
def test_while_a_secret_is_replaced_whoever_knows_either_can_verify(known: str) -> None:
    headers = SigningSecrets.parse(f"{NEW} {OLD}\n", "").sign("msg_1", time.time(), BODY)

    assert Webhook(known).verify(BODY, headers) == json.loads(BODY)


def test_nobody_can_change_a_signed_body() -> None:
    headers = SigningSecrets.parse(NEW, "").sign("msg_1", time.time(), BODY)

    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(BODY + b" ", headers)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (" \n", "there is no secret"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_ and Base64"),
        ("whsec_%%%%", "whsec_ and Base64"),
        (f"{OLD} whsec_c2hvcnQ=", "at least 24 bytes, and this one 5"),
    ],
)
def test_a_wrong_secret_is_refused_and_not_shown(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as refused:
        SigningSecrets.parse(text, "secret.txt")

    assert str(refused.value).startswith("secret.txt: ")
    assert not any(word in str(refused.value) for word in text.split())
