"""DEST in object storage, such as ``s3://bucket/{year}/{month}/{callSid}.wav``: the store, and the key of each call."""

import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Self

from listenctl.errors import UsageError
from listenctl.media.files.recording_names import CallTimes, RecordingDestination
from listenctl.media.files.sidecar import Sidecar

PORTAL_NAME = "{end.year}/{end.month}/{end.day}/{callSid}"
"""
Where jambonz's API server looks for the recording of a call: under the day of its hang-up, as the SBC sees it
(listenctl-protocol(7) 9).
"""
NEAR_MIDNIGHT = 10.0
"""Seconds within which the day of the hang-up isn't certain: the SBC notes it on its own clock, and a moment apart."""

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_ROOT_PARTS = {"s3": 1, "gs": 1, "az": 2, "file": 0}
"""How many parts of a URL, after its scheme, name the store; of ``file`` it is all folders that have a fixed name."""
_EXAMPLES = {"s3": "s3://BUCKET/", "gs": "gs://BUCKET/", "az": "az://ACCOUNT/CONTAINER/", "file": "file:///FOLDER/"}


def is_storage_url(text: str) -> bool:
    return _URL.match(text) is not None


@dataclass(frozen=True, slots=True)
class StorageDestination:
    store_url: str
    names: RecordingDestination
    for_portal: bool = False  # whether names are those that jambonz's portal looks for

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        kind: str | None = None,
        zone: tzinfo = UTC,
        for_portal: bool = False,
        redact: bool = False,
    ) -> Self:
        """Parse a URL; ``kind`` is the value of ``--format``. Raises UsageError."""
        url = _URL.fullmatch(text)
        scheme = url["scheme"].lower() if url else ""
        if url is None or scheme not in _ROOT_PARTS:
            raise UsageError(f"{text}: can't record there; object storage is {', '.join(_EXAMPLES.values())}")
        root, name = _split(scheme, url["rest"])
        if not all(root) or "@" in root[0] or any("{" in part for part in root):
            raise UsageError(f"{scheme}://: name the store as in {_EXAMPLES[scheme]}, without credentials")
        if for_portal:
            if "{" in name:
                raise UsageError(f"{text}: --layout jambonz names the recordings; leave out the name template")
            name = f"{name.rstrip('/')}/{PORTAL_NAME}".lstrip("/")
        names = RecordingDestination.parse(
            name or "{callSid}.wav", kind=kind, zone=zone, named_at_end=True, redact=redact
        )
        return cls(f"{scheme}://{'/'.join(root)}", names, for_portal)

    def keys(self, sidecar: Sidecar) -> list[str]:
        """Return the key of a recording without an extension, and others under which it must be found, too."""
        ended = sidecar.started if sidecar.ended is None else sidecar.ended
        ends = [ended, ended - NEAR_MIDNIGHT, ended + NEAR_MIDNIGHT] if self.for_portal else [ended]
        names = (self.names.name(sidecar.metadata.get_field, CallTimes(sidecar.started, end)) for end in ends)
        return list(dict.fromkeys(name.strip("/") for name in names))

    def url_of(self, key: str) -> str:
        return f"{self.store_url.rstrip('/')}/{key}"


def _split(scheme: str, rest: str) -> tuple[list[str], str]:
    """Return the parts of a URL that name the store, and the name template."""
    if scheme == "file":
        folder, slash, _ = rest.partition("{")[0].rpartition("/")
        return [folder or slash] if rest.startswith("/") else [""], rest[len(folder) + 1 :]
    parts = rest.split("/")
    count = _ROOT_PARTS[scheme]
    return parts[:count] + [""] * (count - len(parts)), "/".join(parts[count:])
