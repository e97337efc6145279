"""Addresses to listen on."""

import pytest

from listenctl.errors import ListenctlError, UsageError
from listenctl.net.listening_sockets import is_loopback, listen, parse_host_and_port


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("::12", False),
        ("192.0.2.1", False),
        ("127.example.com", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_what_others_reach(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("text", "place"), [("127.0.0.1:9100", ("127.0.0.1", 9100)), ("[::1]:0", ("::1", 0)), ("admin:80", ("admin", 80))]
)
def test_a_place_is_a_host_and_a_port(text: str, place: tuple[str, int]) -> None:
    assert parse_host_and_port(text, "--admin") == place


@pytest.mark.parametrize("text", ["", "9100", ":9100", "host:", "host:65536", "host:+1", "::1:80", "[host]:80"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give HOST:PORT"):
        parse_host_and_port(text, "--admin")


def test_a_shared_port_can_be_listened_on_twice() -> None:
    [first] = listen("127.0.0.1", 0, shared=True)
    port = first.getsockname()[1]
    [second] = listen("127.0.0.1", port, shared=True)
    with pytest.raises(ListenctlError, match="is another server running"):
        listen("127.0.0.1", port)
    first.close()
    second.close()
