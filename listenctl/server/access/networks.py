"""Networks of addresses in CIDR notation."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from listenctl.errors import UsageError

Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_networks(texts: Sequence[str], name: str) -> Networks:
    """Parse networks and addresses, with commas between several; raises UsageError for the option ``name``."""
    return tuple(_parse_network(text.strip(), name) for one in texts for text in one.split(","))


def _parse_network(text: str, name: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError as exc:
        raise UsageError(f"{name} {text}: give a network or an address, such as 192.0.2.0/24 or 2001:db8::1") from exc
    if "/" in text and network.network_address != ip_address(text.partition("/")[0]):
        raise UsageError(f"{name} {text}: not the first address of that network; write {network}")
    return network


def parse_address(host: str) -> IPv4Address | IPv6Address:
    """Return an address, without a zone, and as IPv4 if it stands for one; raises ValueError for anything else."""
    address = ip_address(host.partition("%")[0])
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def is_within(host: str, networks: Networks) -> bool:
    try:
        address = parse_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)
