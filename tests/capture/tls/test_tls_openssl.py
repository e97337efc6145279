"""What Python's own TLS can't be asked for, between OpenSSL's client and server."""

import asyncio
from pathlib import Path

import pytest

from listenctl.capture.tls.tls_events import TlsNegotiated, TlsNotice, TlsParty, TlsProblem, TlsRecordsLost
from listenctl.capture.tls.tls_records import record_size
from tests.helpers.tls_relay import relayed
from tests.helpers.tls_wire import Flight, heard, read

TLS13_SUITES = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
]


def lines(*numbers: int) -> list[Flight]:
    """Return what is said in the exchanges with these numbers."""
    return [
        (party, b"from the %b %d\n" % (party.encode(), number))
        for number in numbers
        for party in (TlsParty.CLIENT, TlsParty.SERVER)
    ]


@pytest.mark.parametrize("suite", TLS13_SUITES)
async def test_every_suite_of_tls_1_3_is_decrypted(suite: str, certificate: Path, tmp_path: Path) -> None:
    only = ["-tls1_3", "-ciphersuites", suite]
    async with asyncio.timeout(20), relayed(tmp_path, certificate, server=only, client=only) as session:
        await session.exchange(1)

        events = read(session.flights, session.keylog)

    assert heard(events) == lines(1)
    assert [event.cipher for event in events if isinstance(event, TlsNegotiated)] == [suite]


@pytest.mark.parametrize("cipher", ["DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-SHA256", "ECDHE-RSA-AES128-SHA"])
async def test_more_of_tls_1_2_is_decrypted(cipher: str, tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        make = ["req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=localhost"]
        key, pair = tmp_path / "key.pem", tmp_path / "rsa.pem"
        process = await asyncio.create_subprocess_exec(
            "openssl", *make, "-keyout", key, "-out", pair, stderr=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0
        only = ["-tls1_2", "-cipher", cipher]
        async with relayed(tmp_path, pair, server=["-key", str(key), *only], client=only) as session:
            await session.exchange(1)

            events = read(session.flights, session.keylog)

    assert heard(events) == lines(1)


@pytest.mark.parametrize("asked", ["k", "K"])
async def test_key_updates_of_both_sides_are_followed(asked: str, certificate: Path, tmp_path: Path) -> None:
    async with asyncio.timeout(20), relayed(tmp_path, certificate, client=["-tls1_3"]) as session:
        await session.exchange(1)
        await session.command(TlsParty.CLIENT, asked)
        await session.exchange(2)
        await session.command(TlsParty.SERVER, asked)
        await session.exchange(3)
        await session.command(TlsParty.CLIENT, asked)
        await session.exchange(4)

        events = read(session.flights, session.keylog)

    assert heard(events) == lines(1, 2, 3, 4)
    assert not [event for event in events if isinstance(event, TlsRecordsLost)]


async def test_a_key_update_may_be_among_what_is_missing(certificate: Path, tmp_path: Path) -> None:
    async with asyncio.timeout(20), relayed(tmp_path, certificate, client=["-tls1_3"]) as session:
        await session.exchange(1)
        before = len(session.flights)
        await session.command(TlsParty.CLIENT, "k")
        await session.exchange(2)
        flights = list(session.flights)

        party, updated = flights[before]
        flights[before] = party, updated[record_size(updated) :] or flights[before + 1][1]
        events = read(flights, session.keylog)

    assert party is TlsParty.CLIENT
    assert heard(events) == lines(1, 2)


async def test_a_renegotiated_session_is_decrypted(certificate: Path, tmp_path: Path) -> None:
    server = ["-tls1_2", "-client_renegotiation"]
    async with asyncio.timeout(20), relayed(tmp_path, certificate, server=server, client=["-tls1_2"]) as session:
        await session.exchange(1)
        await session.command(TlsParty.CLIENT, "R")
        await session.exchange(2)

        events = read(session.flights, session.keylog)

    assert len(session.keylog) == 2
    assert heard(events) == lines(1, 2)


@pytest.mark.parametrize(("server", "outcome"), [(["-early_data"], "accepted"), ([], "rejected")])
async def test_early_data_is_told_and_what_follows_is_decrypted(
    server: list[str], outcome: str, certificate: Path, tmp_path: Path
) -> None:
    ticket, early = tmp_path / "ticket.pem", tmp_path / "early.txt"
    early.write_text("said early\n" * 20)
    first: list[str | Path] = ["-tls1_3", "-sess_out", ticket]
    allowed = ["-tls1_3", "-max_early_data", "16384"]
    async with asyncio.timeout(20), relayed(tmp_path, certificate, server=[*allowed, *server], client=first) as session:
        await session.exchange(1)
        await session.again("-tls1_3", "-sess_in", ticket, "-early_data", early)
        await session.client.until(f"Early data was {outcome}")
        await session.exchange(2)

        events = read(session.flights, session.keylog)

    assert heard(events) == lines(2)
    (notice,) = [event for event in events if isinstance(event, TlsNotice)]
    assert notice.problem is TlsProblem.EARLY_DATA
    assert not [event for event in events if isinstance(event, TlsRecordsLost)]
