"""
Where requests come from, and whether calls may come from there. Behind proxies that are known, that is the last address
that is no proxy's: the one in the PROXY header of the connection, or in what the proxies add to the request.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus

from listenctl.protocol.proxy_protocol import ProxyHeader
from listenctl.server.access.networks import Networks, is_within, parse_address
from listenctl.server.handshake_refusal import HandshakeRefusal

NOT_ALLOWED = HandshakeRefusal(HTTPStatus.FORBIDDEN, "calls may not come from this address")
UNKNOWN_PORT = 0

_X_FORWARDED_FOR = re.compile(rb"(?i)\nX-Forwarded-For[ \t]*:([^\n]*)")
_FORWARDED = re.compile(rb"(?i)\nForwarded[ \t]*:([^\n]*)")
# RFC 7239 4 and 6: who asked the proxy, by address, or as unknown or a name that hides the address.
_NODE_OF_CLIENT = re.compile(r'(?i)(?:^|;)\s*for=("[^"]*"|[^\s;"]*)')
_NODE = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?|([0-9a-fA-F:.]+)")
_HIDDEN_NODE = re.compile(r"(?i)unknown|_[\w.-]+")


class AddressRefusedError(ConnectionError):
    """The connection comes from where no calls may come from."""


@dataclass(frozen=True, slots=True)
class AddressRules:
    allowed: Networks = ()  # where calls may come from; none for everywhere
    proxies: Networks = ()  # addresses of proxies whose word counts; none for those that send a PROXY header
    proxy_protocol: bool = False  # whether proxies begin each connection with a PROXY header

    def sends_proxy_header(self, host: str) -> bool:
        return self.proxy_protocol and (not self.proxies or is_within(host, self.proxies))

    def refuses_peer(self, host: str) -> bool:
        """Return whether nothing that comes from ``host`` can become a call."""
        return bool(self.allowed) and not (self.sends_proxy_header(host) or self._may_lead_to_call(host))

    def check_proxy_header(self, header: ProxyHeader) -> None:
        """Raise AddressRefusedError if no call can come from where the proxy says."""
        if self.allowed and header.source is not None and not self._may_lead_to_call(header.source[0]):
            raise AddressRefusedError(NOT_ALLOWED.reason)

    def find_client(self, remote: str, head: bytes) -> str:
        """
        Return host and port of the client behind the proxies that the head of a request names, or ``remote`` itself;
        raises ValueError if the head contradicts itself, or names no address.
        """
        if not is_within(host_of(remote), self.proxies):
            return remote
        clients = [self._walk(remote, hops) for hops in (_x_forwarded_for(head), _forwarded(head)) if hops]
        if len(set(map(host_of, clients))) > 1:
            # One of them can come from the client itself.
            raise ValueError("Forwarded and X-Forwarded-For differ; let the proxy remove the one that it doesn't set")
        return clients[-1] if clients else remote

    def refuses_client(self, host: str) -> bool:
        return bool(self.allowed) and not is_within(host, self.allowed)

    def _may_lead_to_call(self, host: str) -> bool:
        return is_within(host, self.allowed) or is_within(host, self.proxies)

    def _walk(self, remote: str, hops: list[str]) -> str:
        for hop in reversed(hops):
            if not is_within(host_of(remote), self.proxies) or _HIDDEN_NODE.fullmatch(hop):
                break
            remote = _parse_node(hop)
        return remote


def host_of(remote: str) -> str:
    """Return the host of ``host:port``."""
    return remote.rpartition(":")[0]


def _x_forwarded_for(head: bytes) -> list[str]:
    return [hop.strip() for hop in _values(_X_FORWARDED_FOR, head) if hop.strip()]


def _forwarded(head: bytes) -> list[str]:
    found = [_NODE_OF_CLIENT.search(element) for element in _values(_FORWARDED, head)]
    return ["unknown" if one is None else one[1].strip('"') for one in found]


def _values(header: re.Pattern[bytes], head: bytes) -> list[str]:
    return [value for line in header.findall(head) for value in line.decode(errors="replace").split(",")]


def _parse_node(text: str) -> str:
    """Return host and port of a client as a proxy names it; raises ValueError if that is no address."""
    node = _NODE.fullmatch(text)
    try:
        if node is None:
            raise ValueError
        return f"{parse_address(node[1] or node[2] or node[4])}:{int(node[3] or UNKNOWN_PORT)}"
    except ValueError:
        raise ValueError(f"the proxy's header has {text[:60]!r} instead of an address") from None
