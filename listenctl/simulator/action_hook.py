"""The action hook, an HTTP request at the end of a listen (listenctl-protocol(7) 7); a failure is an answer, too."""

import asyncio
import base64
import http.client
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from listenctl.background_task import in_daemon_thread
from listenctl.net.tls_failures import failure_seen_by_client
from listenctl.protocol import peer_json
from listenctl.protocol.call_metadata import field_or_alias
from listenctl.protocol.listen_verb.listen_verb import ActionHook

DEADLINE = 10.0
_SHOWN_BYTES = 200
_NO_URL = "is not a valid URL; use http://HOST:PORT/PATH or https://HOST:PORT/PATH"

# The call's attributes as named in the first text; other names in a nested listen (listenctl-protocol(7) 2.3).
_ATTRIBUTES = (
    "callSid", "direction", "from", "to", "callId", "sbcCallid", "sipStatus", "sipReason", "callStatus", "callerId",
    "accountSid", "applicationSid", "traceId", "parentCallSid", "originatingSipIp", "originatingSipTrunkName",
    "fsSipAddress", "fsPublicIp", "apiBaseUrl", "callTerminationBy", "duration", "customerData", "headers",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """The answer to an action hook."""

    status: int | None
    detail: str = ""  # why there was none, or the reason phrase and the start of the body of a response that isn't 2xx


def hook_payload(
    fields: Mapping[str, object], *, dial_call_duration: int | None, digits: str | None
) -> dict[str, object]:
    """Return the payload for the call's attributes, those of the first text; None leaves a value out."""
    payload = {_snake_case(name): value for name in _ATTRIBUTES if (value := field_or_alias(fields, name)) is not None}
    if dial_call_duration is not None:
        payload["dial_call_duration"] = dial_call_duration
    if digits is not None:
        payload["digits"] = digits
    return payload


async def call_action_hook(
    hook: ActionHook,
    payload: Mapping[str, object],
    *,
    tls: ssl.SSLContext | None = None,
    deadline: float = DEADLINE,
) -> HookAnswer:
    # urllib never times out while bytes trickle in; an executor thread would then delay the end of the loop.
    answer = in_daemon_thread(partial(_request_answer, hook, payload, tls, deadline), "action-hook")
    try:
        async with asyncio.timeout(deadline):
            return await answer
    except TimeoutError:
        return HookAnswer(None, _too_late(deadline))


def _request_answer(
    hook: ActionHook, payload: Mapping[str, object], tls: ssl.SSLContext | None, deadline: float
) -> HookAnswer:
    # urllib would also open files.
    if not re.match(r"https?://", hook.url, re.IGNORECASE):
        return HookAnswer(None, _NO_URL)
    # Like the call itself, the hook uses no proxy.
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls), _NoRedirect()]
    try:
        with urllib.request.build_opener(*handlers).open(_request(hook, payload), timeout=deadline) as response:
            return HookAnswer(response.status)
    except urllib.error.HTTPError as exc:
        with exc:
            return HookAnswer(exc.code, _refusal(exc))
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return HookAnswer(None, _reason(exc, deadline))


def _request(hook: ActionHook, payload: Mapping[str, object]) -> urllib.request.Request:
    headers = {"User-Agent": "listenctl", "Accept": "application/json"}
    if hook.credentials is not None:
        pair = f"{hook.credentials.username}:{hook.credentials.password}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    if hook.method.upper() == "GET":
        return urllib.request.Request(_with_query(hook.url, payload), headers=headers, method="GET")
    body = peer_json.encode(dict(payload)).encode()
    headers["Content-Type"] = "application/json"
    return urllib.request.Request(hook.url, body, headers, method="POST")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Treat a redirect as an answer; urllib would follow it with a GET."""

    def redirect_request(self, *_: object) -> None:
        """Don't follow it."""


def _with_query(url: str, payload: Mapping[str, object]) -> str:
    texts = {name: value if isinstance(value, str) else peer_json.encode(value) for name, value in payload.items()}
    query = urllib.parse.urlencode(texts)
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))


def _refusal(exc: urllib.error.HTTPError) -> str:
    try:
        body = exc.read(_SHOWN_BYTES).decode(errors="replace").partition("\n")[0].strip()
    except (OSError, http.client.HTTPException):
        body = ""
    return f"{exc.reason}: {body}" if body else str(exc.reason)


def _reason(exc: Exception, deadline: float) -> str:
    cause = exc.reason if isinstance(exc, urllib.error.URLError) else exc
    match cause:
        case TimeoutError():
            return _too_late(deadline)
        case ssl.SSLError():
            return failure_seen_by_client(cause, schemes=("http://", "https://"))
        case OSError(strerror=str(problem)):
            return f"can't connect: {problem}; check that a server is running there"
        case http.client.InvalidURL():
            return _NO_URL
        case http.client.HTTPException():
            return f"didn't answer in HTTP ({type(cause).__name__})"
    return f"can't be called: {cause}"


def _too_late(deadline: float) -> str:
    return f"no answer within {deadline:g} s"


def _snake_case(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)
