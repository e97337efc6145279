"""A web server that takes webhooks, and verifies them as whoever uses Standard Webhooks does."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any

from standardwebhooks.webhooks import Webhook

from tests.helpers.server import LIMIT, Event

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    path: str
    headers: Mapping[str, str]
    event: Event

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(slots=True)
class WebhookReceiver:
    """Answers the first requests with ``statuses``, and all others with 204."""

    statuses: list[int] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    gate: threading.Event = field(default_factory=threading.Event)  # no request is answered before it is set
    received: SimpleQueue[ReceivedWebhook] = field(default_factory=SimpleQueue)
    url: str = ""

    def take(self, number: int = 1) -> list[ReceivedWebhook]:
        """Wait for so many webhooks."""
        return [self.received.get(timeout=LIMIT) for _ in range(number)]


@contextmanager
def receiving_webhooks(
    *statuses: int,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver(list(statuses), headers or {}, body)
    receiver.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            fields = {name.lower(): value for name, value in self.headers.items()}
            verified: Any = Webhook(SECRET).verify(sent, fields)
            assert verified == json.loads(sent)
            receiver.received.put(ReceivedWebhook(self.path, fields, verified))
            receiver.gate.wait(LIMIT)
            # A sender that was ended waits no more.
            with suppress(ConnectionError):
                self._answer()

        def _answer(self) -> None:
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(receiver.body)))
            self.end_headers()
            self.wfile.write(receiver.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/hook"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.gate.set()
            server.shutdown()
            thread.join()


def events_of(webhooks: Sequence[ReceivedWebhook]) -> list[str]:
    return [webhook.event["event"] for webhook in webhooks]
