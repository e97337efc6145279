"""What the opening handshake of a call says, and what is wrong with it (protocol.md 1)."""

import base64
import hashlib
import ipaddress
import re
from collections.abc import Iterator

from listenctl.capture.capture_events import CapturedSession, HttpHead
from listenctl.events import Report
from listenctl.inspection.rule_catalogue import Culprit
from listenctl.protocol.opening_handshake import SUBPROTOCOLS

_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS = re.compile(r"HTTP/\d\.\d (\d{3})(?: |$)")
_BASIC = re.compile(r"[Bb]asic [A-Za-z0-9+/]+={0,2}")
_ANSWERED = 101
_SHOWN = 60

FoundFault = tuple[str, Culprit, str]
"""The id of a rule, who broke it and how."""


def check_handshake(session: CapturedSession) -> Iterator[FoundFault]:
    """Give what is wrong with a session's handshake, as far as the capture has it."""
    request, response = session.request, session.response
    # A browser's HAR may leave all headers out.
    if request and request.headers:
        yield from _check_request(session, request)
    if response:
        yield from _check_response(request if response.headers else None, response)
    elif request and not session.started_midway:
        yield "handshake-unanswered", Culprit.APPLICATION, "no answer to the request for a WebSocket"


def status_of(head: HttpHead | None) -> int | None:
    """Return the status of a response."""
    found = _STATUS.match(head.first_line) if head else None
    return int(found[1]) if found else None


def header(head: HttpHead | None, name: str) -> str | None:
    """Return the values of a header in one, None without it; ``name`` is in lower case."""
    values = [value for own, value in head.headers if own.lower() == name] if head else []
    return ", ".join(values) if values else None


def describe_handshake(session: CapturedSession) -> Report:
    """Return what a report says of the handshake; credentials are left out."""
    authorization = header(session.request, "authorization")
    return {
        "status": status_of(session.response),
        "subprotocol_offered": header(session.request, "sec-websocket-protocol"),
        "subprotocol": header(session.response, "sec-websocket-protocol"),
        "extensions": header(session.response, "sec-websocket-extensions"),
        "host": header(session.request, "host"),
        "user_agent": header(session.request, "user-agent"),
        "authorization": authorization.partition(" ")[0] if authorization else None,
    }


def _check_request(session: CapturedSession, request: HttpHead) -> Iterator[FoundFault]:
    offered = _names(request)
    if not set(offered) & set(SUBPROTOCOLS):
        named = ", ".join(offered)[:_SHOWN] or "no subprotocol"
        yield "subprotocol-unknown", Culprit.JAMBONZ, f"the client offers {named}"
    authorization = header(request, "authorization")
    if authorization is None:
        return
    if not _BASIC.fullmatch(authorization):
        yield "authorization-malformed", Culprit.JAMBONZ, "an Authorization that isn't Basic with Base64"
    if not session.encrypted and _is_remote(session.server):
        yield "authorization-in-clear", Culprit.JAMBONZ, f"credentials go over ws:// to {session.server}"


def _check_response(request: HttpHead | None, response: HttpHead) -> Iterator[FoundFault]:
    status = status_of(response)
    if status != _ANSWERED:
        yield "handshake-refused", Culprit.APPLICATION, f"answered with {response.first_line[:_SHOWN]}"
        return
    if not request:
        return
    accept = header(response, "sec-websocket-accept")
    if accept is not None and accept != _accept_of(header(request, "sec-websocket-key") or ""):
        yield "accept-wrong", Culprit.APPLICATION, f"Sec-WebSocket-Accept {accept[:_SHOWN]!r} doesn't fit the key"
    yield from _check_subprotocol(_names(request), _names(response))
    agreed = header(response, "sec-websocket-extensions")
    if agreed and not header(request, "sec-websocket-extensions"):
        yield "extension-unasked", Culprit.APPLICATION, f"agrees to {agreed[:_SHOWN]}, which wasn't offered"


def _check_subprotocol(offered: list[str], agreed: list[str]) -> Iterator[FoundFault]:
    if agreed and (len(agreed) > 1 or agreed[0] not in offered):
        named = f"{', '.join(agreed)[:_SHOWN]} for {', '.join(offered)[:_SHOWN] or 'none'}"
        yield "subprotocol-other", Culprit.APPLICATION, f"answers with the subprotocol {named}"
    elif offered and not agreed:
        yield "subprotocol-missing", Culprit.APPLICATION, f"doesn't echo {', '.join(offered)[:_SHOWN]}"


def _names(head: HttpHead) -> list[str]:
    value = header(head, "sec-websocket-protocol") or ""
    return [name for part in value.split(",") if (name := part.strip())]


def _accept_of(key: str) -> str:
    digest = hashlib.sha1(key.strip().encode() + _KEY_SUFFIX, usedforsecurity=False)
    return base64.b64encode(digest.digest()).decode()


def _is_remote(endpoint: str) -> bool:
    """Tell whether an address and port are on another machine; of an unknown one that isn't said."""
    host = endpoint.rpartition(":")[0].strip("[]")
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host not in ("", "localhost")
