"""The opening handshake of a client: jambonz's request, and what it accepts (listenctl-protocol(7) 1.1, 1.2)."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from websockets.datastructures import Headers, MultipleValuesError
from websockets.http11 import Response
from websockets.streams import StreamReader
from websockets.utils import accept_key

from listenctl.errors import RefusedError, UsageError
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import WebSocketUrl, resolve_websocket_url
from listenctl.protocol.opening_handshake import SUBPROTOCOLS, basic_authorization
from listenctl.protocol.privacy.hide_secrets import shown_subprotocols

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_HEAD_BYTES = 64 * 1024
SHOWN_BODY_CHARACTERS = 200
END_OF_HEAD = b"\r\n\r\n"

_NO_HTTP = "answered with something that isn't HTTP; check whether it is a listen server"


@dataclass(frozen=True, slots=True)
class ClientHandshake:
    seconds: float  # for the whole handshake, redirects included; the other times are of the last connection
    connect_seconds: float
    tls_seconds: float
    upgrade_seconds: float
    subprotocol: str | None  # what the server chose, None if nothing
    remote: str
    redirects: tuple[str, ...]  # the URLs that the server redirected to
    warnings: tuple[str, ...]
    request: bytes  # the bytes of the last request


def build_request(target: CallTarget, address: WebSocketUrl, key: str) -> bytes:
    """Return the request, its headers in jambonz's order; where later builds put their User-Agent is unknown."""
    lines = [
        f"GET {address.path} HTTP/1.1",
        "Pragma: no-cache",
        "Cache-Control: no-cache",
        f"Host: {address.host_header}",
        f"Origin: {address.origin}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
    ]
    if target.subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {target.subprotocol}")
    lines.append("Sec-WebSocket-Version: 13")
    if target.user_agent is not None:
        lines.append(f"User-Agent: {target.user_agent}")
    value = target.authorization or basic_authorization(target.credentials)[0]
    if value is not None:
        lines.append(f"authorization: {value}")
    # Headers that a relay passes on need not be UTF-8.
    return "\r\n".join([*lines, "", ""]).encode(errors="surrogateescape")


def parse_response_head(data: bytes) -> Response | None:
    """Return the head of an answer, None while it is incomplete; raises RefusedError if it isn't HTTP."""
    if END_OF_HEAD not in data:
        if not b"HTTP/1.".startswith(data[:7]) or len(data) > MAX_HEAD_BYTES:
            raise RefusedError(_NO_HTTP)
        return None
    return _parse(data[: data.index(END_OF_HEAD) + len(END_OF_HEAD)], head_only=True)


def split_head(data: bytes) -> bytes:
    return data.partition(END_OF_HEAD)[2]


def is_complete(data: bytes) -> bool:
    """Return whether an answer and its body are complete; without a length only the end of the stream can tell."""
    head = parse_response_head(data)
    if head is None or not {"Content-Length", "Transfer-Encoding"} & set(map(str.title, head.headers)):
        return False
    with suppress(RefusedError):
        _parse(data, head_only=False)
        return True
    return False


def body_of(data: bytes) -> bytes:
    """Return the body of an answer, or what has arrived of it."""
    try:
        return bytes(_parse(data, head_only=False).body)
    except RefusedError:
        return split_head(data)


def shown_body(body: bytes) -> str:
    """Return the beginning of a body as one printable line."""
    text = body[: 4 * SHOWN_BODY_CHARACTERS].decode(errors="replace")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:SHOWN_BODY_CHARACTERS]


def _parse(data: bytes, *, head_only: bool) -> Response:
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    try:
        # With `proxy` the library accepts HTTP/1.0 too, and leaves the body alone.
        parsing = Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof, proxy=head_only)
        next(parsing)
    except StopIteration as done:
        response: Response = done.value
        return response
    # The library raises anything here, even LookupError.
    except Exception as exc:
        raise RefusedError(_NO_HTTP) from exc
    raise RefusedError(_NO_HTTP)


def redirected(response: Response, address: WebSocketUrl) -> WebSocketUrl | None:
    """Return the URL that an answer redirects to, or None; raises RefusedError if jambonz can't follow it."""
    if response.status_code not in REDIRECTS:
        return None
    location = _single(response.headers, "Location")
    if location is None:
        raise RefusedError(f"redirected with {response.status_code}, but without one Location header")
    try:
        return resolve_websocket_url(location, address)
    except UsageError as exc:
        raise RefusedError(f"redirected to {exc}") from exc


class HandshakeRefusedError(RefusedError):
    """The server's ``answer`` to our request is neither 101 nor a redirect."""

    def __init__(self, text: str, answer: Response) -> None:
        super().__init__(text)
        self.answer = answer


def refused_error(answer: Response) -> HandshakeRefusedError:
    status = f"refused with {answer.status_code} {answer.reason_phrase}".rstrip()
    advice = "; give credentials that the server accepts" if answer.status_code == 401 else ""
    body = shown_body(bytes(answer.body))
    return HandshakeRefusedError(f"{status}: {body}{advice}" if body else f"{status}{advice}", answer)


def check_upgrade(
    response: Response, key: str, offered: str | None, *, relayed: bool = False
) -> tuple[str | None, tuple[str, ...]]:
    """
    Return subprotocol and warnings of a 101 answer.

    Args:
        relayed: whether a client chose what is offered, which may be a secret then.

    Raises:
        RefusedError: jambonz closes the connection on this answer.
    """
    headers = response.headers
    if not _has_token(headers, "Upgrade", "websocket") or not _has_token(headers, "Connection", "upgrade"):
        raise RefusedError("isn't a listen server: its 101 lacks `Upgrade: websocket` or `Connection: Upgrade`")
    if _single(headers, "Sec-WebSocket-Accept") != accept_key(key):
        raise RefusedError("isn't a listen server: its Sec-WebSocket-Accept doesn't match our key")
    if extensions := headers.get_all("Sec-WebSocket-Extensions"):
        raise RefusedError(f"answered with the extension {', '.join(extensions)}; jambonz never offers one")
    known = None if relayed else offered
    return _subprotocol(headers.get_all("Sec-WebSocket-Protocol"), offered, known)


def _subprotocol(answers: Sequence[str], offered: str | None, known: str | None) -> tuple[str | None, tuple[str, ...]]:
    if not answers:
        if offered is None:
            return None, ()
        advice = f", but a server should echo {offered}" if offered in SUBPROTOCOLS else ""
        return None, (f"answered without a subprotocol; jambonz accepts that{advice}",)
    answer = ", ".join(answers)
    # jambonz offers exactly one name; a relay offers what its own client did.
    if answer not in map(str.strip, (offered or "").split(",")):
        echo = "none was offered" if offered is None else f"echo {shown_subprotocols(offered, (known,))}"
        shown = shown_subprotocols(answer, (known,))
        raise RefusedError(f"answered with subprotocol {shown}; jambonz closes the connection at once; {echo}")
    return answer, ()


def _has_token(headers: Headers, name: str, word: str) -> bool:
    words = chain.from_iterable(value.split(",") for value in headers.get_all(name))
    return any(found.strip().lower() == word for found in words)


def _single(headers: Headers, name: str) -> str | None:
    try:
        return headers.get(name)
    except MultipleValuesError:
        return None
