import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.utils import accept_key

from listenctl.errors import RefusedError
from listenctl.net.client_handshake import build_request, check_upgrade
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


@pytest.mark.parametrize(("relayed", "shown"), [(False, "echo my.proto"), (True, r"echo \*\*\*")])
def test_a_subprotocol_that_the_user_chose_is_no_secret_but_one_that_is_relayed_may_be(
    relayed: bool, shown: str
) -> None:
    headers = Headers(
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accept_key(VECTOR_KEY),
            "Sec-WebSocket-Protocol": "audio.jambonz.org",
        }
    )

    with pytest.raises(RefusedError, match=f"{shown}$"):
        check_upgrade(Response(101, "Switching Protocols", headers), VECTOR_KEY, "my.proto", relayed=relayed)
