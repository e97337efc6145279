"""
Tags of a recording in FLAC, Ogg and MP3: who called whom, when, and under which id.

libsndfile writes only the fields of music: the caller is the artist. The comment has everything, because ID3 cuts other
fields: the date to its year, and every field to 30 characters unless one is longer.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from listenctl.protocol.call_metadata import CallMetadata

_MAX_VALUE = 100


def recording_tags(metadata: CallMetadata, started: float) -> Mapping[str, str]:
    """Return the tags by libsndfile's names; ``started`` is Unix time."""
    caller, callee, call_sid = (_clean(value) for value in (metadata.caller, metadata.callee, metadata.call_sid))
    date = _date(started)
    parties = [f"from {caller}"] if caller else []
    parties += [f"to {callee}"] if callee else []
    facts = {"caller": caller, "callee": callee, "date": date, "callSid": call_sid}
    tags = {
        "title": " ".join(["Call", *parties]),
        "artist": caller,
        "date": date,
        "comment": "; ".join(f"{name}={value}" for name, value in facts.items() if value),
    }
    return {name: value for name, value in tags.items() if value}


def _date(started: float) -> str:
    try:
        return datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""


def _clean(value: str | None) -> str:
    """Return a value of the peer without what isn't printable, and of limited length."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in (value or "")[:_MAX_VALUE])
