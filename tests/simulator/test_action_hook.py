"""Action hooks called on a real HTTP server (listenctl-protocol(7) 7)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from listenctl.protocol.listen_verb.listen_verb import ActionHook
from listenctl.protocol.opening_handshake import Credentials
from listenctl.simulator.action_hook import HookAnswer, call_action_hook, hook_payload
from tests.helpers.action_hooks import HookServer, serving_hooks
from tests.helpers.scripted_server import serving


@pytest_asyncio.fixture
async def server() -> AsyncIterator[HookServer]:
    async with serving_hooks() as server:
        yield server


async def ask(hook: ActionHook, payload: dict[str, object] | None = None, *, deadline: float = 10.0) -> HookAnswer:
    async with asyncio.timeout(30):
        return await call_action_hook(hook, payload or {}, deadline=deadline)


@pytest.mark.parametrize(
    ("credentials", "authorization"), [(None, None), (Credentials("listen", "s3cret"), "Basic bGlzdGVuOnMzY3JldA==")]
)
async def test_a_hook_is_posted_as_json(
    server: HookServer, credentials: Credentials | None, authorization: str | None
) -> None:
    hook = ActionHook(f"{server.url}/done?x=1", credentials=credentials)

    answer = await ask(hook, {"call_sid": "c", "from": "Zoë", "digits": "#"})

    assert answer == HookAnswer(204)
    ((line, headers, body),) = server.requests
    assert line == "POST /done?x=1 HTTP/1.1"
    assert body == '{"call_sid":"c","from":"Zoë","digits":"#"}'.encode()
    assert headers["content-type"] == "application/json"
    assert headers.get("authorization") == authorization


async def test_a_hook_by_get_has_a_query_and_no_body(server: HookServer) -> None:
    payload: dict[str, object] = {"call_sid": "a b&c", "sip_status": 200, "customer_data": {"k": True}}

    await ask(ActionHook(f"{server.url}/done?x=1", "GET"), payload)

    ((line, headers, body),) = server.requests
    assert line == ("GET /done?x=1&call_sid=a+b%26c&sip_status=200&customer_data=%7B%22k%22%3Atrue%7D HTTP/1.1")
    assert body == b""
    assert "content-type" not in headers


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (404, b"no such hook\nat all", "Not Found: no such hook"),
        (500, b"", "Internal Server Error"),
        (302, b"", "Found"),
        (503, b"x" * 5000, f"Service Unavailable: {'x' * 200}"),
    ],
)
async def test_a_refusal_is_reported_in_the_answer(server: HookServer, status: int, body: bytes, detail: str) -> None:
    server.status, server.body = status, body

    answer = await ask(ActionHook(server.url))

    assert answer == HookAnswer(status, detail)
    assert len(server.requests) == 1


async def test_a_closed_port_is_reported_in_the_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    answer = await ask(ActionHook(f"http://127.0.0.1:{port}/"))

    assert answer == HookAnswer(None, "can't connect: Connection refused; check that a server is running there")


async def test_a_server_that_never_answers_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        answer = await ask(ActionHook(f"http://127.0.0.1:{mute.getsockname()[1]}/"), deadline=0.05)

    assert answer == HookAnswer(None, "no answer within 0.05 s")


async def test_an_endless_answer_times_out() -> None:
    given_up = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 ")
        # A byte now and then keeps urllib's own timeout from passing.
        while not given_up.is_set():
            writer.write(b"x")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(given_up.wait(), 0.02)

    async with serving(trickle) as port:
        answer = await ask(ActionHook(f"http://127.0.0.1:{port}/"), deadline=0.2)
        given_up.set()

    assert answer == HookAnswer(None, "no answer within 0.2 s")


async def test_an_answer_that_is_not_http_is_reported() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Closing with something unread would be a reset.
        await reader.readuntil(b"{}")
        writer.write(b"220 mail.example.org ESMTP\r\n")

    async with serving(greet) as port:
        answer = await ask(ActionHook(f"http://127.0.0.1:{port}/"))

    assert answer == HookAnswer(None, "didn't answer in HTTP (BadStatusLine)")


@pytest.mark.parametrize(
    "url", ["/relative", "file:///etc/passwd", "ftp://127.0.0.1/", "http://user:pw@127.0.0.1:port/", "http://a b/"]
)
async def test_an_invalid_url_is_reported_in_the_answer(url: str) -> None:
    answer = await ask(ActionHook(url))

    assert answer.status is None
    assert answer.detail.startswith("is not a valid URL; use http://")


@pytest.mark.parametrize(
    ("fields", "duration", "digits", "payload"),
    [
        (
            {
                "sampleRate": 8000,
                "mixType": "mono",
                "customerData": {"someKey": "v"},
                "fsSipAddress": "172.20.11.10:5060",
                "originatingSipTrunkName": "Twilio",
                "sbcCallid": "sbc-a",
                "from": "15083084809",
                "callSid": "CS-A",
            },
            12,
            "#",
            {
                "call_sid": "CS-A",
                "from": "15083084809",
                "sbc_callid": "sbc-a",
                "originating_sip_trunk_name": "Twilio",
                "fs_sip_address": "172.20.11.10:5060",
                "customer_data": {"someKey": "v"},
                "dial_call_duration": 12,
                "digits": "#",
            },
        ),
        # A nested listen has other names.
        (
            {"localSipAddress": "172.20.11.10:5060", "publicIp": "3.4.5.6", "_customerData": {"tag": 1}},
            None,
            None,
            {"fs_sip_address": "172.20.11.10:5060", "fs_public_ip": "3.4.5.6", "customer_data": {"tag": 1}},
        ),
        ({"callSid": "c", "sampleRate": 8000}, None, None, {"call_sid": "c"}),
        ({}, 0, None, {"dial_call_duration": 0}),
    ],
)
def test_a_payload_has_the_calls_attributes_in_snake_case_and_order(
    fields: dict[str, object], duration: int | None, digits: str | None, payload: dict[str, object]
) -> None:
    found = hook_payload(fields, dial_call_duration=duration, digits=digits)

    assert list(found.items()) == list(payload.items())
