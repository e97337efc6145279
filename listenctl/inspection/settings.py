"""Settings of an inspection: what the user knows and a capture does not show."""

from dataclasses import dataclass

from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile


@dataclass(frozen=True, slots=True)
class InspectionSettings:
    profile: Profile = CURRENT  # the implementation of jambonz whose playout is simulated
    stream_rate: int | None = None
    """Sample rate of the application's stream, 0 if the calls play clips, None to detect it."""
    call_rate: int | None = None  # sample rate of the calls themselves, 8000 for G.711; None for that of the stream
    detect_dtmf: bool = False  # also detect DTMF tones in the audio
