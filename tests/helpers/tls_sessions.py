"""Real TLS sessions without a network, recorded with their secrets."""

import ssl
from contextlib import suppress
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
