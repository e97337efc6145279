"""``listenctl passwd``: write the entry of a user into an auth file."""

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from listenctl.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
def passwd(
    user: Annotated[str, typer.Argument(help="The user, as wsAuth.username of the `listen` verb says it.")],
    file: Annotated[
        Path | None,
        typer.Argument(help="The auth file; it is made if need be. Without one the entry is printed."),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the user out of the file.")] = False,
) -> int:
    """
    Set the password of a user in an auth file for `serve` and `record`.

    The password is asked for twice on a terminal, and read from the first line of stdin otherwise.
    """
    from listenctl.protocol.opening_handshake import MAX_CREDENTIAL_CHARACTERS
    from listenctl.server.check_credentials import hash_password, set_user

    if not user or ":" in user or user.startswith("#") or not user.isprintable():
        raise UsageError("a user name is printable, has no colon and doesn't begin with #")
    if delete:
        if file is None:
            raise UsageError("--delete needs the file to take the user out of")
        set_user(file, user, None)
        return 0
    password = _read_password()
    if len(user) + len(password) > MAX_CREDENTIAL_CHARACTERS:
        raise UsageError(
            f"jambonz cuts credentials of more than {MAX_CREDENTIAL_CHARACTERS} characters, user and password "
            f"together; these have {len(user) + len(password)}"
        )
    hashed = hash_password(password)
    if file is None:
        typer.echo(f"{user}:{hashed}")
    else:
        set_user(file, user, hashed)
    return 0


def _read_password() -> str:
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise UsageError("the two passwords differ; nothing was changed")
    if not password:
        raise UsageError("the password is empty; jambonz sends no credentials then")
    return os.fsencode(password).decode(errors="surrogateescape")
