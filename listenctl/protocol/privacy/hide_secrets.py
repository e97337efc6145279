"""
Hide what looks like a secret in what users and files are shown of a handshake: values in queries, subprotocols in which
clients of other services send keys, and credentials. What is sent on the wire is never changed.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote

from listenctl.protocol.opening_handshake import SUBPROTOCOLS
from listenctl.protocol.privacy.path_token import TOKEN_PREFIX

HIDDEN = "***"
MAX_TARGET = 8192
"""Characters of a path and query that are shown; jambonz sends at most half of it."""

_PARAMETER = re.compile(r"([?&;#])([^?&;#]*)")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORD = re.compile(
    "auth|authentication|authorization|bearer|cookie|creds?|credentials?|hmac|jwt|key|otp|pass|passcode|passphrase"
    "|passwd|password|pin|pw|pwd|sas|secret|session|sig|signature|ticket|token"
)
_SECRET_ENDS = ("token", "secret", "password", "passwd", "apikey", "accesskey", "authkey", "signature", "sessionid")
_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# A signed token has three parts (RFC 7515 3.1), an encrypted one five, of which one may be empty (RFC 7516 3.1).
# The pattern looks at each word before a dot once: a peer could make a search at each "eyJ" of a long word slow.
_WEB_TOKEN = re.compile(r"(?<![\w-])(?=[\w-]*\.)[\w-]*?eyJ[\w-]{8}")
# Keys that services mark as such.
_KEY = re.compile(r"(?:sk|pk|rk|xox[abprs]|gh[pousr]|glpat|AKIA|ASIA|AIza)[-_A-Za-z0-9]{16,}")
_RANDOM = re.compile(r"[A-Za-z0-9+/_=.~-]{20,}")
# The name of a protocol has words that are common in such names, at most one other word, such as that of a site, and a
# version. Keys have digits among letters, capitals, or more characters; a passphrase has several words.
_PROTOCOL_NAME = re.compile(r"(?=.{2,24}$)(?:[a-z]{2,10}|v?\d{1,2})(?:[.-](?:[a-z]{2,10}|v?\d{1,2})){0,3}")
_PROTOCOL_WORD = re.compile(
    "audio|chat|com|drachtio|graphql|io|jambonz|json|jsonrpc|listen|mqtt|net|ocpp|org|realtime|rtp|sip|soap|stomp"
    "|stream|transport|wamp|ws|xmpp"
)
_MAX_OTHER_WORD = 8
_MAX_NUMBERS = 2
_SCHEME = re.compile(r"(?i)(basic|bearer|digest|negotiate|ntlm|token|hmac|aws4-hmac-sha256) ")
_USER_INFO = re.compile(r"(?<=://)[^/?#@]*@")


def shown_target(target: str) -> str:
    """Return a path and query without values that look like secrets, and without a fragment's."""
    target = target[:MAX_TARGET]
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    shown = "/".join(HIDDEN if _is_key(unquote(part)) else part for part in path.split("/"))
    return shown + _PARAMETER.sub(_shown_parameter, target[len(path) :])


def shown_url(url: str) -> str:
    """Return a URL in the same way, and without a user's name and password."""
    scheme, colons, rest = _USER_INFO.sub(f"{HIDDEN}@", url).partition("://")
    return f"{scheme}://{shown_target(rest)}" if colons else shown_target(url)


def shown_subprotocols(value: str | None, known: Iterable[str | None] = ()) -> str | None:
    """
    Return the value of a header of subprotocols. Those of jambonz and ``known`` ones are shown, and others that can
    only be the name of a protocol; none of these beside a word such as ``token``, as which a key may follow.
    """
    if value is None or value in SUBPROTOCOLS:
        return value
    names = [part.strip() for part in value.split(",")]
    shown = {*SUBPROTOCOLS, *known}
    if not any(looks_secret(name, "") for name in names):
        shown |= {name for name in names if _is_protocol_name(name)}
    return ", ".join(name if name in shown else HIDDEN for name in names)


def shown_authorization(value: str | None) -> str | None:
    """Return the scheme of an Authorization header, which may be nothing but a key."""
    if value is None:
        return None
    scheme = _SCHEME.match(value)
    return scheme[1] if scheme else HIDDEN


def looks_secret(name: str, value: str) -> bool:
    name = unquote(name)
    words = any(_SECRET_WORD.fullmatch(word.lower()) for word in _WORD.findall(name))
    return words or re.sub(r"[^a-z]", "", name.lower()).endswith(_SECRET_ENDS) or _looks_random(unquote(value))


def _shown_parameter(found: re.Match[str]) -> str:
    mark, parameter = found.groups()
    name, equals, value = parameter.partition("=")
    if not equals:
        return mark + (HIDDEN if _looks_random(unquote(parameter)) else parameter)
    return f"{mark}{name}={HIDDEN}" if value and looks_secret(name, value) else found[0]


def _is_protocol_name(name: str) -> bool:
    if not _PROTOCOL_NAME.fullmatch(name):
        return False
    parts = re.split("[.-]", name)
    words = [part for part in parts if part.isalpha()]
    others = [word for word in words if not _PROTOCOL_WORD.fullmatch(word)]
    named = len(others) < min(2, len(words)) and all(len(word) <= _MAX_OTHER_WORD for word in others)
    return named and len(parts) - len(words) <= _MAX_NUMBERS


def _is_key(part: str) -> bool:
    # Words in a path may contain the mark of a key: "risk-".
    return TOKEN_PREFIX in part or _WEB_TOKEN.search(part) is not None or _KEY.fullmatch(part) is not None


def _looks_random(value: str) -> bool:
    if _UUID.fullmatch(value):
        return False
    if TOKEN_PREFIX in value or _WEB_TOKEN.search(value) or _KEY.search(value):
        return True
    mixed = any(one.isdigit() for one in value) and any(one.isalpha() for one in value)
    return mixed and _RANDOM.fullmatch(value) is not None and not _UUID.search(value)
