"""A recorded session between the client and the server of OpenSSL, for what Python's ssl lacks."""

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.tls_events import TlsParty
from tests.helpers.tls_wire import Flight


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
        """Send a line in each direction."""
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
