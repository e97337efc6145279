"""One request: what it says, which answers take the event, and what is wrong otherwise."""

import socket
import ssl
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.server.hooks import webhook_target
from listenctl.server.hooks.hook_delivery import HookDelivery, HookFailure, HookKind
from listenctl.server.hooks.webhook_signature import SigningSecrets
from listenctl.server.hooks.webhook_target import WebhookTarget, parse_retry_after
from tests.helpers.webhook_receiver import SECRET, receiving_webhooks

SECRETS = SigningSecrets.parse(SECRET, "")
BODY = b'{"event": "dtmf", "call": "CS-A"}'


def delivery() -> HookDelivery:
    return HookDelivery.of(HookKind.WEBHOOK, "", "CS-A", BODY)


async def test_an_event_is_posted_as_json_with_the_path_and_query_of_the_url() -> None:
    sent = delivery()
    with receiving_webhooks() as receiver:
        failure = await WebhookTarget(f"{receiver.url}?site=a", SECRETS).attempt(sent)
        [webhook] = receiver.take()

    assert failure is None
    assert webhook.path == "/hook?site=a"
    assert webhook.id == sent.id
    assert webhook.headers["content-type"] == "application/json"
    assert webhook.headers["user-agent"].startswith("listenctl/")


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_each_2xx_takes_the_event(status: int) -> None:
    with receiving_webhooks(status) as receiver:
        assert await WebhookTarget(receiver.url, SECRETS).attempt(delivery()) is None


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (302, HookFailure("it answered 302 Found; redirects are not followed, so give the final URL")),
        (404, HookFailure("it answered 404 Not Found")),
        (410, HookFailure("it answered 410 Gone", gone=True)),
        (500, HookFailure("it answered 500 Internal Server Error")),
    ],
)
async def test_any_other_answer_fails(status: int, failure: HookFailure) -> None:
    with receiving_webhooks(status, headers={"Location": "/elsewhere"}) as receiver:
        assert await WebhookTarget(receiver.url, SECRETS).attempt(delivery()) == failure
        assert len(receiver.take()) == 1
        assert receiver.received.empty()


async def test_the_first_line_of_the_body_says_why() -> None:
    with receiving_webhooks(400, body=b"unknown signature\nmore") as receiver:
        failure = await WebhookTarget(receiver.url, SECRETS).attempt(delivery())

    assert failure == HookFailure("it answered 400 Bad Request: unknown signature")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (formatdate(1_000_060, usegmt=True), 60.0),
        (formatdate(5, usegmt=True), 0.0),
        ("9" * 1000, 999_999_999.0),
        ("-1", 0.0),
        ("soon", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float) -> None:
    assert parse_retry_after(text, 1_000_000.0) == seconds


@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_says_when_to_come_again(status: int) -> None:
    with receiving_webhooks(status, headers={"Retry-After": "120"}) as receiver:
        failure = await WebhookTarget(receiver.url, SECRETS).attempt(delivery())

    assert failure is not None
    assert failure.retry_after == 120.0


@pytest.fixture
def silent() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


async def test_a_receiver_that_does_not_answer_is_given_up(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_target, "TIMEOUT", 0.05)

    failure = await WebhookTarget(silent, SECRETS).attempt(delivery())

    assert failure == HookFailure("no answer within 0.05 s", unreachable=True)


async def test_what_is_not_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    failure = await WebhookTarget(f"http://127.0.0.1:{port}/", SECRETS).attempt(delivery())

    assert failure == HookFailure("can't connect: Connection refused", unreachable=True)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"220 hello\r\n", "it didn't answer in HTTP (BadStatusLine)"),
        (b"", "it closed the connection without an answer"),
        (None, "it closed the connection without an answer"),
    ],
    ids=["another protocol", "closed", "reset"],
)
async def test_what_speaks_no_http_is_unreachable(answer: bytes | None, problem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, answer))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        failure = await WebhookTarget(url, SECRETS).attempt(delivery())
        thread.join()

    assert failure == HookFailure(problem, unreachable=True)


async def test_a_long_answer_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, b"HTTP/1.1 500 %b\r\n\r\n" % (b"x" * 60_000)))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        failure = await WebhookTarget(url, SECRETS).attempt(delivery())
        thread.join()

    assert failure == HookFailure(f"it answered 500 {'x' * 200}")


def _answer(server: socket.socket, answer: bytes | None) -> None:
    """Answer a request with these bytes; None resets the connection."""
    connected, _ = server.accept()
    with connected:
        connected.recv(1, socket.MSG_PEEK)
        if answer is not None:
            connected.sendall(answer)
            connected.shutdown(socket.SHUT_WR)
            # Closed with something unread, it would be reset.
            while connected.recv(65536):
                pass


async def test_a_certificate_is_verified(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiving_webhooks(tls=context) as receiver:
        untrusted = await WebhookTarget(receiver.url, SECRETS).attempt(delivery())
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusted = await WebhookTarget(receiver.url, SECRETS).attempt(delivery())

    assert receiver.url.startswith("https://")
    assert untrusted is not None
    assert "its certificate isn't trusted: self-signed certificate; SSL_CERT_FILE" in untrusted.problem
    assert trusted is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("example.com/hook", "give a URL such as https://"),
        ("ws://example.com/", "give a URL such as https://"),
        ("https:///hook", "give a URL such as https://"),
        ("https://example.com:99999/", "port out of range"),
        ("https://example.com/a b", "give a URL such as https://"),
        ("https://example.com/ä", "give a URL such as https://"),
        ("https://example.com/#part", "has a fragment"),
        ("https://me:hunter2@example.com/", "has credentials"),
    ],
)
def test_a_url_that_cannot_be_called_is_refused(url: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as refused:
        WebhookTarget(url, SECRETS)

    assert "hunter2" not in str(refused.value)


def test_people_do_not_see_a_token_of_the_url() -> None:
    target = WebhookTarget("https://example.com/hook?token=secret&site=a", SECRETS)

    assert target.shown == "https://example.com/hook?token=***&site=a"
    assert target.address == "https://example.com/hook?token=secret&site=a"
