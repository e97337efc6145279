"""TLS sessions of Python and OpenSSL are decrypted as far as possible, also with missing and damaged data."""

import asyncio
import gzip
import random
import re
import ssl
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import aead
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.packets.tcp_events import TcpConnection, TcpData, TcpEndpoint, TcpStream
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.record_ciphers import check_ciphers
from listenctl.capture.tls.tls_events import (
    DecryptedData,
    TlsAlert,
    TlsEvent,
    TlsNotice,
    TlsParty,
    TlsRecordsLost,
)
from listenctl.capture.tls.tls_records import record_size
from listenctl.capture.tls.tls_session import TlsSession
from listenctl.errors import ListenctlError
from tests.helpers import capture
from tests.helpers.tls_sessions import (
    NO_ENCRYPT_THEN_MAC,
    Flight,
    TlsDialog,
    client_context,
    decrypt_flights,
    decrypted_data,
    server_context,
    tls_dialog,
)

_Event = TypeVar("_Event")

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3

SPOKEN: list[Flight] = [
    (TlsParty.CLIENT, b"GET / HTTP/1.1\r\n\r\n"),
    (TlsParty.SERVER, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    (TlsParty.CLIENT, random.Random(1).randbytes(50_000)),
    (TlsParty.SERVER, b"x"),
    (TlsParty.CLIENT, b"bye"),
]
ECDSA_CIPHERS = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-CCM",
    "ECDHE-ECDSA-AES256-CCM8",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
]


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
    """Connect an OpenSSL client to an OpenSSL server, with more arguments for each; neither ever takes a minute."""
    async with asyncio.timeout(60):
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


@pytest.fixture(scope="module")
def server(certificate: Path) -> ssl.SSLContext:
    return server_context(certificate)


def spoken_by(client: ssl.SSLContext, server: ssl.SSLContext, folder: Path) -> TlsDialog:
    session = tls_dialog(client, server, folder)
    session.do_handshake()
    for party, data in SPOKEN:
        session.send(party, data)
    session.close()
    return session


def of_type(kind: type[_Event], events: Iterable[TlsEvent]) -> list[_Event]:
    return [event for event in events if isinstance(event, kind)]


def by_party(flights: list[Flight]) -> dict[TlsParty, bytes]:
    return {party: b"".join(data for sender, data in flights if sender is party) for party in TlsParty}


@pytest.fixture(params=[TLS12, TLS13], ids=["1.2", "1.3"])
def session(request: pytest.FixtureRequest, server: ssl.SSLContext, tmp_path: Path) -> TlsDialog:
    return spoken_by(client_context(request.param), server, tmp_path)


@pytest.mark.parametrize("options", [0, NO_ENCRYPT_THEN_MAC], ids=["", "mac-then-encrypt"])
@pytest.mark.parametrize("cipher", ECDSA_CIPHERS)
def test_tls_1_2_is_decrypted(cipher: str, options: int, server: ssl.SSLContext, tmp_path: Path) -> None:
    client = client_context(TLS12, f"{cipher}:@SECLEVEL=0")
    client.options |= options

    session = spoken_by(client, server, tmp_path)

    assert decrypted_data(decrypt_flights(session.flights, session.keylog)) == SPOKEN


@pytest.mark.parametrize("cut", [1, 3, 7, 1448])
def test_it_does_not_matter_in_what_pieces_a_session_comes(cut: int, session: TlsDialog) -> None:
    assert decrypt_flights(session.flights, session.keylog, cut=cut) == decrypt_flights(session.flights, session.keylog)


def test_a_session_is_decrypted_up_to_the_close_of_both_sides(session: TlsDialog) -> None:
    events = decrypt_flights(session.flights, session.keylog)

    assert decrypted_data(events) == SPOKEN
    alerts = of_type(TlsAlert, events)
    assert [(alert.party, alert.name, alert.fatal) for alert in alerts] == [
        (TlsParty.CLIENT, "close_notify", False),
        (TlsParty.SERVER, "close_notify", False),
    ]


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_resumed_session_is_decrypted(version: ssl.TLSVersion, server: ssl.SSLContext, tmp_path: Path) -> None:
    client = client_context(version)
    first = spoken_by(client, server, tmp_path)

    second = tls_dialog(client, server, tmp_path, session=first.client.session)
    second.do_handshake()
    second.send(TlsParty.CLIENT, b"again")
    second.send(TlsParty.SERVER, b"welcome")

    assert second.client.session_reused
    assert decrypted_data(decrypt_flights(second.flights, second.keylog)) == [
        (TlsParty.CLIENT, b"again"),
        (TlsParty.SERVER, b"welcome"),
    ]


def test_a_hello_retry_request_is_no_server_hello(certificate: Path, tmp_path: Path) -> None:
    # Clients offer a key for X25519 first.
    server = server_context(certificate)
    server.set_ecdh_curve("secp384r1")

    session = spoken_by(client_context(TLS13), server, tmp_path)

    assert len([1 for party, _ in session.flights if party is TlsParty.CLIENT]) > 3
    assert decrypted_data(decrypt_flights(session.flights, session.keylog)) == SPOKEN


def test_an_untrusted_certificate_shows_as_the_clients_alert(server: ssl.SSLContext, tmp_path: Path) -> None:
    client = client_context(TLS13)
    client.verify_mode = ssl.CERT_REQUIRED
    session = tls_dialog(client, server, tmp_path)

    with pytest.raises(ssl.SSLCertVerificationError):
        session.do_handshake()

    events = decrypt_flights(session.flights, session.keylog)
    assert TlsAlert(2.0, TlsParty.CLIENT, "unknown_ca", fatal=True) in events


def test_versions_that_have_nothing_in_common_show_as_an_alert(certificate: Path, tmp_path: Path) -> None:
    server = server_context(certificate)
    server.minimum_version = TLS13
    session = tls_dialog(client_context(TLS12), server, tmp_path)

    with pytest.raises(ssl.SSLError):
        session.do_handshake()

    assert decrypt_flights(session.flights, KeyLog()) == [
        TlsAlert(1.0, TlsParty.SERVER, "protocol_version", fatal=True)
    ]


def test_without_secrets_the_notice_says_how_to_get_them(session: TlsDialog) -> None:
    (notice,) = decrypt_flights(session.flights, KeyLog())

    assert isinstance(notice, TlsNotice)
    assert re.search(r"\(TLS 1\.[23] to listen\.example\)", notice.text)
    assert "there is no key log" in notice.text
    assert "SSLKEYLOGFILE" in notice.text


def test_the_secrets_of_another_session_are_no_help(session: TlsDialog) -> None:
    other = KeyLog(f"CLIENT_RANDOM {'00' * 32} {'00' * 48}")

    notice = decrypt_flights(session.flights, other)[-1]

    assert isinstance(notice, TlsNotice)
    assert "none of the 1 known secrets is for it" in notice.text


def test_wrong_secrets_are_distinguished_from_missing_ones(session: TlsDialog) -> None:
    wrong = KeyLog("\n".join(line[:-4] + "0000" for line in session.keylog_file.read_text().splitlines()))

    events = decrypt_flights(session.flights, wrong)

    assert decrypted_data(events) == []
    notices = of_type(TlsNotice, events)
    assert notices
    assert all("but they don't decrypt" in notice.text for notice in notices)


@pytest.mark.parametrize("without", ["CLIENT_TRAFFIC", "SERVER_TRAFFIC", "CLIENT_HANDSHAKE", "SERVER_HANDSHAKE"])
def test_what_the_secrets_at_hand_allow_is_decrypted(without: str, server: ssl.SSLContext, tmp_path: Path) -> None:
    session = spoken_by(client_context(TLS13), server, tmp_path)
    lines = session.keylog_file.read_text().splitlines()
    some = KeyLog("\n".join(line for line in lines if without not in line))

    events = decrypt_flights(session.flights, some)

    decrypted = {event.party for event in events if isinstance(event, DecryptedData)}
    notices = of_type(TlsNotice, events)
    if "TRAFFIC" in without:
        missing = TlsParty(without.partition("_")[0].lower())
        assert decrypted == set(TlsParty) - {missing}
        assert [notice.text.partition(";")[0] for notice in notices] == [
            f"this session is encrypted (TLS 1.3 to listen.example) and none of the 3 known secrets is for what the "
            f"{missing} sent"
        ]
    else:
        assert decrypted_data(events) == SPOKEN
        assert notices == []


def test_secrets_that_come_late_are_used(session: TlsDialog) -> None:
    keylog = KeyLog()
    decryptor = TlsSession(keylog)
    events = []

    for at, (party, data) in enumerate(session.flights):
        if at == 5:
            keylog.add_lines(session.keylog_file.read_text())
        events += decryptor.feed(party, data, float(at))
    events += decryptor.end_session(99.0)

    assert by_party(decrypted_data(events)) == by_party(SPOKEN)


def test_without_the_ciphers_the_notice_says_how_to_get_them(
    session: TlsDialog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)

    (notice,) = decrypt_flights(session.flights, session.keylog)

    assert isinstance(notice, TlsNotice)
    assert "needs the package cryptography: pip install cryptography" in notice.text
    with pytest.raises(ListenctlError, match="cryptography"):
        check_ciphers()


def test_a_library_that_lacks_one_cipher_costs_this_session_only(
    session: TlsDialog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(key: bytes) -> None:
        raise UnsupportedAlgorithm("not in this build")

    monkeypatch.setattr(aead, "AESGCM", lacking)

    notice = decrypt_flights(session.flights, session.keylog)[-1]

    assert isinstance(notice, TlsNotice)
    assert "AES_256_GCM_SHA384 can't be decrypted" in notice.text


def test_what_waits_for_secrets_is_bounded(session: TlsDialog) -> None:
    decryptor = TlsSession(KeyLog())
    for party, data in session.flights[:3]:
        decryptor.feed(party, data, 0.0)
    events = []

    for at in range(1000):
        events += decryptor.feed(TlsParty.CLIENT, b"\x17\x03\x03\x00\x20" + bytes(32), float(at))

    (notice,) = of_type(TlsNotice, events)
    assert "there is no key log" in notice.text
    assert not decryptor._client.holds_records
    assert decryptor.end_session(0.0) == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
def test_an_old_version_is_named(certificate: Path, tmp_path: Path) -> None:
    server = server_context(certificate)
    server.minimum_version = ssl.TLSVersion.TLSv1
    client = client_context(TLS12, "ALL:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1
    session = spoken_by(client, server, tmp_path)

    (notice,) = decrypt_flights(session.flights, session.keylog)

    assert notice == TlsNotice(1.0, "decrypting TLS 1.0 is not supported")


def test_a_cipher_that_is_none_of_ours_is_named(server: ssl.SSLContext, tmp_path: Path) -> None:
    session = spoken_by(client_context(TLS12, "ECDHE-ECDSA-CAMELLIA128-SHA256"), server, tmp_path)

    notice = decrypt_flights(session.flights, session.keylog)[-1]

    assert notice == TlsNotice(1.0, "decrypting cipher suite 0xC072 is not supported")


MESSAGES = [random.Random(number).randbytes(300 + number) for number in range(200)]


@dataclass(frozen=True, slots=True)
class Wire:
    """A session in which the client sends ``MESSAGES``, one per record, from flight ``first`` on."""

    flights: list[Flight]
    first: int
    keylog: KeyLog


def wire(version: ssl.TLSVersion, ciphers: str, certificate: Path, folder: Path) -> Wire:
    session = tls_dialog(client_context(version, ciphers), server_context(certificate), folder)
    session.do_handshake()
    first = len(session.flights)
    for data in MESSAGES:
        session.send(TlsParty.CLIENT, data)
    return Wire(session.flights, first, session.keylog)


@pytest.fixture(scope="module")
def tls13(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Wire:
    return wire(ssl.TLSVersion.TLSv1_3, "", certificate, tmp_path_factory.mktemp("wire"))


@pytest.fixture(
    scope="module",
    params=["", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA"],
    ids=["1.3", "gcm", "chacha20", "cbc"],
)
def every(request: pytest.FixtureRequest, certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Wire:
    version = ssl.TLSVersion.TLSv1_2 if request.param else ssl.TLSVersion.TLSv1_3
    return wire(version, request.param, certificate, tmp_path_factory.mktemp("wire"))


def read_with_gap(wire: Wire, start: int, size: int, *, known: bool = True) -> list[TlsEvent]:
    """Return the events if ``size`` bytes are missing, ``start`` bytes after the handshake."""
    decryptor = TlsSession(wire.keylog)
    for party, data in wire.flights[: wire.first]:
        decryptor.feed(party, data, 0.0)
    sent = b"".join(data for _, data in wire.flights[wire.first :])
    events = decryptor.feed(TlsParty.CLIENT, sent[:start], 1.0)
    events += decryptor.skip_missing(TlsParty.CLIENT, size if known else None, 2.0)
    for at in range(start + size, len(sent), 1448):
        events += decryptor.feed(TlsParty.CLIENT, sent[at : at + 1448], 3.0)
    return events + decryptor.end_session(4.0)


def places(wire: Wire) -> list[int]:
    """Return the offset of the record of each message."""
    return list(accumulate((len(data) for _, data in wire.flights[wire.first :]), initial=0))


def contents(events: list[TlsEvent]) -> list[bytes]:
    return [event.data for event in of_type(DecryptedData, events)]


@pytest.mark.parametrize("lost", [1, 2, 60, 150])
def test_whole_records_that_are_missing_are_counted(lost: int, every: Wire) -> None:
    at = places(every)

    events = read_with_gap(every, at[10], at[10 + lost] - at[10])

    assert contents(events) == MESSAGES[:10] + MESSAGES[10 + lost :]
    (told,) = of_type(TlsRecordsLost, events)
    assert told.records == lost
    # The padding of CBC hides how much was in a record.
    assert told.size in (None, sum(map(len, MESSAGES[10 : 10 + lost])))


def test_how_much_was_in_the_missing_records_is_known_with_an_aead(tls13: Wire) -> None:
    at = places(tls13)

    events = read_with_gap(tls13, at[20] + 7, 1000)

    assert of_type(TlsRecordsLost, events) == [TlsRecordsLost(3.0, TlsParty.CLIENT, 3, sum(map(len, MESSAGES[20:23])))]


def test_records_are_found_after_a_gap_of_unknown_size(every: Wire) -> None:
    at = places(every)

    events = read_with_gap(every, at[20], at[120] - at[20], known=False)

    assert contents(events) == MESSAGES[:20] + MESSAGES[120:]
    assert [(event.records, event.size) for event in events if isinstance(event, TlsRecordsLost)] == [(100, None)]


def test_minutes_of_a_call_may_be_missing(certificate: Path, tmp_path: Path) -> None:
    session = tls_dialog(client_context(), server_context(certificate), tmp_path)
    session.do_handshake()
    decryptor = TlsSession(session.keylog)
    for number in range(10_000):
        session.send(TlsParty.CLIENT, b"%05d" % number)
    for party, data in session.flights[:20]:
        decryptor.feed(party, data, 0.0)

    missing = sum(len(data) for party, data in session.flights[20:-1])
    decryptor.skip_missing(TlsParty.CLIENT, missing, 1.0)
    events = decryptor.feed(TlsParty.CLIENT, session.flights[-1][1], 2.0)

    assert {party for party, _ in session.flights[20:]} == {TlsParty.CLIENT}
    lost = len(session.flights) - 21
    assert events == [
        TlsRecordsLost(2.0, TlsParty.CLIENT, lost, 5 * lost),
        DecryptedData(2.0, TlsParty.CLIENT, b"09999"),
    ]


@given(st.data())
def test_only_the_records_are_lost_that_something_is_missing_of(every: Wire, data: st.DataObject) -> None:
    at = places(every)
    start = data.draw(st.integers(0, at[-1] - 1))
    size = data.draw(st.integers(1, min(at[-1] - start, 20_000)))

    events = read_with_gap(every, start, size)

    whole = [
        message
        for message, begin, end in zip(MESSAGES, at, at[1:], strict=False)
        if end <= start or begin >= start + size
    ]
    assert contents(events) == whole


@given(st.data())
def test_a_damaged_byte_costs_its_record_at_most_with_the_next(every: Wire, data: st.DataObject) -> None:
    flights = list(every.flights)
    number = data.draw(st.integers(every.first, len(flights) - 1))
    party, record = flights[number]
    place = data.draw(st.integers(0, len(record) - 1))
    wrong = data.draw(st.integers(1, 255))
    flights[number] = party, record[:place] + bytes([record[place] ^ wrong]) + record[place + 1 :]

    events = decrypt_flights(flights, every.keylog)

    damaged = number - every.first
    kept = set(contents(events))
    missing = [index for index, message in enumerate(MESSAGES) if message not in kept]
    assert kept <= set(MESSAGES)
    assert missing in ([damaged], [damaged, damaged + 1])
    if missing[-1] < len(MESSAGES) - 1:
        assert [event.records for event in events if isinstance(event, TlsRecordsLost)] == [len(missing)]


@given(cuts=st.lists(st.integers(0, 30_000)), damage=st.none() | st.integers(0, 30_000), start=st.integers(0, 20))
def test_a_run_of_records_is_decrypted_like_single_ones(
    every: Wire, cuts: list[int], damage: int | None, start: int
) -> None:
    ends = list(accumulate(len(data) for _, data in every.flights[every.first :]))
    sent = bytearray(b"".join(data for _, data in every.flights[every.first :]))
    if damage is not None:
        sent[damage % len(sent)] ^= 1
    # Most pieces are one record; some have parts of records, or several.
    places = sorted({0, *ends[start:], *(cut % len(sent) for cut in cuts)})
    stream = TcpConnection(0, 0.0), TcpEndpoint("10.0.0.1", 1), TcpEndpoint("10.0.0.2", 2)
    pieces = [
        TcpData(float(at), TcpStream(*stream), bytes(sent[begin:end]), at)
        for at, (begin, end) in enumerate(pairwise(places))
    ]
    one_by_one, in_runs = TlsSession(every.keylog), TlsSession(every.keylog)
    for party, data in every.flights[: every.first]:
        assert one_by_one.feed(party, data, 0.0) == in_runs.feed(party, data, 0.0)

    expected = [event for piece in pieces for event in one_by_one.feed(TlsParty.CLIENT, piece.data, piece.at)]
    events: list[TlsEvent] = []
    while pieces:
        run = in_runs.decrypt_run(TlsParty.CLIENT, pieces)
        events += [DecryptedData(piece.at, TlsParty.CLIENT, piece.data) for piece in run]
        assert [piece.packet for piece in run] == [piece.packet for piece in pieces[: len(run)]]
        for piece in pieces[len(run) : len(run) + 1]:
            events += in_runs.feed(TlsParty.CLIENT, piece.data, piece.at)
        pieces = pieces[len(run) + 1 :]

    assert events + in_runs.end_session(1e3) == expected + one_by_one.end_session(1e3)


@pytest.mark.parametrize(("damaged", "size"), [(5, len(MESSAGES[5])), (len(MESSAGES) - 1, None)])
def test_a_damaged_record_is_reported_with_the_next_one_or_at_the_end(
    damaged: int, size: int | None, tls13: Wire
) -> None:
    flights = list(tls13.flights)
    party, record = flights[tls13.first + damaged]
    flights[tls13.first + damaged] = party, record[:-1] + bytes([record[-1] ^ 1])

    events = decrypt_flights(flights, tls13.keylog)

    told = TlsRecordsLost(float(tls13.first + damaged + 1), TlsParty.CLIENT, 1, size)
    assert [event for event in events if not isinstance(event, DecryptedData)] == [told]


def test_a_capture_that_ends_in_the_middle_of_a_record_lacks_that_one_only(tls13: Wire) -> None:
    flights = [*tls13.flights[:-1], (TlsParty.CLIENT, tls13.flights[-1][1][:-1])]

    assert contents(decrypt_flights(flights, tls13.keylog)) == MESSAGES[:-1]


def lossy_handshake(wire: Wire, flight: int, start: int) -> list[TlsEvent]:
    """Return the events if the capture lacks the rest of one flight of the handshake."""
    decryptor = TlsSession(wire.keylog)
    events: list[TlsEvent] = []
    for at, (party, data) in enumerate(wire.flights):
        if at == flight:
            events += decryptor.feed(party, data[:start], float(at))
            events += decryptor.skip_missing(party, len(data) - start, float(at))
        else:
            events += decryptor.feed(party, data, float(at))
    return events + decryptor.end_session(99.0)


def test_the_end_of_the_handshake_may_be_missing(every: Wire) -> None:
    # The last flight of the client has ChangeCipherSpec and Finished.
    for start in range(0, len(every.flights[2][1]), 5):
        assert contents(lossy_handshake(every, 2, start)) == MESSAGES


def test_certificates_may_be_missing(every: Wire) -> None:
    # The ServerHello is the first of the server's flight.
    assert contents(lossy_handshake(every, 1, 300)) == MESSAGES


@pytest.mark.parametrize(("flight", "missing"), [(0, "ClientHello"), (1, "ServerHello")])
def test_without_the_hellos_nothing_can_be_read(flight: int, missing: str, every: Wire) -> None:
    events = lossy_handshake(every, flight, 20)

    (notice,) = events
    assert isinstance(notice, TlsNotice)
    assert f"lacks its {missing}" in notice.text


def test_what_never_verifies_is_given_up(tls13: Wire) -> None:
    decryptor = TlsSession(tls13.keylog)
    for party, data in tls13.flights:
        decryptor.feed(party, data, 0.0)
    events: list[TlsEvent] = []

    for number in range(1000):
        events += decryptor.feed(TlsParty.CLIENT, b"\x17\x03\x03\0\x40" + random.Random(number).randbytes(64), 1.0)

    (notice,) = of_type(TlsNotice, events)
    assert notice.text.startswith("can't decrypt more of what the client sent")
    assert decryptor.end_session(2.0) == []


TLS13_SUITES = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
]


def lines(*numbers: int) -> list[Flight]:
    """Return the flights of the exchanges with these numbers."""
    return [
        (party, b"from the %b %d\n" % (party.encode(), number))
        for number in numbers
        for party in (TlsParty.CLIENT, TlsParty.SERVER)
    ]


@pytest.mark.parametrize("suite", TLS13_SUITES)
async def test_every_suite_of_tls_1_3_is_decrypted(suite: str, certificate: Path, tmp_path: Path) -> None:
    only = ["-tls1_3", "-ciphersuites", suite]
    async with relayed_tls(tmp_path, certificate, server=only, client=only) as session:
        await session.exchange(1)

        events = decrypt_flights(session.flights, session.keylog)

    assert decrypted_data(events) == lines(1)


@pytest.fixture(scope="module")
def rsa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an RSA key and its certificate."""
    folder = tmp_path_factory.mktemp("rsa")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    "cipher", ["DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-SHA256", "ECDHE-RSA-AES128-SHA", "AES128-SHA"]
)
async def test_tls_1_2_with_rsa_is_decrypted(cipher: str, rsa: Path, tmp_path: Path) -> None:
    only = ["-tls1_2", "-cipher", cipher]
    server = ["-key", str(rsa / "key.pem"), *only]
    async with relayed_tls(tmp_path, rsa / "cert.pem", server=server, client=only) as session:
        await session.exchange(1)

        events = decrypt_flights(session.flights, session.keylog)

    assert decrypted_data(events) == lines(1)


@pytest.mark.parametrize("asked", ["k", "K"])
async def test_key_updates_of_both_sides_are_followed(asked: str, certificate: Path, tmp_path: Path) -> None:
    async with relayed_tls(tmp_path, certificate, client=["-tls1_3"]) as session:
        await session.exchange(1)
        for number, party in enumerate([TlsParty.CLIENT, TlsParty.SERVER, TlsParty.CLIENT], 2):
            await session.command(party, asked)
            await session.exchange(number)

        events = decrypt_flights(session.flights, session.keylog)

    assert decrypted_data(events) == lines(1, 2, 3, 4)
    assert not of_type(TlsRecordsLost, events)


async def test_a_key_update_may_be_among_what_is_missing(certificate: Path, tmp_path: Path) -> None:
    async with relayed_tls(tmp_path, certificate, client=["-tls1_3"]) as session:
        await session.exchange(1)
        before = len(session.flights)
        await session.command(TlsParty.CLIENT, "k")
        await session.exchange(2)
        flights = list(session.flights)

        party, updated = flights[before]
        flights[before] = party, updated[record_size(updated) :] or flights[before + 1][1]
        events = decrypt_flights(flights, session.keylog)

    assert party is TlsParty.CLIENT
    assert decrypted_data(events) == lines(1, 2)


async def test_a_renegotiated_session_is_decrypted(certificate: Path, tmp_path: Path) -> None:
    server = ["-tls1_2", "-client_renegotiation"]
    async with relayed_tls(tmp_path, certificate, server=server, client=["-tls1_2"]) as session:
        await session.exchange(1)
        await session.command(TlsParty.CLIENT, "R")
        await session.exchange(2)

        events = decrypt_flights(session.flights, session.keylog)

    assert len(session.keylog) == 2
    assert decrypted_data(events) == lines(1, 2)


@pytest.mark.parametrize(("server", "outcome"), [(["-early_data"], "accepted"), ([], "rejected")])
async def test_early_data_is_reported_and_what_follows_is_decrypted(
    server: list[str], outcome: str, certificate: Path, tmp_path: Path
) -> None:
    ticket, early = tmp_path / "ticket.pem", tmp_path / "early.txt"
    early.write_text("said early\n" * 20)
    first: list[str | Path] = ["-tls1_3", "-sess_out", ticket]
    allowed = ["-tls1_3", "-max_early_data", "16384"]
    async with relayed_tls(tmp_path, certificate, server=[*allowed, *server], client=first) as session:
        await session.exchange(1)
        await session.again("-tls1_3", "-sess_in", ticket, "-early_data", early)
        await session.client.until(f"Early data was {outcome}")
        await session.exchange(2)

        events = decrypt_flights(session.flights, session.keylog)

    assert decrypted_data(events) == lines(2)
    (notice,) = of_type(TlsNotice, events)
    assert notice.text.startswith("early data (0-RTT, ")
    assert not of_type(TlsRecordsLost, events)


ENCRYPTED = capture.FOLDER / "encrypted"


def test_a_real_call_is_decrypted_record_by_record() -> None:
    segments = list(capture._segments(gzip.decompress((ENCRYPTED / "d_wss_mono16k.pcap.gz").read_bytes())))
    session = TlsSession(KeyLog((ENCRYPTED / "d_wss_mono16k.keylog").read_text()))
    begin = segments[0].time
    events = []

    for segment in segments:
        if segment.payload:
            party = TlsParty.CLIENT if segment.ports == segments[0].ports else TlsParty.SERVER
            events += session.feed(party, segment.payload, segment.time - begin)
    events += session.end_session(99.0)

    assert {type(event) for event in events} <= {DecryptedData, TlsAlert}
    for party, expected in (
        (TlsParty.CLIENT, capture.client_stream("d_wss_mono16k_decrypted")),
        (TlsParty.SERVER, capture.server_stream("d_wss_mono16k_decrypted")),
    ):
        decrypted = [event for event in events if isinstance(event, DecryptedData) and event.party is party]
        assert [event.data for event in decrypted] == [data for _, data in expected]
        first = expected[0][0] - decrypted[0].at
        assert [event.at for event in decrypted] == pytest.approx([at - first for at, _ in expected], abs=2e-6)


def test_a_capture_that_begins_in_the_middle_says_so(session: TlsDialog) -> None:
    events = decrypt_flights(session.flights[4:], session.keylog)

    (notice,) = events
    assert isinstance(notice, TlsNotice)
    assert "the capture lacks its ClientHello" in notice.text
