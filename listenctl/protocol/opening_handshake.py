"""Subprotocols, and Basic authentication with the limits of jambonz (listenctl-protocol(7) 1)."""

from base64 import b64encode
from dataclasses import dataclass, field

SUBPROTOCOLS = ("audio.jambonz.org", "audio.drachtio.org")
JAMBONZ_SUBPROTOCOL = SUBPROTOCOLS[0]
"""What jambonz offers; bare drachtio offers the other."""
MAX_CREDENTIAL_CHARACTERS = 89


@dataclass(frozen=True, slots=True)
class Credentials:
    """What Basic authentication sends, from ``wsAuth`` or an action hook; its ``repr`` hides the password."""

    username: str
    password: str = field(repr=False)


def basic_authorization(credentials: Credentials | None) -> tuple[str | None, str | None]:
    """Return jambonz's header for at most 89 characters of credentials (listenctl-protocol(7) 1.4), and a warning."""
    if credentials is None:
        return None, None
    user, password = credentials.username, credentials.password
    if not user or not password:
        return None, "jambonz sends no authorization without both user name and password"
    size = len(user.encode()) + len(password.encode())
    if size > MAX_CREDENTIAL_CHARACTERS + 1:
        return None, f"user name and password have {size} characters; above 90 jambonz silently sends no authorization"
    clear = f"{user}:{password}".encode()
    warning = "jambonz sends a user name with a colon as it is; a server splits at that colon" if ":" in user else None
    if size > MAX_CREDENTIAL_CHARACTERS:
        clear = clear[:-1]
        warning = "user name and password have 90 characters; jambonz cuts off the last one of the password"
    return f"Basic {b64encode(clear).decode()}", warning
