import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.tls.tls_handshake import (
    CLIENT_HELLO,
    MAX_SKIPPED,
    TlsHandshakeReader,
    parse_client_hello,
    parse_server_hello,
    version_name,
)

CERTIFICATE = b"\x0b\x00\x00\x05abcde"
HELLO = b"\x01\x00\x00\x03abc"
FINISHED = b"\x14\x00\x00\x04abcd"


def client_hello(server_name: bytes) -> bytes:
    entry = b"\x00" + len(server_name).to_bytes(2, "big") + server_name
    names = len(entry).to_bytes(2, "big") + entry
    extension = b"\x00\x00" + len(names).to_bytes(2, "big") + names
    return (
        b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
        + len(extension).to_bytes(2, "big") + extension
    )  # fmt: skip


@pytest.mark.parametrize("cut", [1, 2, 5, 100])
def test_messages_may_be_cut_anywhere(cut: int) -> None:
    reader = TlsHandshakeReader()
    sent = CERTIFICATE + HELLO + FINISHED

    messages = [message for at in range(0, len(sent), cut) for message in reader.feed(sent[at : at + cut])]

    # Only hellos are kept.
    assert messages == [(11, b""), (CLIENT_HELLO, b"abc"), (20, b"")]


@pytest.mark.parametrize("noise", [b"\x63\x00\x00\x01a", b"\x01\xff\xff\xff", b"\x0b" + MAX_SKIPPED.to_bytes(3, "big")])
def test_what_can_be_no_message_costs_nothing_that_follows(noise: bytes) -> None:
    reader = TlsHandshakeReader()
    list(reader.feed(noise))
    reader.reset()

    assert list(reader.feed(HELLO)) == [(CLIENT_HELLO, b"abc")]


def test_a_server_name_is_printable_and_bounded() -> None:
    assert getattr(parse_client_hello(client_hello(b"listen.example")), "server_name", None) == "listen.example"
    assert getattr(parse_client_hello(client_hello(b"\x1b[2J\xff\n")), "server_name", None) == "?[2J??"
    assert len(getattr(parse_client_hello(client_hello(b"a" * 1000)), "server_name", "")) == 255


def test_a_hello_without_extensions_is_one() -> None:
    hello = parse_server_hello(b"\x03\x03" + bytes(32) + b"\x00" + b"\xc0\x2f" + b"\x00")

    assert hello is not None
    assert (hello.version, hello.suite, hello.encrypt_then_mac) == (0x0303, 0xC02F, False)


def test_versions_have_names() -> None:
    assert [version_name(version) for version in (0x0301, 0x0304, 0x7F1C)] == [
        "TLS 1.0",
        "TLS 1.3",
        "TLS version 0x7f1c",
    ]


@given(st.data())
def test_a_hello_may_be_cut_or_changed_anywhere(data: st.DataObject) -> None:
    body = bytearray(client_hello(b"listen.example"))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))

    hello = parse_client_hello(bytes(body[: data.draw(st.integers(0, len(body)))]))

    assert hello is None or hello.server_name.isprintable()


@given(st.binary(max_size=300))
def test_any_bytes_may_be_a_message(body: bytes) -> None:
    parse_client_hello(body)
    parse_server_hello(body)
    list(TlsHandshakeReader().feed(body))
