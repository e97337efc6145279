"""Real TLS sessions recorded with their secrets: in one process, or between the two ends of OpenSSL."""

import asyncio
import re
import ssl
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.tls_events import DecryptedData, TlsEvent, TlsParty
from listenctl.capture.tls.tls_session import TlsSession

# OpenSSL's SSL_OP_NO_ENCRYPT_THEN_MAC, which Python doesn't name.
NO_ENCRYPT_THEN_MAC = 1 << 19

Flight = tuple[TlsParty, bytes]


@dataclass(slots=True)
class TlsDialog:
    """
    A client and a server in one process.

    Args:
        flights: what went over the wire, in order.
        said: what the two said inside.
    """

    client: ssl.SSLObject
    server: ssl.SSLObject
    bios: dict[TlsParty, tuple[ssl.MemoryBIO, ssl.MemoryBIO]]
    keylog_file: Path
    flights: list[Flight] = field(default_factory=list)
    said: list[Flight] = field(default_factory=list)

    @property
    def keylog(self) -> KeyLog:
        return KeyLog(self.keylog_file.read_text() if self.keylog_file.exists() else "")

    def do_handshake(self) -> None:
        """Do the handshake; tickets arrive with the first data."""
        pending = [(TlsParty.CLIENT, self.client), (TlsParty.SERVER, self.server)]
        while pending:
            for one in list(pending):
                party, side = one
                try:
                    side.do_handshake()
                    pending.remove(one)
                except ssl.SSLWantReadError:
                    pass
                finally:
                    self.transfer(party)

    def send(self, party: TlsParty, data: bytes) -> None:
        """Send data from one side to the other."""
        side, other = (self.client, self.server) if party is TlsParty.CLIENT else (self.server, self.client)
        side.write(data)
        self.transfer(party)
        decrypted_data = b""
        while len(decrypted_data) < len(data):
            decrypted_data += other.read(len(data))
        self.said.append((party, data))

    def close(self) -> None:
        for party, side in ((TlsParty.CLIENT, self.client), (TlsParty.SERVER, self.server)):
            with suppress(ssl.SSLWantReadError):
                side.unwrap()
            self.transfer(party)

    def transfer(self, party: TlsParty) -> None:
        data = self.bios[party][1].read()
        if data:
            self.flights.append((party, data))
            self.bios[TlsParty.SERVER if party is TlsParty.CLIENT else TlsParty.CLIENT][0].write(data)


def client_context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, ciphers: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(certificate)
    return context


def tls_dialog(
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    folder: Path,
    *,
    session: ssl.SSLSession | None = None,
) -> TlsDialog:
    """Return a session before its handshake; the client writes its key log into ``folder``."""
    bios = {party: (ssl.MemoryBIO(), ssl.MemoryBIO()) for party in TlsParty}
    keylog_file = folder / "secrets.txt"
    client.keylog_filename = str(keylog_file)
    client_side = client.wrap_bio(*bios[TlsParty.CLIENT], server_hostname="listen.example", session=session)
    return TlsDialog(client_side, server.wrap_bio(*bios[TlsParty.SERVER], server_side=True), bios, keylog_file)


def decrypt_flights(flights: list[Flight], keylog: KeyLog, *, cut: int = 0) -> list[TlsEvent]:
    """Return the events of ``flights``, one per second, fed in pieces of ``cut`` bytes if that isn't 0."""
    session = TlsSession(keylog)
    events: list[TlsEvent] = []
    for at, (party, data) in enumerate(flights):
        for start in range(0, len(data), cut or len(data)):
            events += session.feed(party, data[start : start + (cut or len(data))], float(at))
    return events + session.end_session(float(len(flights)))


def decrypted_data(events: list[TlsEvent]) -> list[Flight]:
    """Return the decrypted data, consecutive data of one side joined."""
    spoken: list[Flight] = []
    for event in events:
        if isinstance(event, DecryptedData):
            before = spoken.pop()[1] if spoken and spoken[-1][0] is event.party else b""
            spoken.append((event.party, before + event.data))
    return spoken


@dataclass(slots=True)
class OpenSsl:
    """``openssl s_client`` or ``s_server``: lines on stdin are sent, or commands (K: key update, R: renegotiate)."""

    process: Process

    async def send(self, line: str) -> None:
        stdin = self.process.stdin
        assert stdin is not None
        stdin.write(line.encode() + b"\n")
        await stdin.drain()

    async def until(self, text: str) -> str:
        """Return the output up to the line that matches ``text``, a regular expression."""
        stdout = self.process.stdout
        assert stdout is not None
        said = ""
        while not re.search(text, said):
            line = await stdout.readline()
            assert line, f"openssl ended without {text!r}: {said}"
            said += line.decode(errors="replace")
        return said

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()


@dataclass(slots=True)
class RelayedTls:
    """
    Both ends and what went between them; the key log is the client's.

    Args:
        passed: set whenever the server has sent something.
    """

    server: OpenSsl
    keylog_file: Path
    flights: list[Flight] = field(default_factory=list)
    passed: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""
    client: OpenSsl = field(init=False)

    @property
    def keylog(self) -> KeyLog:
        return KeyLog(self.keylog_file.read_text())

    async def exchange(self, number: int) -> None:
        await self.client.send(f"from the client {number}")
        await self.server.until(f"from the client {number}\n")
        await self.server.send(f"from the server {number}")
        await self.client.until(f"from the server {number}\n")

    async def command(self, party: TlsParty, letter: str) -> None:
        """Give a command and wait until it is done: OpenSSL loses a line that follows in the same read."""
        if party is TlsParty.CLIENT:
            await self.client.send(letter)
            await self.client.until("KEYUPDATE|RENEGOTIATING")
        else:
            # The server prints nothing in time, but sends something.
            self.passed.clear()
            await self.server.send(letter)
            await self.passed.wait()

    async def again(self, *client: str | Path) -> None:
        """Replace the client, and record from now on."""
        # OpenSSL does not resume a session that was aborted.
        await self.client.send("Q")
        await self.client.process.communicate()
        self.flights = []
        self.client = await self.connect(*client)

    async def connect(self, *client: str | Path) -> OpenSsl:
        return await openssl("s_client", "-connect", self.address, "-keylogfile", self.keylog_file, *client)


async def openssl(*arguments: str | Path) -> OpenSsl:
    return OpenSsl(await asyncio.create_subprocess_exec("openssl", *arguments, stdin=PIPE, stdout=PIPE, stderr=STDOUT))


@asynccontextmanager
async def relayed_tls(
    folder: Path, certificate: Path, *, server: Sequence[str] = (), client: Sequence[str | Path] = ()
) -> AsyncIterator[RelayedTls]:
    """Connect an OpenSSL client to an OpenSSL server, with more arguments for each."""
    server_side = await openssl("s_server", "-accept", "127.0.0.1:0", "-cert", certificate, *server)
    port = re.findall(r"ACCEPT 127\.0\.0\.1:(\d+)", await server_side.until(r"ACCEPT .*:\d+"))[0]
    session = RelayedTls(server_side, folder / "secrets.txt")

    async def carry(party: TlsParty, reader: StreamReader, writer: StreamWriter) -> None:
        flights = session.flights
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                flights.append((party, data))
                writer.write(data)
                if party is TlsParty.SERVER:
                    session.passed.set()
        writer.close()

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", int(port))
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(TlsParty.CLIENT, reader, other_writer))
            group.create_task(carry(TlsParty.SERVER, other_reader, writer))

    relay = await asyncio.start_server(connected, "127.0.0.1", 0)
    session.address = f"127.0.0.1:{relay.sockets[0].getsockname()[1]}"
    session.client = await session.connect(*client)
    try:
        yield session
    finally:
        await session.client.end()
        await server_side.end()
        relay.close()
        await relay.wait_closed()
