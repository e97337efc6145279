"""``listenctl passwd``: set the password of a user in an auth file."""

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
    delete: Annotated[bool, typer.Option("--delete", help="Remove the user from the file")] = False,
) -> int:
    """
    Set the password of a user in an auth file.

    On a terminal it asks for the password twice; otherwise it reads the first line of stdin. `serve` and `record` use
    the file.
    """
    from listenctl.protocol.opening_handshake import MAX_CREDENTIAL_CHARACTERS
    from listenctl.server.access.check_credentials import hash_password, set_user

    if not user or ":" in user or user.startswith("#") or not user.isprintable():
        raise UsageError("a user name must be printable, without a colon, and must not begin with #")
    if delete:
        if file is None:
            raise UsageError("--delete needs the auth file")
        set_user(file, user, None)
        return 0
    password = _read_password()
    if len(user) + len(password) > MAX_CREDENTIAL_CHARACTERS:
        raise UsageError(
            f"jambonz truncates credentials to {MAX_CREDENTIAL_CHARACTERS} characters, user and password together; "
            f"these have {len(user) + len(password)}"
        )
    hashed = hash_password(password)
    if file is None:
        typer.echo(f"{user}:{hashed}")
    else:
        set_user(file, user, hashed)
    return 0


command = passwd


def _read_password() -> str:
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise UsageError("the two passwords differ; nothing was changed")
    if not password:
        raise UsageError("the password is empty; jambonz would send no credentials")
    return os.fsencode(password).decode(errors="surrogateescape")
