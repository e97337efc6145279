"""Listening sockets of a server, and the limit of open files."""

import errno
import resource
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from listenctl.errors import ListenctlError, UsageError

BACKLOG = 1024
REQUEST_WAIT = 3
OWN_DESCRIPTORS = 64
MOST_WITHOUT_CALL = 1000
DESCRIPTORS_PER_CALL = 6  # its socket and that of a relay, its sidecar, its dump, and two files of split channels


def raise_descriptor_limit(max_calls: int | None, per_call: int = DESCRIPTORS_PER_CALL, processes: int = 1) -> int:
    """
    Allow as many open files as possible, and return how many calls fit into so many ``processes``, each of which may
    open as many files; raises UsageError if too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    without_call = connections_without_call()
    possible = max(1, (hard - OWN_DESCRIPTORS - without_call) // per_call) * processes
    if max_calls is not None and max_calls > possible:
        needed = -(-max_calls // processes) * per_call + OWN_DESCRIPTORS + without_call
        raise UsageError(f"--max-calls {max_calls} needs {needed} open files, and `ulimit -Hn` allows {hard}")
    return possible


def connections_without_call() -> int:
    """Return how many connections may be open that are no calls: those in their handshake, and those that end."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MOST_WITHOUT_CALL, max(1, hard // 8))


def listen(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """
    Listen on every address of ``host``, with port 0 on one free port; raises ListenctlError if that fails. Several
    processes can listen on a ``shared`` port.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as exc:
        raise ListenctlError(f"{host}: can't listen on this address: {exc.strerror}") from exc
    sockets: list[socket.socket] = []
    for family, _, _, _, address in dict.fromkeys(addresses):
        wanted = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_listen_on(family, (address[0], wanted, *address[2:]), shared=shared))
        except OSError as exc:
            for opened in sockets:
                opened.close()
            hint = "; is another server running?" if exc.errno == errno.EADDRINUSE else ""
            raise ListenctlError(f"can't listen on {host}:{port}: {exc.strerror}{hint}") from exc
    return sockets


def is_own_address(sockets: Iterable[socket.socket], host: str, port: int) -> bool:
    """Return whether a connection from this machine to ``host`` and ``port`` reaches one of ``sockets``."""
    listening = [one.getsockname()[:2] for one in sockets]
    if all(own_port != port for _, own_port in listening):
        return False
    try:
        places = [place for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return False
    found = {str(place[0]).partition("%")[0] for place in places}  # without the zone of an IPv6 address
    own = {ip_address(str(own_host)) for own_host, _ in listening}
    return any(ip_address(one) in own or _is_wildcard_address(one, own) for one in found)


def _is_wildcard_address(address: str, own: set[IPv4Address | IPv6Address]) -> bool:
    """Return whether ``address`` is one of this machine, and a socket listens on all addresses of its family."""
    one = ip_address(address)
    if not any(other.is_unspecified and other.version == one.version for other in own):
        return False
    family = socket.AF_INET if one.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _listen_on(family: int, address: tuple[object, ...], *, shared: bool) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit these two: detect a dead peer, and send small answers at once.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_DEFER_ACCEPT") and not shared:
            # The client speaks first, so the request has arrived when the connection is accepted. The kernel resets a
            # connection that waits for that when the socket is closed, as it is when another server takes over.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, REQUEST_WAIT)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def parse_host_and_port(text: str, name: str) -> tuple[str, int]:
    """Parse HOST:PORT, where an IPv6 address is in brackets; raises UsageError for the option ``name``."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) < 65536) or (":" in host) != bracketed:
        raise UsageError(f"{name} {text}: give HOST:PORT, such as 127.0.0.1:9100 or [::1]:9100")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach ``host``; a name other than `localhost` can mean any address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
