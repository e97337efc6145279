"""Who may connect: the ways to say so, and what that costs."""

import asyncio
import base64
import os
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.server.access import check_credentials as access
from listenctl.server.access.check_credentials import (
    CredentialsCheck,
    CredentialsFile,
    SharedCredentials,
    hash_password,
    set_user,
    verify_password,
)
from tests.helpers.frames import HANDSHAKE
from tests.helpers.server import faster, running

pytestmark = pytest.mark.simulated_time

# V1 in listenctl-protocol(7) 11: listen / s3cret.
RIGHT = "Basic bGlzdGVuOnMzY3JldA=="


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def request(*headers: str) -> bytes:
    return HANDSHAKE[:-2] + b"".join(f"{header}\r\n".encode() for header in headers) + b"\r\n"


async def allows(access: CredentialsCheck, authorization: str | None, client: str = "") -> bool:
    verdict = access.check_authorization(authorization, client)
    return bool(verdict if isinstance(verdict, bool) else await verdict)


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
    credentials = SharedCredentials("listen:s3cret") if shared else CredentialsFile(users)
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
    async with running(faster(credentials=SharedCredentials("listen:s3cret"), path="/elsewhere")) as run:
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
        SharedCredentials(credentials)


async def test_a_password_is_verified_once_and_then_remembered(users: Path, computed: list[str]) -> None:
    access = CredentialsFile(users)

    verdicts = await asyncio.gather(*(allows(access, RIGHT) for _ in range(100)))

    assert all(verdicts)
    assert access.check_authorization(RIGHT) is True
    assert computed == ["s3cret"]


async def test_one_who_gives_up_waiting_leaves_the_others_their_verdict(users: Path) -> None:
    access = CredentialsFile(users)
    impatient = asyncio.create_task(allows(access, RIGHT))
    patient = asyncio.create_task(allows(access, RIGHT))
    await asyncio.sleep(0)

    impatient.cancel()

    assert await patient
    assert impatient.cancelled()


async def test_what_is_wrong_is_verified_each_time_also_for_an_unknown_user(users: Path, computed: list[str]) -> None:
    access = CredentialsFile(users)

    verdicts = [await allows(access, basic(credentials)) for credentials in ("listen:no", "nobody:no", "nobody:no")]

    assert verdicts == [False, False, False]
    assert computed == ["no", "no", "no"]


async def test_the_loop_goes_on_while_a_password_is_verified(users: Path) -> None:
    access = CredentialsFile(users)
    verdict = access.check_authorization(RIGHT)
    assert not isinstance(verdict, bool)
    task = asyncio.ensure_future(verdict)
    turns = 0

    while not task.done():
        turns += 1
        await asyncio.sleep(0)

    assert task.result() is True
    assert turns > 3


async def test_a_file_that_changes_is_read_again(users: Path) -> None:
    access = CredentialsFile(users)
    assert await allows(access, RIGHT)

    set_user(users, "listen", hash_password("another"))
    # Whatever the clock says, it is another time.
    os.utime(users, ns=(1, 1))

    assert not await allows(access, RIGHT)
    assert await allows(access, basic("listen:another"))


@pytest.mark.parametrize("edited", [False, True])
async def test_wrong_passwords_of_a_known_name_keep_nobody_out(edited: bool, users: Path, computed: list[str]) -> None:
    set_user(users, "bob", hash_password("right"))
    access = CredentialsFile(users)
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
    assert len(computed) <= 8
    assert not any(await asyncio.gather(*wrong))


async def test_an_edited_file_costs_no_verification_of_those_it_left(users: Path, computed: list[str]) -> None:
    access = CredentialsFile(users)
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
    access = CredentialsFile(users)

    spoil(users, content)

    assert await allows(access, RIGHT)


@pytest.mark.parametrize(
    "line",
    ["listen", "listen:s3cret", "listen:scrypt$x", "listen:scrypt$3$YQ==$YQ==", "listen:scrypt$1073741824$YQ==$YQ=="],
)
def test_a_file_with_a_line_that_is_no_entry_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"# who may connect\n\n{line}\n")

    with pytest.raises(UsageError, match="line 3: not user:hash"):
        CredentialsFile(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't read the file"):
        CredentialsFile(tmp_path / "users")


def test_a_hash_holds_for_its_password_only() -> None:
    hashed = hash_password("pässword")

    assert hashed != hash_password("pässword")
    assert ":" not in hashed
    assert verify_password("pässword", hashed)
    assert not verify_password("password", hashed)


def test_setting_a_user_keeps_comments_and_the_others(users: Path) -> None:
    users.write_text("# mine\n" + users.read_text())

    set_user(users, "second", hash_password("x"))
    set_user(users, "listen", None)

    lines = users.read_text().splitlines()
    assert lines[0] == "# mine"
    assert [line.partition(":")[0] for line in lines[1:]] == ["second"]
    assert users.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="no user 'listen'"):
        set_user(users, "listen", None)


async def test_a_client_is_told_that_too_many_passwords_wait(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.server.access.verification_queue.MAX_WAITING_OF_CLIENT", 0)
    async with running(faster(credentials=CredentialsFile(users))) as run:
        answer = await run.ask(request(f"Authorization: {RIGHT}"))

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After" in answer


def test_a_full_disk_leaves_the_users_as_they_were_and_no_part(tiny: Path) -> None:
    path = tiny / "users"
    set_user(path, "ann", hash_password("x"))
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        (tiny / "ballast").write_bytes(bytes(300_000))

    with pytest.raises(UsageError, match="users: can't write the file: No space left on device"):
        set_user(path, "bob", hash_password("y"))

    assert path.read_bytes() == before
    assert sorted(one.name for one in tiny.iterdir()) == ["ballast", "users"]
