"""Who may connect: the ways to say so, and what that costs."""

import asyncio
import base64
import os
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.server.access import check_credentials as access
from listenctl.server.access.auth_file import Right, set_user
from listenctl.server.access.check_credentials import CredentialsCheck, file_credentials, shared_credentials
from listenctl.server.access.failure_limit import DELAY, MAX_FAILURES, WINDOW
from listenctl.server.access.secret_hashes import hash_password, hash_token, verify_password
from listenctl.server.dump.call_dumper import dumping
from listenctl.server.handshake_refusal import HandshakeRefusal
from tests.helpers.frames import HANDSHAKE, close, text
from tests.helpers.server import faster, read_sidecar, running, wait_for_writer

pytestmark = pytest.mark.simulated_time

# V1 in listenctl-protocol(7) 11: listen / s3cret.
RIGHT = "Basic bGlzdGVuOnMzY3JldA=="


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def request(*headers: str) -> bytes:
    return HANDSHAKE[:-2] + b"".join(f"{header}\r\n".encode() for header in headers) + b"\r\n"


async def status_of(
    access: CredentialsCheck, authorization: str | None, client: str = "", *, token: str | None = None
) -> int:
    """Return the status of the answer; 101 for a call."""
    refusal = access.check_credentials(authorization, token, client)
    refused = refusal if refusal is None or isinstance(refusal, HandshakeRefusal) else await refusal
    return 101 if refused is None else refused.status


async def allows(access: CredentialsCheck, authorization: str | None, client: str = "") -> bool:
    return await status_of(access, authorization, client) == 101


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    set_user(path, "listen", hash_password("s3cret"))
    return path


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the hashes that are computed to verify a password."""
    passwords: list[str] = []

    def count(password: str, hashed: str) -> bool:
        passwords.append(password)
        return verify_password(password, hashed)

    monkeypatch.setattr(access, "verify_password", count)
    return passwords


@pytest.mark.parametrize("header", ["authorization", "Authorization"])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "file"])
async def test_the_credentials_of_jambonz_give_access(header: str, shared: bool, users: Path) -> None:
    credentials = shared_credentials("listen:s3cret") if shared else file_credentials(users)
    async with running(faster(credentials=credentials)) as run:
        peer = await run.open(request(f"{header}: {RIGHT}"))
        head = await peer.read_head()
        refused = await run.ask(request("authorization: " + basic("listen:other")))

    assert head.startswith(b"HTTP/1.1 101 ")
    assert refused.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["authorization: " + basic("listen:wrong")],
        ["authorization: " + basic("listen")],
        ["authorization: Basic"],
        ["authorization: Basic !!!"],
        ["authorization: Bearer bGlzdGVuOnMzY3JldA=="],
        ["authorization: Basic \xff"],
        ["authorization: " + RIGHT, "authorization: " + RIGHT],
    ],
    ids=["none", "wrong", "no password", "empty", "no base64", "Bearer", "non-ASCII", "twice"],
)
async def test_other_credentials_are_refused_without_a_clue(headers: list[str]) -> None:
    async with running(faster(credentials=shared_credentials("listen:s3cret"), path="/elsewhere")) as run:
        answer = await run.ask(request(*headers))
        refused = await run.events.wait_for("connection-refused")

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b'WWW-Authenticate: Basic realm="listenctl", charset="UTF-8"' in answer
    assert answer.partition(b"\r\n\r\n")[2] == b"the credentials are missing or wrong\n"
    assert refused["status"] == 401
    assert "s3cret" not in str(refused)


@pytest.mark.parametrize("credentials", ["", "listen", ":", "listen:", ":s3cret"])
def test_shared_credentials_need_both_parts(credentials: str) -> None:
    with pytest.raises(UsageError, match="user:password"):
        shared_credentials(credentials)


async def test_a_password_is_verified_once_and_then_remembered(users: Path, computed: list[str]) -> None:
    access = file_credentials(users)

    verdicts = await asyncio.gather(*(allows(access, RIGHT) for _ in range(100)))

    assert all(verdicts)
    assert access.check_credentials(RIGHT, None, "") is None
    assert computed == ["s3cret"]


async def test_one_who_gives_up_waiting_leaves_the_others_their_verdict(users: Path) -> None:
    access = file_credentials(users)
    impatient = asyncio.create_task(allows(access, RIGHT))
    patient = asyncio.create_task(allows(access, RIGHT))
    await asyncio.sleep(0)

    impatient.cancel()

    assert await patient
    assert impatient.cancelled()


async def test_what_was_wrong_is_not_computed_again_until_the_file_changes(users: Path, computed: list[str]) -> None:
    access = file_credentials(users)
    wrong = [basic(credentials) for credentials in ("listen:no", "nobody:no", "nobody:no", "listen:no")]

    assert not any([await allows(access, credentials) for credentials in wrong])
    assert computed == ["no", "no"]

    set_user(users, "nobody", hash_password("no"))
    os.utime(users, ns=(1, 1))

    assert [await allows(access, credentials) for credentials in wrong] == [False, True, True, False]
    assert access.results == {"wrong": 3, "wrong-again": 3, "accepted": 2}


async def test_the_wrong_credentials_that_are_remembered_are_bounded(
    users: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "REMEMBERED_WRONG", 2)
    check = file_credentials(users)

    for password in ("in use", "1", "in use", "2", "in use", "1"):
        assert not await allows(check, basic(f"listen:{password}"))

    assert computed == ["in use", "1", "2", "1"]


async def test_an_address_that_tries_too_much_has_to_wait(users: Path, computed: list[str]) -> None:
    set_user(users, "bob", hash_password("right"))
    set_user(users, "new", hash_password("right"))
    access = file_credentials(users)
    assert await allows(access, basic("bob:right"), "10.0.0.9")
    for guess in range(MAX_FAILURES):
        assert await status_of(access, basic(f"listen:{guess}"), "10.0.0.9") == 401
    before = len(computed)

    statuses = [await status_of(access, header, "10.0.0.9") for header in (basic("listen:again"), RIGHT)]
    with_token = await status_of(access, None, "10.0.0.9", token="lctok_guess")

    assert [*statuses, with_token] == [429, 429, 429]
    assert len(computed) == before
    # Others, and those who were let in from there, notice nothing.
    assert await status_of(access, RIGHT, "10.0.0.8") == 101
    assert await status_of(access, basic("bob:right"), "10.0.0.9") == 101
    set_user(users, "bob", hash_password("changed"))
    os.utime(users, ns=(1, 1))
    assert await status_of(access, basic("bob:changed"), "10.0.0.9") == 101
    await asyncio.sleep(WINDOW)
    assert await status_of(access, basic("new:right"), "10.0.0.9") == 101


async def test_one_application_with_wrong_credentials_does_not_use_up_the_attempts_of_its_address(users: Path) -> None:
    set_user(users, "new", hash_password("right"))
    access = file_credentials(users)

    wrong = [await status_of(access, basic("listen:old"), "10.0.0.9") for _ in range(3 * MAX_FAILURES)]

    assert set(wrong) == {401}
    assert await status_of(access, basic("new:right"), "10.0.0.9") == 101


async def test_what_is_wrong_is_answered_late_and_what_is_missing_at_once(users: Path) -> None:
    access = file_credentials(users)
    loop = asyncio.get_running_loop()
    began = loop.time()

    assert await status_of(access, None) == 401
    at_once = loop.time() - began
    for authorization, token in ((basic("listen:no"), None), (basic("listen:no"), None), (None, "lctok_no")):
        assert await status_of(access, authorization, token=token) == 401

    assert at_once == 0
    assert loop.time() - began == pytest.approx(3 * DELAY)


async def test_a_peer_is_told_when_it_may_try_again(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.server.access.failure_limit.MAX_FAILURES", 1)
    async with running(faster(credentials=file_credentials(users))) as run:
        await run.ask(request("Authorization: " + basic("listen:wrong")))
        answer = await run.ask(request(f"Authorization: {RIGHT}"))
        refused = await run.events.wait_for("connection-refused", 2)

    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 59\r\n" in answer
    assert refused["reason"] == "too many wrong credentials came from this address; it may try again in 59 s"


async def test_a_user_without_the_right_to_record_may_not_connect_calls(users: Path) -> None:
    set_user(users, "listen", hash_password("s3cret"), frozenset({Right.CONTROL}))
    async with running(faster(credentials=file_credentials(users))) as run:
        answers = [await run.ask(request(f"Authorization: {RIGHT}")) for _ in range(2)]
        set_user(users, "listen", hash_password("s3cret"), frozenset(Right))
        os.utime(users, ns=(1, 1))
        granted = await (await run.open(request(f"Authorization: {RIGHT}"))).read_head()

    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"the user listen may not connect calls: the right record is missing in the auth file" in answer
    assert granted.startswith(b"HTTP/1.1 101 ")


TOKEN = "lctok_0123456789abcdefghijklmnopqrstuv"


def to(target: str, *headers: str) -> bytes:
    return request(*headers).replace(b"/calls?x=1", target.encode())


@pytest.mark.parametrize(
    ("target", "without"),
    [
        (f"/{TOKEN}/calls?x=1", "/calls?x=1"),
        (f"/calls?token={TOKEN}&x=1", "/calls?x=1"),
        (f"/calls?x=1&token={TOKEN}", "/calls?x=1"),
        (f"/calls?token={TOKEN}", "/calls"),
        (f"/{TOKEN}/calls?token={TOKEN}", "/calls"),
    ],
)
async def test_a_token_in_the_url_gives_access_and_is_nowhere_to_be_seen(
    target: str, without: str, users: Path, tmp_path: Path
) -> None:
    set_user(users, "app", hash_token(TOKEN))
    credentials = file_credentials(users)
    settings = faster(credentials=credentials, path="/calls")
    async with running(settings, record=tmp_path / "out") as run, dumping(run.server, tmp_path) as dumper:
        assert dumper is not None
        wait_for_writer(dumper._writer)
        # What jambonz keeps of an earlier listen matters no more.
        peer = await run.open(to(target, "Authorization: " + basic("another:listen")), text("{}"))
        assert (await peer.read_head()).startswith(b"HTTP/1.1 101 ")
        started = await run.events.wait_for("call-started")
        await peer.send(close())
        saved = await run.events.wait_for("recording-saved")
        dumped = await run.events.wait_for("dump-saved")

    assert started["target"] == read_sidecar(saved)["target"] == without
    dump = Path(dumped["path"]).read_text()  # noqa: ASYNC240 - a small file
    assert without in dump
    assert TOKEN not in dump
    assert TOKEN not in str(run.events.all)


@pytest.mark.parametrize("target", [f"/{TOKEN}/calls", f"/calls?token={TOKEN}"])
@pytest.mark.parametrize("with_access", [True, False])
async def test_a_token_of_nobody_is_refused_and_not_shown_either(target: str, with_access: bool, users: Path) -> None:
    async with running(faster(credentials=file_credentials(users) if with_access else None, path="/other")) as run:
        answer = await run.ask(to(target, f"Authorization: {RIGHT}"))
        refused = await run.events.wait_for("connection-refused")

    assert (refused["status"], refused["target"]) == (401 if with_access else 404, "/calls")
    assert "lctok_" not in str(run.events.all)
    assert b"lctok_" not in answer


async def test_a_token_is_no_password(users: Path) -> None:
    set_user(users, "app", hash_token(TOKEN))

    assert await status_of(file_credentials(users), basic(f"app:{TOKEN}")) == 401


async def test_the_loop_goes_on_while_a_password_is_verified(users: Path) -> None:
    access = file_credentials(users)
    task = asyncio.ensure_future(allows(access, RIGHT))
    turns = 0

    while not task.done():
        turns += 1
        await asyncio.sleep(0)

    assert task.result() is True
    assert turns > 3


async def test_a_file_that_changes_is_read_again(users: Path) -> None:
    access = file_credentials(users)
    assert await allows(access, RIGHT)

    set_user(users, "listen", hash_password("another"))
    # Whatever the clock says, it is another time.
    os.utime(users, ns=(1, 1))

    assert not await allows(access, RIGHT)
    assert await allows(access, basic("listen:another"))


@pytest.mark.parametrize("edited", [False, True])
async def test_wrong_passwords_of_a_known_name_keep_nobody_out(edited: bool, users: Path, computed: list[str]) -> None:
    set_user(users, "bob", hash_password("right"))
    access = file_credentials(users)
    assert await allows(access, RIGHT, "10.0.0.1")
    if edited:
        set_user(users, "bob", hash_password("new"))
        os.utime(users, ns=(1, 1))
    wrong = [asyncio.ensure_future(allows(access, basic(f"listen:{number}"), "10.0.0.9")) for number in range(30)]
    await asyncio.sleep(0)

    verdicts = await asyncio.gather(
        allows(access, basic("bob:new" if edited else "bob:right"), "10.0.0.2"), allows(access, RIGHT, "10.0.0.1")
    )

    assert all(verdicts)
    assert len(computed) < 20
    assert not any(await asyncio.gather(*wrong))


async def test_an_edited_file_costs_no_verification_of_those_it_left(users: Path, computed: list[str]) -> None:
    access = file_credentials(users)
    assert await allows(access, RIGHT)

    set_user(users, "another", hash_password("x"))
    os.utime(users, ns=(1, 1))

    assert await allows(access, RIGHT)
    assert computed == ["s3cret"]


def spoil(path: Path, content: str | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
        os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("content", ["half an ent", None], ids=["broken", "gone"])
async def test_a_file_that_cannot_be_read_again_leaves_in_whom_it_let_in(content: str | None, users: Path) -> None:
    access = file_credentials(users)

    spoil(users, content)

    assert await allows(access, RIGHT)


async def test_a_client_is_told_that_too_many_passwords_wait(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.server.access.verification_queue.MAX_WAITING_OF_CLIENT", 0)
    async with running(faster(credentials=file_credentials(users))) as run:
        answer = await run.ask(request(f"Authorization: {RIGHT}"))

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After" in answer
