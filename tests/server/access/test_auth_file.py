"""Who is in the auth file, and what they may do."""

import os
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.server.access.auth_file import AuthFile, Right, User, parse_users, set_user
from listenctl.server.access.secret_hashes import hash_password, hash_token


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    set_user(path, "listen", hash_password("s3cret"))
    return path


@pytest.mark.parametrize(
    "line",
    ["listen", "listen:s3cret", "listen:scrypt$x", "listen:scrypt$3$YQ==$YQ==", "listen:scrypt$1073741824$YQ==$YQ=="],
)
def test_a_file_with_a_line_that_is_no_entry_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"# who may connect\n\n{line}\n")

    with pytest.raises(UsageError, match="line 3: not user:hash"):
        AuthFile(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't read the file"):
        AuthFile(tmp_path / "users")


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


def test_rights_are_a_column_that_old_files_lack(tmp_path: Path) -> None:
    hashed, digest = hash_password("x"), hash_token("y")
    text = f"old:{hashed}\nboth:{hashed}:record,control\nother:{digest}: control\n"

    users = parse_users(text, "users")

    assert {name: user.rights for name, user in users.items()} == {
        "old": {Right.RECORD},
        "both": set(Right),
        "other": {Right.CONTROL},
    }
    assert [user.serialize() for user in users.values()] == [
        f"old:{hashed}",
        f"both:{hashed}:control,record",
        f"other:{digest}:control",
    ]
    assert hashed not in repr(users)


@pytest.mark.parametrize("rights", ["", "admin", "record,", "record;control"])
def test_a_right_that_there_is_not_is_refused(rights: str) -> None:
    line = User("listen", hash_password("x")).serialize()

    with pytest.raises(UsageError, match=r"users, line 2: no rights: .*; give record or control, or both"):
        parse_users(f"\n{line}:{rights}\n", "users")


def test_a_new_password_leaves_a_user_its_rights(users: Path) -> None:
    set_user(users, "listen", hash_password("a"), frozenset(Right))
    set_user(users, "listen", hash_password("b"))
    assert parse_users(users.read_text(), "users")["listen"].rights == set(Right)

    set_user(users, "listen", hash_password("c"), frozenset({Right.RECORD}))
    assert parse_users(users.read_text(), "users")["listen"].rights == {Right.RECORD}


def test_users_are_the_same_object_until_the_file_changes(users: Path) -> None:
    file = AuthFile(users)
    before = file.read_users()

    assert file.read_users() is before
    set_user(users, "second", hash_token("x"))
    os.utime(users, ns=(1, 1))
    assert sorted(file.read_users()) == ["listen", "second"]


def test_a_file_is_read_again_when_anything_about_it_has_changed(users: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, right = AuthFile(users), users.read_text()
    for text in ("broken\n", right + f"second:{hash_token('x')}\n", "broken\n"):
        users.write_text(text)
        os.utime(users, ns=(1, 1))
        found = file.read_users()
        file.read_users()

    assert sorted(found) == ["listen", "second"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{users}, line 1: not user:hash; write entries with `listenctl passwd`; "
        "the users that it had before may still connect"
    ] * 2
