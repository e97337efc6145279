"""
Peers that do their worst to a real server, through real sockets: its calls are recorded to the sample, it goes on
taking calls, its memory stays what it was, and its metrics say what happened.
"""

import asyncio
import random
import resource
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from select import select
from urllib.request import urlopen

import pytest

from listenctl.media.files.wav_header import HEADER_BYTES
from tests.helpers.cli import service
from tests.helpers.frames import BINARY, HANDSHAKE, PING, TEXT, binary, close, frame, text
from tests.helpers.server import LIMIT, Peer

MOST_MEMORY = 100_000_000
"""Bytes by which a server may grow during a flood; that of 1,000 connections is some tens of millions."""


def metadata(name: str = "CS-X") -> bytes:
    return text(f'{{"sampleRate":8000,"mixType":"mono","callSid":"{name}"}}')


Flood = Callable[[int], None]
"""Does its worst to the server at a port, and returns when that is over."""


@dataclass(frozen=True, slots=True)
class Aftermath:
    metrics: dict[str, float]

    def count(self, name: str, **labels: str) -> float:
        described = "".join(f'{{{label}="{value}"}}' for label, value in labels.items())
        return self.metrics.get(f"listenctl_{name}_total{described}", 0.0)


def audio(number: int) -> bytes:
    """Return a second of audio that no other number gives."""
    return struct.pack("<8000h", *((number * 8000 + index) % 30_000 for index in range(8000)))


def peak_memory(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def read_metrics(admin: str) -> dict[str, float]:
    with urlopen(f"http://{admin}/metrics") as answer:
        lines = (line.rpartition(" ") for line in answer.read().decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}


async def live_call(port: int, name: str, tls: ssl.SSLContext | None) -> Peer:
    """Begin a call, as soon as the server has noticed that others are gone."""
    for _ in count():
        peer = await Peer.open(port, tls=tls)
        await peer.send(HANDSHAKE)
        if (await peer.read_head()).startswith(b"HTTP/1.1 101 "):
            await peer.send(metadata(name))
            return peer
        await peer.close()
        await asyncio.sleep(0.1)
    raise AssertionError


async def flooded(flood: Flood, folder: Path, *options: str, tls: ssl.SSLContext | None = None) -> Aftermath:
    """Run a server with live calls, flood it between their audio, and check that they and a later call are complete."""
    arguments = ("record", "out", "--port", "0", "--json", "--admin", "127.0.0.1:0", *options)
    async with service(*arguments, home=folder) as server:
        started = await server.started()
        events = asyncio.create_task(server.events.read())
        port = started["port"]
        calls = {name: await live_call(port, name, tls) for name in ("CS-A", "CS-B")}
        before = peak_memory(server.process.pid)
        for number in range(2):
            for peer in calls.values():
                await peer.send(binary(audio(number)))
            await asyncio.to_thread(flood, port)
        grown = peak_memory(server.process.pid) - before
        calls["CS-C"] = await live_call(port, "CS-C", tls)
        for peer in calls.values():
            await peer.send(binary(audio(2)), close())
            await peer.read_to_end()
            await peer.close()
        metrics = await asyncio.to_thread(read_metrics, started["admin"])
        _, said = await server.end()
        await events

    whole = audio(0) + audio(1) + audio(2)
    recorded = {name: (folder / "out" / f"{name}.wav").read_bytes()[HEADER_BYTES:] for name in calls}
    assert recorded == {"CS-A": whole, "CS-B": whole, "CS-C": audio(2)}
    assert "Traceback" not in said
    assert grown < MOST_MEMORY
    return Aftermath(metrics)


def connect(port: int, number: int) -> list[socket.socket]:
    """Connect so many times without waiting for the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    peers = []
    for _ in range(number):
        peer = socket.socket()
        peer.setblocking(False)
        with suppress(BlockingIOError):
            peer.connect(("127.0.0.1", port))
        peers.append(peer)
    for peer in peers:
        peer.settimeout(LIMIT)
    return peers


def say(peers: Sequence[socket.socket], *sayings: bytes) -> None:
    """Send each peer's saying, in turn; the server may have closed its connection."""
    for index, peer in enumerate(peers):
        with suppress(OSError):
            peer.sendall(sayings[index % len(sayings)])


def answers(peers: Sequence[socket.socket]) -> list[bytes]:
    """Return the first answer to each peer; an empty one where the server has closed."""
    heard = []
    for peer in peers:
        try:
            heard.append(peer.recv(4096))
        except ConnectionError:
            heard.append(b"")
    return heard


def hang_up(peers: Sequence[socket.socket]) -> None:
    for peer in peers:
        peer.close()


def send_until_full(peer: socket.socket, data: bytes) -> None:
    """Send over and over, until the server reads no more for the moment or has closed; never read."""
    peer.setblocking(False)
    with suppress(OSError):
        for _ in range(200):
            peer.send(data)


def shake_hands(port: int, number: int) -> list[socket.socket]:
    peers = connect(port, number)
    say(peers, HANDSHAKE)
    assert {answer[:13] for answer in answers(peers)} == {b"HTTP/1.1 101 "}
    return peers


async def test_a_thousand_connections_in_one_go_become_as_many_calls_as_may_be(tmp_path: Path) -> None:
    heard: Counter[bytes] = Counter()

    def flood(port: int) -> None:
        peers = connect(port, 1000)
        say(peers, HANDSHAKE)
        heard.update(answer[9:12] for answer in answers(peers))
        hang_up(peers)

    after = await flooded(flood, tmp_path, "--max-calls", "300", "--max-handshakes", "0")

    assert heard.total() == 2000
    assert heard.keys() <= {b"101", b"503", b""}
    assert 0 < heard[b"101"] <= 600
    assert after.count("limits_reached", limit="max-calls") >= heard[b"503"] > 0


async def test_handshakes_beyond_the_rate_are_refused(tmp_path: Path) -> None:
    heard: Counter[bytes] = Counter()

    def flood(port: int) -> None:
        peers = connect(port, 300)
        say(peers, HANDSHAKE.replace(b"/calls", b"/other"))
        heard.update(answer[9:12] for answer in answers(peers))
        hang_up(peers)

    # They come from the address of the calls, the last of which is refused, too, until some time has passed.
    after = await flooded(flood, tmp_path, "--max-handshakes", "5", "--path", "/calls")

    assert heard.keys() <= {b"404", b"429"}
    assert after.count("limits_reached", limit="max-handshakes") >= heard[b"429"] > 0


async def test_garbage_is_refused(tmp_path: Path) -> None:
    noise = random.Random(1)

    def flood(port: int) -> None:
        peers = connect(port, 300)
        say(peers, noise.randbytes(500) + b"\r\n\r\n", b"\x16\x03\x01" + noise.randbytes(100), b"\n\r\n\r\n" * 9)
        assert {answer[:9] for answer in answers(peers)} <= {b"HTTP/1.1 ", b""}
        hang_up(peers)

    after = await flooded(flood, tmp_path)

    assert after.count("connections_refused", status="400") == 600


async def test_garbage_in_the_place_of_tls_is_dropped(certificate: Path, tmp_path: Path) -> None:
    noise = random.Random(1)
    tls = ssl.create_default_context(cafile=certificate)
    hello = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        tls.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1").do_handshake()
    first = hello.read()

    def flood(port: int) -> None:
        peers = connect(port, 200)
        broken = bytes(byte ^ (index > 60) for index, byte in enumerate(first))
        say(peers, noise.randbytes(500), HANDSHAKE, broken, first + noise.randbytes(500))
        # Half of a hello, and then nothing.
        stuck = connect(port, 50)
        say(stuck, first[:100])
        answers(peers)
        hang_up([*peers, *stuck])

    after = await flooded(flood, tmp_path, "--cert", str(certificate), tls=tls)

    assert after.count("connections_refused", status="400") > 0
    assert after.count("calls") == 3


@pytest.mark.parametrize(
    "endless",
    [
        b"\x82\xff" + (1 << 62).to_bytes(8, "big") + bytes(4),
        b"\x81\xff" + (1 << 40).to_bytes(8, "big") + bytes(4),
        frame(BINARY, bytes(60_000), fin=False),
        frame(TEXT, b"a" * 60_000, fin=False),
    ],
    ids=["binary", "text", "fragments", "text fragments"],
)
async def test_a_message_without_an_end_ends_its_call(endless: bytes, tmp_path: Path) -> None:
    fragmented = len(endless) > 1000
    block = frame(0, bytes(60_000), fin=False) if fragmented else bytes(60_000)

    def flood(port: int) -> None:
        peers = shake_hands(port, 1 if fragmented else 5)
        say(peers, metadata() + endless)
        for peer in peers:
            # Far more than a message may have; the server answers before.
            for _ in range(1000):
                if select([peer], [], [], 0)[0]:
                    break
                peer.sendall(block)
            assert peer.recv(100)[2:4] == b"\x03\xf1"
        hang_up(peers)

    after = await flooded(flood, tmp_path)

    assert after.count("calls_ended", close_code="1009") == (2 if fragmented else 10)


@pytest.mark.parametrize(
    "small",
    [frame(PING, bytes(125)), text("{}"), frame(BINARY, b"x"), frame(BINARY, b""), frame(TEXT, b"", fin=False)],
    ids=["pings", "texts", "tiny audio", "empty", "fragments"],
)
async def test_a_flood_of_small_frames_that_reads_no_answers_costs_others_nothing(small: bytes, tmp_path: Path) -> None:
    def flood(port: int) -> None:
        peers = shake_hands(port, 10)
        say(peers, metadata())
        for peer in peers:
            send_until_full(peer, small * (50_000 // len(small)))
        hang_up(peers)

    after = await flooded(flood, tmp_path)

    assert after.count("calls") >= 3


async def test_connections_that_break_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    def flood(port: int) -> None:
        for sayings in ([HANDSHAKE], [HANDSHAKE + metadata()], [HANDSHAKE[:50]]):
            peers = connect(port, 200)
            say(peers, *sayings)
            for peer in peers:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            hang_up(peers)

    after = await flooded(flood, tmp_path, "--max-handshakes", "0")

    assert after.count("calls") >= 3
