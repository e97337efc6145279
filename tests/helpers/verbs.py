"""Verbs as an application writes them, and what is made of them."""

import json

import pytest

from listenctl.errors import UsageError
from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from listenctl.protocol.listen_verb.parse_listen_verb import parse_listen_verb

URL = "wss://app.example.com/listen"


def parse(document: object, profile: Profile = CURRENT) -> ListenVerb:
    return parse_listen_verb(json.dumps(document).encode(), where="verb.json", profile=profile)


def listen(**options: object) -> dict[str, object]:
    return {"verb": "listen", "url": URL, **options}


def config(**options: object) -> dict[str, object]:
    return {"verb": "config", "listen": {"enable": True, "url": URL, **options}}


def error_of(raw: bytes | object) -> str:
    data = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    with pytest.raises(UsageError) as caught:
        parse_listen_verb(data, where="verb.json", profile=CURRENT)
    return str(caught.value)
