"""
``--webhook``: POST an event to a URL, signed as Standard Webhooks says. A 2xx takes it; redirects are not followed.

Each request has a thread, because the standard library's client blocks; a target has as many as it gets events at once.
"""

import http.client
import ssl
import time
from collections.abc import Callable
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from listenctl import __version__
from listenctl.background_task import in_daemon_thread
from listenctl.errors import UsageError
from listenctl.protocol.privacy.hide_secrets import shown_url
from listenctl.server.hooks.hook_delivery import HookDelivery, HookFailure, HookKind
from listenctl.server.hooks.webhook_signature import SigningSecrets

TIMEOUT = 10.0
"""Seconds for each step of a request: to connect, to send, to be answered."""
BODY_BYTES = 8192
"""Bytes of an answer that are read; a server that can't send its answer may undo what it did."""
SHOWN_CHARACTERS = 200

_EXAMPLE = "such as https://example.com/hooks"


class WebhookTarget:
    """Raises UsageError for a URL that can't be called, or that has credentials in it."""

    kind = HookKind.WEBHOOK
    at_once = 16

    def __init__(self, url: str, secrets: SigningSecrets, unix_clock: Callable[[], float] = time.time) -> None:
        self.address = url
        self.shown = shown_url(url)
        self.secrets = secrets
        self._unix_clock = unix_clock
        secure, self._host, self._port, self._resource = _parse_url(url)
        self._tls = ssl.create_default_context() if secure else None

    async def attempt(self, delivery: HookDelivery) -> HookFailure | None:
        return await in_daemon_thread(partial(self._post, delivery), "webhook")

    def _post(self, delivery: HookDelivery) -> HookFailure | None:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"listenctl/{__version__}",
            "Connection": "close",
            **self.secrets.sign(delivery.id, self._unix_clock(), delivery.body),
        }
        with closing(self._open()) as connection:
            try:
                connection.request("POST", self._resource, delivery.body, headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException, UnicodeError) as exc:
                return HookFailure(_describe_problem(exc), unreachable=True)
            body = b""
            with suppress(OSError, http.client.HTTPException):
                body = response.read1(BODY_BYTES)
            return self._judge(response, body)

    def _open(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT, context=self._tls)

    def _judge(self, response: http.client.HTTPResponse, body: bytes) -> HookFailure | None:
        status = response.status
        if 200 <= status < 300:
            return None
        text = body.decode(errors="replace").strip().partition("\n")[0][:SHOWN_CHARACTERS]
        reason = response.reason[:SHOWN_CHARACTERS]
        problem = f"it answered {status} {reason}".rstrip() + (f": {text}" if text else "")
        if 300 <= status < 400:
            problem += "; redirects are not followed, so give the final URL"
        retry_after = parse_retry_after(response.headers.get("Retry-After", ""), self._unix_clock())
        return HookFailure(problem, retry_after, gone=status == HTTPStatus.GONE)


def parse_retry_after(text: str, now: float) -> float:
    """Return the seconds of a Retry-After header, which has a number or a date (RFC 9110 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with suppress(ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    return 0.0


def _parse_url(url: str) -> tuple[bool, str, int | None, str]:
    """Return whether to use TLS, host, port, and path with query."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise UsageError(f"--webhook {shown_url(url)}: {str(exc).lower()}; give a URL {_EXAMPLE}") from exc
    printable = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not host or not printable:
        raise UsageError(f"--webhook {shown_url(url)}: give a URL {_EXAMPLE}")
    if "@" in parts.netloc:
        raise UsageError(
            f"--webhook {shown_url(url)}: the URL has credentials; leave them out, the signature says who sends it"
        )
    if parts.fragment:
        raise UsageError(f"--webhook {shown_url(url)}: the URL has a fragment; leave out # and what follows")
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme == "https", host, port, resource


def _describe_problem(exc: Exception) -> str:
    match exc:
        case TimeoutError():
            return f"no answer within {TIMEOUT:g} s"
        case ConnectionResetError() | BrokenPipeError():
            return "it closed the connection without an answer"
        case ssl.SSLCertVerificationError(verify_message=message):
            return f"its certificate isn't trusted: {message.rstrip('.')}; SSL_CERT_FILE can name the file of its CA"
        case ssl.SSLError(reason=str(reason)):
            return f"TLS failed: {reason.lower().replace('_', ' ')}"
        case OSError(strerror=str(problem)):
            return f"can't connect: {problem}"
        case http.client.HTTPException():
            return f"it didn't answer in HTTP ({type(exc).__name__})"
    return f"can't connect: {exc}"
