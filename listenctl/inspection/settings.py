"""Settings of an inspection: what the user knows and a capture does not show."""

from dataclasses import dataclass

from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile


@dataclass(frozen=True, slots=True)
class InspectionSettings:
    """
    How to inspect.

    Attributes:
        profile: the implementation of jambonz whose playout is simulated.
        stream_rate: sample rate of the application's stream, 0 if the calls play clips, None to detect it.
        call_rate: sample rate of the calls themselves, 8000 for G.711; None for that of the stream.
        detect_dtmf: also detect DTMF tones in the audio.
    """

    profile: Profile = CURRENT
    stream_rate: int | None = None
    call_rate: int | None = None
    detect_dtmf: bool = False
