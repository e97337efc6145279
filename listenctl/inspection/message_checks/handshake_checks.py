"""Checks of the WebSocket handshake (listenctl-protocol(7) 1)."""

import ipaddress
import re
from collections.abc import Iterator

from websockets.utils import accept_key

from listenctl.capture.capture_events import CapturedSession
from listenctl.capture.websocket.http_heads import SWITCHING, HttpHead
from listenctl.inspection.rule_violations import Culprit, FoundViolation
from listenctl.json_lines import JsonObject
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.opening_handshake import SUBPROTOCOLS
from listenctl.protocol.privacy.hide_secrets import shown_authorization, shown_subprotocols

_BASIC = re.compile(r"[Bb]asic [A-Za-z0-9+/]+={0,2}")
_MAX_SHOWN = 60
# jambonz gives up a little later (listenctl-protocol(7) 1.6).
_ANSWER_TIME = 10.0


def check_handshake(session: CapturedSession) -> Iterator[FoundViolation]:
    """Yield the violations in the captured parts of a handshake."""
    request, response = session.request, session.response
    # The HAR of a browser may contain no headers.
    if request and request.headers:
        yield from _check_request(session, request)
    if response:
        yield from _check_response(request if response.headers else None, response)


def check_missing_answer(waited: float, ended_by: Sender | None) -> tuple[Culprit, str] | None:
    """
    Return who left a request without an answer, and a sentence; None if nobody did as far as the capture goes.

    Args:
        waited: seconds from the request to the end of the connection or of the capture.
        ended_by: who ended the connection, None if nobody did.
    """
    if ended_by is Sender.APPLICATION:
        return Culprit.APPLICATION, "the server ended the connection without an answer to the WebSocket request"
    if waited >= _ANSWER_TIME:
        return Culprit.APPLICATION, f"the WebSocket request was not answered within {waited:.1f} s"
    if ended_by is Sender.JAMBONZ:
        return Culprit.JAMBONZ, f"the client ended the connection after {waited:.2f} s, before an answer"
    return None


def describe_handshake(session: CapturedSession) -> JsonObject:
    """Return the object in `listenctl-inspect(5)`, without credentials."""
    return {
        "status": (session.response and session.response.status) or None,
        "subprotocol_offered": shown_subprotocols(_header(session.request, "sec-websocket-protocol")),
        "subprotocol": shown_subprotocols(_header(session.response, "sec-websocket-protocol")),
        "extensions": _header(session.response, "sec-websocket-extensions"),
        "host": _header(session.request, "host"),
        "user_agent": _header(session.request, "user-agent"),
        "authorization": shown_authorization(_header(session.request, "authorization")),
    }


def _check_request(session: CapturedSession, request: HttpHead) -> Iterator[FoundViolation]:
    offered = _subprotocols(request)
    if not set(offered) & set(SUBPROTOCOLS):
        names = "no subprotocol of jambonz" if offered else "no subprotocol"
        yield "subprotocol-unknown", Culprit.JAMBONZ, f"the client offers {names}"
    authorization = _header(request, "authorization")
    if authorization is None:
        return
    if not _BASIC.fullmatch(authorization):
        yield "authorization-malformed", Culprit.JAMBONZ, "the Authorization header is not Basic with base64"
    if not session.encrypted and _is_remote(session.server):
        yield "authorization-in-clear", Culprit.JAMBONZ, f"credentials are sent over ws:// to {session.server}"


def _check_response(request: HttpHead | None, response: HttpHead) -> Iterator[FoundViolation]:
    if response.status != SWITCHING:
        yield "handshake-refused", Culprit.APPLICATION, f"answered with {response.first_line[:_MAX_SHOWN]}"
        return
    if not request:
        return
    accept = _header(response, "sec-websocket-accept")
    if accept is not None and accept != accept_key((_header(request, "sec-websocket-key") or "").strip()):
        detail = f"Sec-WebSocket-Accept {accept[:_MAX_SHOWN]!r} does not match the key"
        yield "accept-wrong", Culprit.APPLICATION, detail
    offered, selected = _subprotocols(request), _subprotocols(response)
    if selected and (len(selected) > 1 or selected[0] not in offered):
        names = f"{_shown(selected)} for {_shown(offered) or 'none'}"
        yield "subprotocol-other", Culprit.APPLICATION, f"selects the subprotocol {names}"
    elif offered and not selected:
        yield "subprotocol-missing", Culprit.APPLICATION, f"does not select {_shown(offered)}"
    extensions = _header(response, "sec-websocket-extensions")
    if extensions and not _header(request, "sec-websocket-extensions"):
        detail = f"accepts {extensions[:_MAX_SHOWN]}, which was not offered"
        yield "extension-unasked", Culprit.APPLICATION, detail


def _header(head: HttpHead | None, name: str) -> str | None:
    values = [value for own, value in head.headers if own.lower() == name] if head else []
    return ", ".join(values) if values else None


def _subprotocols(head: HttpHead) -> list[str]:
    value = _header(head, "sec-websocket-protocol") or ""
    return [name for part in value.split(",") if (name := part.strip())]


def _shown(subprotocols: list[str]) -> str:
    return (shown_subprotocols(", ".join(subprotocols)) or "")[:_MAX_SHOWN] if subprotocols else ""


def _is_remote(endpoint: str) -> bool:
    """Return whether an address and port are on another machine; False if unknown."""
    host = endpoint.rpartition(":")[0].strip("[]")
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host not in ("", "localhost")
