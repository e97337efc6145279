import asyncio
from http import HTTPStatus

import pytest

from listenctl.events import Reporter
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.listen_session import ListenSession
from listenctl.server.calls.find_call import find_call
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.server import ListenServer
from listenctl.server.server_handshake import HandshakeRefusal
from tests.helpers.calls import call_log
from tests.helpers.server import FAST


def live(*ids: str) -> list[LiveCall]:
    """Return calls with these ids; what stands before ``~`` is the callSid."""

    async def make() -> ListenServer:
        return ListenServer(FAST, Reporter())

    host = asyncio.run(make())
    calls = []
    for one in ids:
        call = LiveCall(host, ListenSession(started_at=0.0, default_format=AudioFormat(8000, 1)), 0.0)
        call.log = call_log(f'{{"callSid": "{one.partition("~")[0]}"}}')
        call.log.id = one
        calls.append(call)
    return calls


def found(calls: list[LiveCall], wanted: str) -> str | HandshakeRefusal:
    call = find_call(calls, wanted)
    if isinstance(call, HandshakeRefusal):
        return call
    assert call.log is not None
    return call.log.id


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("abc", "abc"),
        ("abc~2", "abc~2"),
        ("abcd", "abcd~3"),
        ("abc~", "abc~2"),
        ("x", "xyz"),
        ("@latest", "xyz"),
    ],
)
def test_a_call_is_found_by_id_call_sid_unique_prefix_or_as_the_latest(wanted: str, meant: str) -> None:
    calls = live("abc", "abc~2", "abcd~3", "xyz")

    assert found(calls, wanted) == meant


def test_what_can_mean_several_calls_lists_them() -> None:
    calls = live("abc~2", "abc~3", "xyz")

    assert found(calls, "abc") == HandshakeRefusal(HTTPStatus.CONFLICT, "abc can mean 2 live calls:\nabc~2\nabc~3")
    assert found(calls, "a") == HandshakeRefusal(HTTPStatus.CONFLICT, "a can mean 2 live calls:\nabc~2\nabc~3")


@pytest.mark.parametrize("wanted", ["b", "", "bc", "abcd"])
def test_what_means_none_is_not_found(wanted: str) -> None:
    assert found(live("abc"), wanted) == HandshakeRefusal(HTTPStatus.NOT_FOUND, f"there is no live call {wanted}")


def test_without_live_calls_that_is_said() -> None:
    assert found([], "@latest") == HandshakeRefusal(HTTPStatus.NOT_FOUND, "there is no live call")


def test_a_call_that_has_not_begun_is_not_found() -> None:
    calls = live("abc")
    calls[0].log = None

    assert found(calls, "@latest") == HandshakeRefusal(HTTPStatus.NOT_FOUND, "there is no live call")


def test_names_of_peers_stay_in_their_line() -> None:
    calls = live("a-1", "a-2")
    assert calls[0].log is not None
    calls[0].log.id = "a-1\n\x1b[2J"

    assert found(calls, "a") == HandshakeRefusal(
        HTTPStatus.CONFLICT, "a can mean 2 live calls:\na-1\ufffd\ufffd[2J\na-2"
    )
