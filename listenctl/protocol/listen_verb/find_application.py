"""
Find the application, an array of verbs, in what carries it: a message of the WebSocket API, or the body of a REST
request.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from listenctl.errors import UsageError
from listenctl.protocol.listen_verb.verb_json import read_json

_CARRIERS = "give the verbs, an `ack`, a `command` of the type redirect, or a REST body with app_json"
_ROOM_BODY = ("url", "wsUrl")


@dataclass(frozen=True, slots=True)
class Application:
    """An application, or the body of a request to tap a room, at its place in the document."""

    value: object
    path: str = ""
    taps_room: bool = False


def find_application(document: object, where: str) -> Application:
    """Return the application in a document; raises UsageError for one that carries none."""
    if not isinstance(document, dict) or "verb" in document:
        return Application(document)
    if isinstance(document.get("type"), str):
        return _in_message(document, where)
    if "app_json" in document:
        return _in_app_json(document["app_json"], where)
    if any(isinstance(document.get(name), str) for name in _ROOM_BODY):
        return Application(document, taps_room=True)
    if "call_hook" in document or "application_sid" in document:
        raise UsageError(f"{where}: names an application instead of verbs; give what the application answers")
    if len(document) == 1:
        return Application(document)
    raise UsageError(f"{where}: has no `verb`; {_CARRIERS}")


def _in_message(message: Mapping[str, object], where: str) -> Application:
    kind, command, data = message["type"], message.get("command"), message.get("data")
    if kind not in ("ack", "command"):
        raise UsageError(f"{where}: a message of the type {str(kind)[:40]!r} carries no verbs; {_CARRIERS}")
    if kind == "command" and command != "redirect":
        raise UsageError(f"{where}: the command {str(command)[:40]!r} carries no application; {_CARRIERS}")
    if isinstance(data, list):
        return Application(data, "data")
    if isinstance(data, dict) and "call_hook" in data:
        raise UsageError(f"{where}: data names a call_hook instead of verbs; give what that URL answers")
    raise UsageError(f"{where}: data is no array of verbs; {_CARRIERS}")


def _in_app_json(value: object, where: str) -> Application:
    """Read the application of a call or an application over REST: JSON in a string."""
    inner = read_json(value, f"{where}: app_json") if isinstance(value, str) else value
    return Application(inner, "app_json")
