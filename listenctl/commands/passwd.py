"""``listenctl passwd``: set the password, token or rights of a user in an auth file."""

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from listenctl.errors import UsageError


def passwd(
    user: Annotated[str, typer.Argument(help="User name, as in wsAuth.username of the `listen` verb")],
    file: Annotated[
        Path | None,
        typer.Argument(help="Auth file, created if missing; without one the entry is printed"),
    ] = None,
    token: Annotated[
        bool, typer.Option("--token", help="Make a token for the URL of `listen`, instead of a password, and print it")
    ] = False,
    rights: Annotated[
        str | None,
        typer.Option(
            "--rights",
            help="What the user may do: record, control, or both with a comma between them [default: record]",
            metavar="RIGHTS",
        ),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the user from the file")] = False,
) -> int:
    """
    Set the password of a user in an auth file.

    On a terminal it asks for the password twice; otherwise it reads the first line of stdin. With --token it makes a
    token instead. `serve` and `record` use the file.
    """
    from listenctl.protocol.privacy.path_token import make_token
    from listenctl.server.access.auth_file import DEFAULT_RIGHTS, User, parse_rights, set_user
    from listenctl.server.access.secret_hashes import hash_password, hash_token

    if not user or ":" in user or user.startswith("#") or not user.isprintable():
        raise UsageError("a user name must be printable, without a colon, and must not begin with #")
    if file is None and (delete or token):
        raise UsageError(f"{'--delete' if delete else '--token'} needs the auth file")
    if delete and (token or rights is not None):
        raise UsageError("--delete removes the user; leave out --token and --rights")
    try:
        allowed = None if rights is None else parse_rights(rights)
    except ValueError as exc:
        raise UsageError(f"--rights: {exc}") from exc
    if delete and file is not None:
        set_user(file, user, None)
    elif token and file is not None:
        made = make_token()
        set_user(file, user, hash_token(made), allowed)
        typer.echo(made)
    elif file is not None:
        set_user(file, user, hash_password(_read_password(user)), allowed)
    else:
        typer.echo(User(user, hash_password(_read_password(user)), allowed or DEFAULT_RIGHTS).serialize())
    return 0


command = passwd


def _read_password(user: str) -> str:
    """Return the password from the terminal or stdin; raises UsageError for one that jambonz can't send."""
    from listenctl.protocol.opening_handshake import MAX_CREDENTIAL_CHARACTERS

    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise UsageError("the two passwords differ; nothing was changed")
    if not password:
        raise UsageError("the password is empty; jambonz would send no credentials")
    if len(user) + len(password) > MAX_CREDENTIAL_CHARACTERS:
        raise UsageError(
            f"jambonz truncates credentials to {MAX_CREDENTIAL_CHARACTERS} characters, user and password together; "
            f"these have {len(user) + len(password)}"
        )
    return os.fsencode(password).decode(errors="surrogateescape")
