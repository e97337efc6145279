import pytest

from listenctl.errors import UsageError
from listenctl.net.websocket_url import WebSocketUrl, parse_websocket_url, resolve_websocket_url


@pytest.mark.parametrize(
    ("url", "expected", "shown"),
    [
        ("ws://h", WebSocketUrl(False, "h", 80, "/"), "ws://h/"),
        ("wss://h", WebSocketUrl(True, "h", 443, "/"), "wss://h/"),
        ("http://h/", WebSocketUrl(False, "h", 80, "/"), "ws://h/"),
        ("https://h/", WebSocketUrl(True, "h", 443, "/"), "wss://h/"),
        ("WSS://h/", WebSocketUrl(True, "h", 443, "/"), "wss://h/"),
        ("HTTP://H:3000/a", WebSocketUrl(False, "H", 3000, "/a"), "ws://H:3000/a"),
        ("wss://127.0.0.1:80/a/b?x=1&y=/", WebSocketUrl(True, "127.0.0.1", 80, "/a/b?x=1&y=/"), "wss://127.0.0.1:80/a/b?x=1&y=/"),
        ("ws://h:80/a@b:c[d]", WebSocketUrl(False, "h", 80, "/a@b:c[d]"), "ws://h/a@b:c[d]"),
    ],
)  # fmt: skip
def test_a_url_is_read_as_jambonz_reads_it(url: str, expected: WebSocketUrl, shown: str) -> None:
    address = parse_websocket_url(url)

    assert address == expected
    assert address.warnings == ()
    assert str(address) == shown


@pytest.mark.parametrize(
    ("url", "host", "port", "header", "shown"),
    [
        ("ws://[::1]:3000/a", "::1", 3000, "[::1]", "ws://[::1]:3000/a"),
        ("wss://[2001:DB8::1]", "2001:DB8::1", 443, "[2001:DB8::1]", "wss://[2001:DB8::1]/"),
        ("ws://[fe80::1%25eth0]:80/", "fe80::1%eth0", 80, "[fe80::1]", "ws://[fe80::1%25eth0]/"),
    ],
)
def test_an_ipv6_address_is_connected_to_with_a_note_that_jambonz_would_not(
    url: str, host: str, port: int, header: str, shown: str
) -> None:
    address = parse_websocket_url(url)

    assert (address.host, address.port, address.host_header, str(address)) == (host, port, header, shown)
    assert address.origin.endswith(f"://{header}")
    assert address.warnings == ("jambonz can't parse an IPv6 address; give it a host name that resolves to it",)
    assert parse_websocket_url(str(address)) == address


@pytest.mark.parametrize(
    ("url", "socket", "path", "shown"),
    [
        ("ws+unix:/run/a.sock:/calls?x=1", "/run/a.sock", "/calls?x=1", "ws+unix:/run/a.sock:/calls?x=1"),
        ("ws+unix:///run/a.sock:/a:b", "/run/a.sock", "/a:b", "ws+unix:/run/a.sock:/a:b"),
        ("ws+unix:a.sock", "a.sock", "/", "ws+unix:a.sock:/"),
    ],
)
def test_a_unix_socket_is_named_as_in_node(url: str, socket: str, path: str, shown: str) -> None:
    address = parse_websocket_url(url)

    assert (address.socket, address.path, str(address)) == (socket, path, shown)
    assert (address.host_header, address.origin, address.secure) == ("localhost", "http://localhost", False)
    assert str(resolve_websocket_url("/b", address)) == f"ws+unix:{socket}:/b"
    with pytest.raises(UsageError, match="can't be resolved against the URL of a Unix socket"):
        resolve_websocket_url("b", address)


@pytest.mark.parametrize(
    ("url", "path", "warning"),
    [
        ("ws://h/a b?x=y z", "/a b?x=y z", "jambonz sends the space in the URL unchanged"),
        ("ws://h/a#b", "/a#b", "sends the fragment of the URL as part of the path"),
        ("ws://h/é", "/é", "sends the non-ASCII characters in the URL unchanged"),
    ],
)
def test_what_is_only_odd_is_sent_and_warned_of(url: str, path: str, warning: str) -> None:
    address = parse_websocket_url(url)

    assert address.path == path
    assert len(address.warnings) == 1
    assert warning in address.warnings[0]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must begin with ws://"),
        ("h:3000", "must begin with ws://"),
        ("ftp://h/", "must begin with ws://"),
        ("Ws://h/", r"must begin with ws://.* \(lower or upper case\)"),
        ("ws://", "no host that jambonz can resolve"),
        ("ws:///path", "no host that jambonz can resolve"),
        ("ws://:80/", "no host that jambonz can resolve"),
        ("ws://h h/", "no host that jambonz can resolve"),
        ("ws://bücher.example/", "xn--"),
        ("ws://h?x=1", r"sends a query only after a /; write h/\?x=1"),
        ("ws://h:80#x", "write h:80/#x"),
        ("ws://::1/", r"an IPv6 address must be in brackets, as in ws://\[::1\]:3000/"),
        ("ws://[::1/", "an IPv6 address must be in brackets"),
        ("ws://[::1]3000/", "only a port can follow an IPv6 address"),
        ("ws://[::1]:x/", "the port must be a number"),
        ("ws://[127.0.0.1]/", "127.0.0.1 is no IPv6 address"),
        ("ws://[::1\u2028]/", "is no IPv6 address"),
        ("ws+unix:", "names no Unix socket and path; give ws\\+unix:/SOCKET:/PATH"),
        ("ws+unix::/calls", "names no Unix socket and path"),
        ("ws+unix:/run/a.sock:calls", "names no Unix socket and path"),
        ("ws+unix:/run/a.sock:/a\r\nb", "must not contain control characters"),
        ("ws://h:x/", "the port must be a number from 1 to 65535"),
        ("ws://h:/", "the port must be a number"),
        ("ws://h:0/", "the port must be a number"),
        ("ws://h:65536/", "the port must be a number"),
        ("ws://h:+80/", "the port must be a number"),
        ("ws://h/a|b", r"cuts a URL at \|; write %7C"),
        ("ws://h/a'b", "cuts a URL at '; write %27"),
        ("ws://h/\r\nX: y", "must not contain control characters"),
        (f"ws://{'h' * 513}/", "longer than 512 characters"),
        (f"ws://h/{'p' * 4096}", "longer than 4096 characters"),
    ],
)
def test_what_jambonz_would_misread_is_wrong_usage(url: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_websocket_url(url)


def test_limits_are_those_of_jambonz() -> None:
    assert len(parse_websocket_url(f"ws://{'h' * 512}/").host) == 512
    assert len(parse_websocket_url(f"ws://h/{'p' * 4095}").path) == 4096


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(
        UsageError, match=r"^h:80: jambonz takes user:password@ .* give the credentials separately"
    ) as caught:
        parse_websocket_url("ws://user:s3cret@h:80/calls")

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/b?y=2", "wss://h:3000/b?y=2"),
        ("b", "wss://h:3000/a/b"),
        ("?y=2", "wss://h:3000/a/x?y=2"),
        ("//other/b", "wss://other/b"),
        ("ws://other:1/b", "ws://other:1/b"),
        ("HTTP://other/b", "ws://other/b"),
    ],
)
def test_a_relative_url_is_resolved(url: str, expected: str) -> None:
    assert str(resolve_websocket_url(url, parse_websocket_url("https://h:3000/a/x?x=1"))) == expected


def test_a_relative_url_needs_a_base() -> None:
    with pytest.raises(UsageError, match="the URL is relative, and the application's URL is unknown"):
        resolve_websocket_url("/calls", None)


def test_a_line_break_in_a_relative_url_is_refused() -> None:
    with pytest.raises(UsageError, match="must not contain control characters"):
        resolve_websocket_url("/a\r\nb", parse_websocket_url("ws://h/"))
