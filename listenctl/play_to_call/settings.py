"""Settings of a player."""

from dataclasses import dataclass

from listenctl.play_to_call.delivery_mode import ModeChoice
from listenctl.play_to_call.stream_lead import STREAM_LEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaySettings:
    """How to play."""

    choice: ModeChoice = ModeChoice.AUTO
    stream_rate: int | None = None  # of the call, in Hz; 0 for clips; None if the user doesn't say
    interrupt: bool = False
    lead: float = STREAM_LEAD  # seconds between sending a stream and its playback
    exact: bool = False  # stream samples of value -1 unchanged, although jambonz takes them for marks
    wait: bool = True
