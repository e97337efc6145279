from ipaddress import ip_network

import pytest

from listenctl.errors import UsageError
from listenctl.server.access.networks import is_within, parse_networks


def test_networks_and_addresses_may_be_repeated_or_have_commas_between_them() -> None:
    found = parse_networks(["192.0.2.0/24, 198.51.100.7", "2001:db8::/32"], "--allow")

    assert found == tuple(map(ip_network, ("192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32")))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("media.example.com", "--allow media.example.com: give a network or an address, such as"),
        ("", "--allow : give a network or an address"),
        ("192.0.2.0/24,", "--allow : give a network or an address"),
        ("192.0.2.0/33", "--allow 192.0.2.0/33: give a network"),
        ("192.0.2.7/24", "--allow 192.0.2.7/24: not the first address of that network; write 192.0.2.0/24"),
    ],
)
def test_what_is_no_network_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_networks([text], "--allow")

    assert str(refused.value).startswith(problem)


@pytest.mark.parametrize(
    ("host", "within"),
    [
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("::ffff:192.0.2.1", True),
        ("fe80::1%eth0", True),
        ("fe81::1", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_an_address_is_within_a_network(host: str, within: bool) -> None:
    assert is_within(host, parse_networks(["192.0.2.0/24", "fe80::/64"], "--allow")) is within
