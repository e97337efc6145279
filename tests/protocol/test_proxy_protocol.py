import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.proxy_protocol import (
    MAX_LINE,
    SIGNATURE,
    NotProxyProtocolError,
    ProxyHeader,
    parse_proxy_header,
)

V4 = SIGNATURE + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 10, 0, 0, 1]) + b"\xdc\x04\x0b\xb8"
V6 = SIGNATURE + b"\x21\x21\x00\x24" + bytes(15) + b"\x01" + bytes(15) + b"\x02" + b"\x00\x50\x01\xbb"
EXTRA = SIGNATURE + b"\x21\x11\x00\x0f" + V4[16:] + b"\x04\x00\x00"
LINE = b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 3000\r\n"
LINE_6 = b"PROXY TCP6 2001:db8::1 ::1 80 443\r\n"


@pytest.mark.parametrize(
    ("header", "source", "destination"),
    [
        (V4, ("192.0.2.1", 56324), ("10.0.0.1", 3000)),
        (V6, ("::1", 80), ("::2", 443)),
        (EXTRA, ("192.0.2.1", 56324), ("10.0.0.1", 3000)),
        (SIGNATURE + b"\x20\x11\x00\x00", None, None),
        (SIGNATURE + b"\x20\x11" + V4[14:], None, None),
        (SIGNATURE + b"\x21\x31\x00\x04abcd", None, None),
        (LINE, ("192.0.2.1", 56324), ("10.0.0.1", 3000)),
        (LINE_6, ("2001:db8::1", 80), ("::1", 443)),
        (b"PROXY UNKNOWN\r\n", None, None),
        (b"PROXY UNKNOWN ff:: ff:: 1 2\r\n", None, None),
    ],
    ids=[
        "v2",
        "v2 IPv6",
        "v2 TLVs",
        "v2 local",
        "v2 local with addresses",
        "v2 unix",
        "v1",
        "v1 IPv6",
        "v1 unknown",
        "v1 long",
    ],
)
def test_a_header_has_the_addresses_whatever_follows(
    header: bytes, source: tuple[str, int] | None, destination: tuple[str, int] | None
) -> None:
    for rest in (b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01"):
        assert parse_proxy_header(header + rest) == ProxyHeader(len(header), source, destination)
    for size in range(len(header)):
        assert parse_proxy_header(header[:size]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 10.0.0.1 70000 3000\r\n",
        b"PROXY TCP4 192.0.2.1 10.0.0.1 x 3000\r\n",
        b"PROXY " + b"x" * MAX_LINE,
        SIGNATURE + b"\x31\x11\x00\x0c",
        SIGNATURE + b"\x21\x11\x00\x04abcd",
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(NotProxyProtocolError):
        parse_proxy_header(data)


@given(st.sampled_from([b"", SIGNATURE, b"PROXY TCP4 "]), st.binary(max_size=150))
def test_nothing_else_is_raised(head: bytes, rest: bytes) -> None:
    try:
        header = parse_proxy_header(head + rest)
    except NotProxyProtocolError:
        return
    assert header is None or 0 < header.size <= len(head + rest)
