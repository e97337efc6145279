"""
The PROXY protocol, versions 1 and 2: the line or block with the client's address with which a load balancer begins a
connection that it passes on (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
"""

from dataclasses import dataclass
from ipaddress import ip_address

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_LINE = 107
"""Bytes of the longest header of version 1, with its line break."""
_LINE = b"PROXY "
_FIXED = 16
_ADDRESS_BYTES = {0x1: 4, 0x2: 16}
_STREAM = 0x1

Address = tuple[str, int]


class NotProxyProtocolError(ConnectionError):
    """The connection begins with something else; the text says with what."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """The addresses are None where the proxy doesn't know them, or connects for itself (a health check)."""

    size: int  # bytes
    source: Address | None = None
    destination: Address | None = None


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """Return the header that ``data`` begins with, None if more is needed; raises NotProxyProtocolError."""
    if data.startswith(SIGNATURE):
        return _parse_block(data)
    if data.startswith(_LINE):
        return _parse_line(data)
    if SIGNATURE.startswith(data) or _LINE.startswith(data):
        return None
    raise NotProxyProtocolError("the connection doesn't begin with a PROXY header")


def _parse_line(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:MAX_LINE].partition(b"\r\n")
    if not end:
        if len(data) >= MAX_LINE:
            raise NotProxyProtocolError(f"the PROXY header is longer than {MAX_LINE} bytes")
        return None
    size = len(line) + 2
    match line.split(b" "):
        case [_, b"UNKNOWN", *_]:
            return ProxyHeader(size)
        case [_, b"TCP4" | b"TCP6" as family, source, destination, source_port, destination_port]:
            version = 4 if family == b"TCP4" else 6
            source_address = _text_address(source, source_port, version)
            return ProxyHeader(size, source_address, _text_address(destination, destination_port, version))
    raise NotProxyProtocolError(f"the PROXY header is invalid: {line[:60].decode(errors='replace')}")


def _text_address(host: bytes, port: bytes, version: int) -> Address:
    try:
        address = ip_address(host.decode())
        number = int(port) if port.isdigit() else -1
    except ValueError as exc:
        raise NotProxyProtocolError(f"the PROXY header has an invalid address: {exc}") from exc
    if address.version != version or not 0 <= number <= 0xFFFF:
        raise NotProxyProtocolError("the PROXY header has an invalid address")
    return str(address), number


def _parse_block(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED:
        return None
    version, command = data[12] >> 4, data[12] & 0xF
    if version != 2 or command > 1:
        raise NotProxyProtocolError(f"the PROXY header has version {version} and command {command}")
    size = _FIXED + int.from_bytes(data[14:16], "big")
    if len(data) < size:
        return None
    length = _ADDRESS_BYTES.get(data[13] >> 4)
    if not command or length is None or data[13] & 0xF != _STREAM:
        return ProxyHeader(size)
    addresses = data[_FIXED:size]
    if len(addresses) < 2 * length + 4:
        raise NotProxyProtocolError("the PROXY header is too short for its addresses")
    hosts = [str(ip_address(addresses[at : at + length])) for at in (0, length)]
    ports = [int.from_bytes(addresses[2 * length + at : 2 * length + at + 2], "big") for at in (0, 2)]
    return ProxyHeader(size, (hosts[0], ports[0]), (hosts[1], ports[1]))
