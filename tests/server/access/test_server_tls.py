"""Certificates of servers and clients, on real sockets."""

import ssl
import subprocess
from functools import partial
from pathlib import Path

import pytest

from listenctl.errors import RefusedError, UsageError
from listenctl.net.client_connection import connect
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.server.access.server_tls import ServerTls, load_context
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.scripted_server import HeardMessages
from tests.helpers.server import Running, faster, running

pytestmark = pytest.mark.simulated_time

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def make_client_pair(path: Path) -> Path:
    """Make a certificate of a client, with its key in the same file."""
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    key = path.with_suffix(".key")
    subprocess.run([*make, "-subj", f"/CN={path.stem}", "-keyout", key, "-out", path], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path


@pytest.fixture(scope="module")
def client_pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("clients")
    return make_client_pair(folder / "known.pem"), make_client_pair(folder / "other.pem")


def client_context(
    certificate: Path, pair: Path | None = None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate)
    context.minimum_version = context.maximum_version = version
    if pair is not None:
        context.load_cert_chain(pair)
    return context


async def refusal_of(run: Running, context: ssl.SSLContext) -> str:
    """Return what listenctl as a client says of a server that refuses it."""
    target = CallTarget(address=parse_websocket_url(f"wss://127.0.0.1:{run.port}/calls"), tls=context)
    with pytest.raises(RefusedError) as refused:
        await connect(target, HeardMessages())
    return str(refused.value).partition(": ")[2]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_with_a_certificate_that_is_trusted_is_let_in(
    version: ssl.TLSVersion, certificate: Path, client_pairs: tuple[Path, Path]
) -> None:
    known, _ = client_pairs
    async with running(faster(tls=ServerTls(partial(load_context, certificate, None, known)))) as run:
        peer = await run.call(METADATA, close(), tls=client_context(certificate, known, version))
        await peer.read_to_end()
        assert (await run.events.wait_for("call-ended"))["closed_by"] == "jambonz"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_without_a_certificate_and_the_server_say_what_is_missing(
    version: ssl.TLSVersion, certificate: Path, client_pairs: tuple[Path, Path]
) -> None:
    known, _ = client_pairs
    async with running(faster(tls=ServerTls(partial(load_context, certificate, None, known)))) as run:
        said = await refusal_of(run, client_context(certificate, None, version))
        refused = await run.events.wait_for("connection-refused")

    assert refused["reason"] == "TLS failed: the client sent no certificate, which --client-ca demands"
    if version is ssl.TLSVersion.TLSv1_3:
        assert said == "TLS failed: it demands a certificate of the client, which jambonz does not have"
    else:
        assert said.startswith("TLS failed: ")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_with_another_certificate_and_the_server_say_that_it_is_not_trusted(
    version: ssl.TLSVersion, certificate: Path, client_pairs: tuple[Path, Path]
) -> None:
    known, other = client_pairs
    async with running(faster(tls=ServerTls(partial(load_context, certificate, None, known)))) as run:
        said = await refusal_of(run, client_context(certificate, other, version))
        refused = await run.events.wait_for("connection-refused")

    assert refused["reason"] == (
        "TLS failed: the client's certificate isn't trusted: self-signed certificate; "
        "--client-ca must have the CA that issued it"
    )
    assert said == "TLS failed: it does not trust the certificate of this client"


async def test_a_reload_forgets_the_cas_of_before_and_leaves_calls_alone(
    certificate: Path, client_pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    known, other = client_pairs
    client_ca = tmp_path / "ca.pem"
    client_ca.write_bytes(known.read_bytes())
    tls = ServerTls(partial(load_context, certificate, None, client_ca))
    async with running(faster(tls=tls)) as run:
        peer = await run.call(METADATA, binary(bytes(320)), tls=client_context(certificate, known))
        await run.events.wait_for("call-started")
        client_ca.write_bytes(other.read_bytes())
        tls.reload()

        assert await refusal_of(run, client_context(certificate, known)) != ""
        await (await run.call(METADATA, close(), tls=client_context(certificate, other))).read_to_end()
        await peer.send(binary(bytes(320)), close())
        await peer.read_to_end()
        ended = [await run.events.wait_for("call-ended", number) for number in (1, 2)]

    assert sorted(event["received_samples"] for event in ended) == [0, 320]


async def test_a_reload_that_fails_changes_nothing(
    certificate: Path, client_pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    known, _ = client_pairs
    client_ca = tmp_path / "ca.pem"
    client_ca.write_bytes(known.read_bytes())
    tls = ServerTls(partial(load_context, certificate, None, client_ca))
    async with running(faster(tls=tls)) as run:
        client_ca.write_text("nothing")
        with pytest.raises(UsageError):
            tls.reload()

        peer = await run.open(HANDSHAKE, tls=client_context(certificate, known))
        assert (await peer.read_head()).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file or directory"), ("nothing", "it contains no certificate in PEM format")],
)
def test_a_file_that_is_no_ca_is_refused(content: str | None, problem: str, certificate: Path, tmp_path: Path) -> None:
    client_ca = tmp_path / "ca.pem"
    if content is not None:
        client_ca.write_text(content)

    with pytest.raises(UsageError) as refused:
        load_context(certificate, None, client_ca)

    assert str(refused.value) == f"{client_ca}: can't be used as the CA of client certificates: {problem}"
