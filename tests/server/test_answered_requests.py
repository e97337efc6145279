"""An answer made without the library is the one that the library makes."""

import base64

from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from listenctl.server.answered_requests import MAX_REMEMBERED, MAX_REMEMBERED_BYTES, AnsweredRequests
from tests.helpers.frames import HANDSHAKE, close

LINES = HANDSHAKE.replace(b"/calls?x=1", b"/").removesuffix(b"\r\n\r\n").split(b"\r\n")
KEY_LINE = next(line for line in LINES if line.startswith(b"Sec-WebSocket-Key"))
ODD_KEY_LINES = [
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==,",
    b"Sec-WebSocket-Key:\tdGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ== ",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n folded",
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    b"X-Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Key: c2hvcnQ=",
]
OTHER_LINES = [b"Upgrade: h2c", b"Sec-WebSocket-Version: 12", b"Cookie: a=b", b" folded", b"no header", b"Host: other"]


def key_lines() -> st.SearchStrategy[bytes]:
    keys = st.binary(min_size=16, max_size=16).map(lambda key: b"Sec-WebSocket-Key: " + base64.b64encode(key))
    return keys | st.sampled_from(ODD_KEY_LINES)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    lines = [line for line in LINES if line != KEY_LINE or draw(st.booleans())]
    for line in draw(st.lists(key_lines() | st.sampled_from([*OTHER_LINES, *LINES[1:]]), max_size=2)):
        lines.insert(draw(st.integers(1, len(lines))), line)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def new_protocol() -> ServerProtocol:
    return ServerProtocol(select_subprotocol=lambda _, offered: offered[0] if offered else None)


def ask_library(request: bytes, protocol: ServerProtocol) -> Response | None:
    """Return how the library accepts a request, None if it doesn't."""
    protocol.receive_data(request)
    parsed = protocol.events_received()
    if not parsed:
        return None
    assert isinstance(parsed[0], Request)
    answer = protocol.accept(parsed[0])
    return answer if answer.status_code == 101 else None


def without_date(answer: Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers.raw_items() if name != "Date"]


@given(st.lists(requests(), max_size=4), requests())
def test_what_is_answered_without_the_library_is_answered_as_by_it(before: list[bytes], request: bytes) -> None:
    answered = AnsweredRequests()
    for one in (HANDSHAKE.replace(b"/calls?x=1", b"/"), *before):
        if (accepted := ask_library(one, new_protocol())) is not None:
            answered.remember(one, accepted)
    protocol, reference = new_protocol(), new_protocol()

    answer = answered.answer(request, protocol)
    expected = ask_library(request, reference)

    if answer is not None:
        assert expected is not None
        assert without_date(answer) == without_date(expected)
        assert protocol.subprotocol == reference.subprotocol


def test_the_connection_is_open_after_an_answer_without_the_library() -> None:
    request = HANDSHAKE.replace(b"/calls?x=1", b"/")
    answered, protocol = AnsweredRequests(), new_protocol()
    assert answered.answer(request, protocol) is None
    accepted = ask_library(request, new_protocol())
    assert accepted is not None
    answered.remember(request, accepted)

    answer = answered.answer(request.replace(b"dGhl", b"AGhl"), protocol)
    assert answer is not None
    protocol.send_response(answer)
    protocol.receive_data(close(1000))

    assert answer.headers["Sec-WebSocket-Accept"] != accepted.headers["Sec-WebSocket-Accept"]
    assert protocol.close_rcvd is not None
    assert protocol.state is State.CLOSING
    assert protocol.handshake_exc is None


def test_what_is_remembered_is_bounded() -> None:
    answered = AnsweredRequests()
    accepted = ask_library(HANDSHAKE, new_protocol())
    assert accepted is not None
    requests = [HANDSHAKE.replace(b"myrecorder", b"host%d" % number) for number in range(MAX_REMEMBERED + 1)]
    long = HANDSHAKE.replace(b"myrecorder", b"h" * MAX_REMEMBERED_BYTES)
    for request in (*requests, long):
        answered.remember(request, accepted)

    assert [answered.answer(request, new_protocol()) is not None for request in (*requests, long)] == [
        False,
        *[True] * MAX_REMEMBERED,
        False,
    ]
