from listenctl.net.client_handshake import build_request
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.opening_handshake import Credentials
from tests.helpers.frames import HANDSHAKE

VECTOR_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def test_the_request_is_that_of_jambonz_byte_for_byte() -> None:
    called = CallTarget(address=parse_websocket_url("ws://myrecorder.example.com:3000/calls?x=1"))

    assert build_request(called, called.address, VECTOR_KEY) == HANDSHAKE


def test_what_is_asked_for_stands_where_jambonz_puts_it() -> None:
    called = CallTarget(
        address=parse_websocket_url("wss://h/a b"),
        credentials=Credentials("listen", "s3cret"),
        subprotocol=None,
        user_agent="jambonz/1",
    )

    assert build_request(called, called.address, VECTOR_KEY) == (
        b"GET /a b HTTP/1.1\r\n"
        b"Pragma: no-cache\r\n"
        b"Cache-Control: no-cache\r\n"
        b"Host: h\r\n"
        b"Origin: https://h\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"User-Agent: jambonz/1\r\n"
        b"authorization: Basic bGlzdGVuOnMzY3JldA==\r\n"
        b"\r\n"
    )
