"""``--play``: play a sound to each caller first."""

from listenctl.events import PlayedEvent
from listenctl.play_to_call.play_result import PlayResult
from listenctl.play_to_call.play_sound import SoundPlayer
from listenctl.play_to_call.playable_sound import PlayableSound
from listenctl.play_to_call.settings import PlaySettings
from listenctl.server.responders.call_responders import RespondedCall


class GreetingResponder:
    name = "play"
    wants_audio = False

    def __init__(self, sound: PlayableSound, *, lead: float) -> None:
        self._sound = sound
        self._settings = PlaySettings(lead=lead)

    async def handle_call(self, call: RespondedCall) -> None:
        # Requested before it is known whether the call takes a stream, so that the next responder waits.
        await call.tool.request_stream()
        player = SoundPlayer(call.tool, self._settings)
        result = await player.play(self._sound)
        call.report(_describe(self._sound, player, result))


def _describe(sound: PlayableSound, player: SoundPlayer, result: PlayResult) -> PlayedEvent:
    mode = player.mode
    return PlayedEvent(
        source=sound.name,
        mode=None if mode is None else mode.delivery,
        sample_rate=(mode and mode.sample_rate) or None,
        known_by=None if mode is None else mode.known_by,
        outcome=result.outcome,
        evidence=result.evidence,
        seconds=round(result.seconds, 3),
        detail=result.detail,
    )
