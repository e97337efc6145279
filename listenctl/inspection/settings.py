"""What the user knows better than a capture tells."""

from dataclasses import dataclass

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile


@dataclass(frozen=True, slots=True)
class InspectionSettings:
    """
    How to inspect.

    Attributes:
        profile: the implementation of jambonz whose playout is taken for granted.
        stream_rate: at which the application streams, 0 where the calls play clips, None to find out.
        call_rate: of the calls themselves, 8000 for G.711; None takes it for that of the stream.
        detect_dtmf: listen for keys in the audio.
        default_format: of audio whose metadata is missing.
    """

    profile: Profile = CURRENT
    stream_rate: int | None = None
    call_rate: int | None = None
    detect_dtmf: bool = False
    default_format: AudioFormat = AudioFormat(8000, 1)
