"""
Tokens that let a client in, in the URL of the `listen` verb: as the first part of the path, or as ``token`` in the
query. Their prefix tells them from everything else, so that they are found, and hidden, wherever they are.
"""

import re
import secrets

TOKEN_PREFIX = "lctok_"
_RANDOM_BYTES = 24
_IN_PATH = re.compile(rf"/({TOKEN_PREFIX}[^/?#]*)(?=[/?#]|$)")
_IN_QUERY = re.compile(rf"([?&;])token=({TOKEN_PREFIX}[^&;#]*)(&?)")


def make_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def take_token(target: str) -> tuple[str | None, str]:
    """Return the token in a path and query, None if there is none, and the target without any."""
    token = None
    if TOKEN_PREFIX not in target:
        return None, target
    if in_path := _IN_PATH.match(target):
        token, target = in_path[1], target[in_path.end() :]
        target = target if target.startswith("/") else f"/{target}"
    while in_query := _IN_QUERY.search(target):
        token = token or in_query[2]
        mark = in_query[1] if in_query[3] else ""
        target = target[: in_query.start()] + mark + target[in_query.end() :]
    return token, target
