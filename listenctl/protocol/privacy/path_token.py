"""
Tokens that let a client in, in the URL of the `listen` verb: as the first part of the path, or as ``token`` in the
query. Their prefix tells them from everything else, so that they are found, and hidden, wherever they are.
"""

import re
import secrets

TOKEN_PREFIX = "lctok_"
_RANDOM_BYTES = 24
_IN_PATH = re.compile(rf"/({TOKEN_PREFIX}[^/?#]*)(?=[/?#]|$)")
_PARAMETER = "token="


def make_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def take_token(target: str) -> tuple[str | None, str]:
    """Return the token in a path and query, None if there is none, and the target without any."""
    if TOKEN_PREFIX not in target:
        return None, target
    tokens = []
    if in_path := _IN_PATH.match(target):
        tokens.append(in_path[1])
        rest = target[in_path.end() :]
        target = rest if rest.startswith("/") else f"/{rest}"
    before, sharp, fragment = target.partition("#")
    path, mark, query = before.partition("?")
    kept = []
    for parameter in query.split("&"):
        if parameter.startswith(_PARAMETER + TOKEN_PREFIX):
            tokens.append(parameter.removeprefix(_PARAMETER))
        else:
            kept.append(parameter)
    mark = mark if kept else ""
    return (tokens[0] if tokens else None), f"{path}{mark}{'&'.join(kept)}{sharp}{fragment}"
