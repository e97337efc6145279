"""The plan of a replay: what to play, to whom, and at which speed."""

from dataclasses import dataclass
from enum import StrEnum

from listenctl.net.server_address import CallTarget
from listenctl.replay.compare_answers import CompareSettings
from listenctl.replay.replay_script import CaptureFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """Play jambonz's side of a capture to a server."""

    capture: CaptureFile
    target: CallTarget
    speed: float | None = 1.0  # relative to the capture; None is as fast as possible
    same_sid: bool = False
    compare: CompareSettings | None = None


class ReplaySync(StrEnum):
    HANDSHAKE = "handshake"
    ANSWERS = "answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationPlan:
    """Play the application's side of a capture to clients."""

    capture: CaptureFile
    speed: float | None = 1.0  # relative to the capture; None is as fast as possible
    sync: ReplaySync = ReplaySync.HANDSHAKE
    authorization: str | None = None
