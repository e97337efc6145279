"""What a player makes of a jambonz, or a server, that answers oddly."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from listenctl.errors import ListenctlError, NotFoundError, UsageError
from listenctl.play_to_call.delivery_mode import KnownBy, ModeChoice
from listenctl.play_to_call.play_result import PlayEvidence, PlayOutcome
from listenctl.play_to_call.play_sound import SoundPlayer
from listenctl.play_to_call.playable_sound import PlayableSound
from listenctl.play_to_call.settings import PlaySettings
from listenctl.protocol.call_metadata import CallMetadata

Word = dict[str, Any]
LIMIT = 10
GRANTED, SYNCED = {"type": "listenctl:granted"}, {"type": "listenctl:synced"}
TENTH = PlayableSound.computed("tenth", lambda rate: b"\x01\x00" * (rate // 10), seconds=0.1)


@dataclass
class Odd:
    """A conversation whose other side answers each text by ``answers``, besides what every server answers."""

    answers: Callable[[Word], list[Word]] = lambda _: []
    metadata: CallMetadata = field(default_factory=lambda: CallMetadata.from_fields({"streamRate": 8000}))
    texts: list[Word] = field(default_factory=list)
    audio: bytes = b""
    inbox: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.audio += message
            return
        text = json.loads(message)
        self.texts.append(text)
        usual = {"listenctl:acquire": [GRANTED], "listenctl:sync": [SYNCED]}
        for answer in [*self.answers(text), *usual.get(text["type"], [])]:
            self.say(answer)

    async def receive(self) -> str:
        text = await self.inbox.get()
        if text == "the end":
            raise NotFoundError("the call has ended")
        return text

    def say(self, *words: Word) -> None:
        for word in words:
            self.inbox.put_nowait(json.dumps(word))

    def kinds(self) -> list[str]:
        return [text["type"] for text in self.texts]


def mark_answered(event: str) -> Callable[[Word], list[Word]]:
    """Answer every mark at once."""

    def answer(text: Word) -> list[Word]:
        if text["type"] != "mark":
            return []
        return [{"type": "mark", "data": {"name": text["data"]["name"], "event": event}}]

    return answer


def refused(kind: str, reason: str) -> Callable[[Word], list[Word]]:
    """Refuse every text of one kind."""

    def answer(text: Word) -> list[Word]:
        data = {"reason": reason, "detail": f"not sent: {reason}", "id": text.get("data", {}).get("id")}
        return [{"type": "listenctl:error", "data": data}] if text["type"] == kind else []

    return answer


LONG = PlayableSound.computed("long", lambda rate: b"\x01\x00" * rate, seconds=1.0)


async def test_a_mark_that_comes_too_early_is_not_believed() -> None:
    odd = Odd(mark_answered("playout"))

    async with asyncio.timeout(LIMIT):
        # All of it is ahead of the clock.
        result = await SoundPlayer(odd, PlaySettings(lead=5.0)).play(LONG)

    assert (result.outcome, result.evidence, result.seconds) == (PlayOutcome.PLAYED, PlayEvidence.CLOCK, 1.0)
    assert "too early" in result.detail


async def test_a_mark_that_is_cleared_means_that_the_sound_was_interrupted() -> None:
    odd = Odd(mark_answered("cleared"))

    async with asyncio.timeout(LIMIT):
        result = await SoundPlayer(odd, PlaySettings(lead=5.0)).play(LONG)

    assert (result.outcome, result.evidence) == (PlayOutcome.INTERRUPTED, PlayEvidence.MARK)
    assert result.seconds < 0.5


async def test_a_stream_is_taken_padded_marked_and_released_in_this_order() -> None:
    odd = Odd(mark_answered("playout"))

    async with asyncio.timeout(LIMIT):
        await SoundPlayer(odd, PlaySettings()).play(TENTH)

    assert odd.kinds() == ["listenctl:acquire", "listenctl:sync", "mark", "listenctl:release", "listenctl:sync"]
    assert odd.texts[0]["data"] == {"sampleRate": 8000}
    assert odd.audio == b"\x01\x00" * 800 + bytes(2560)


async def test_where_even_the_stream_is_a_guess_the_end_is_unknown() -> None:
    odd = Odd(metadata=CallMetadata.from_fields({}))
    said: list[str] = []

    async with asyncio.timeout(LIMIT):
        player = SoundPlayer(odd, PlaySettings(choice=ModeChoice.STREAM), tell=said.append)
        result = await player.play(TENTH)

    assert player.mode is not None
    assert (result.outcome, player.mode.known_by) == (PlayOutcome.UNKNOWN, KnownBy.GUESS)
    assert "8000 Hz is a guess; say it with --stream-rate" in said[-1]


def never_but_first(text: Word) -> list[Word]:
    """Answer the mark before the sound only."""
    return mark_answered("playout")(text) if str(text.get("data", {}).get("name")).startswith("begin-") else []


def synced(**data: object) -> Callable[[Word], list[Word]]:
    """Answer a sync."""
    return lambda text: [{**SYNCED, "data": data}] if text["type"] == "listenctl:sync" else []


async def test_a_stream_that_no_mark_has_ever_proven_may_not_have_been_heard() -> None:
    odd = Odd(synced(playout=0.0))

    async with asyncio.timeout(LIMIT):
        result = await SoundPlayer(odd, PlaySettings(stream_rate=8000)).play(TENTH)

    assert (result.outcome, result.evidence) == (PlayOutcome.UNKNOWN, None)
    assert result.detail == "jambonz has never answered a mark of this call, so nothing proves that it takes a stream"


async def test_a_mark_before_the_sound_proves_the_stream_so_that_the_clock_can_tell_its_end() -> None:
    odd = Odd(lambda text: synced(playout=0.0)(text) + never_but_first(text))

    async with asyncio.timeout(LIMIT):
        result = await SoundPlayer(odd, PlaySettings(stream_rate=8000)).play(TENTH)

    assert (result.outcome, result.evidence) == (PlayOutcome.PLAYED, PlayEvidence.CLOCK)
    assert odd.kinds().count("mark") == 2


async def test_a_call_that_has_answered_a_mark_before_needs_no_other_proof() -> None:
    odd = Odd(synced(playout=0.0, markAnswered=True))

    async with asyncio.timeout(LIMIT):
        result = await SoundPlayer(odd, PlaySettings(stream_rate=8000)).play(TENTH)

    assert (result.outcome, result.evidence) == (PlayOutcome.PLAYED, PlayEvidence.CLOCK)
    assert odd.kinds().count("mark") == 1


async def test_a_stream_without_a_sample_is_wrong_usage() -> None:
    odd = Odd(mark_answered("playout"))

    async with asyncio.timeout(LIMIT):
        with pytest.raises(UsageError, match="nothing: holds no audio"):
            await SoundPlayer(odd, PlaySettings()).play(PlayableSound.computed("nothing", lambda _: b""))


async def test_what_the_server_plays_before_puts_the_end_off() -> None:
    synced = {"type": "listenctl:synced", "data": {"playout": 0.8}}
    odd = Odd(lambda text: [synced] if text["type"] == "listenctl:sync" else mark_answered("playout")(text))

    async with asyncio.timeout(LIMIT):
        result = await SoundPlayer(odd, PlaySettings()).play(TENTH)

    # The mark came before the 0.8 s of others were over.
    assert result.evidence is PlayEvidence.CLOCK


@pytest.mark.parametrize(
    ("rate", "kind", "reason", "error"),
    [
        (8000, "mark", "call-ending", NotFoundError),
        (8000, "mark", "jambonz-busy", ListenctlError),
        (0, "playAudio", "queue-full", ListenctlError),
        (0, "playAudio", "too-many-outstanding", ListenctlError),
    ],
)
async def test_what_the_server_refuses_is_an_error(
    rate: int, kind: str, reason: str, error: type[ListenctlError]
) -> None:
    odd = Odd(refused(kind, reason))

    async with asyncio.timeout(LIMIT):
        with pytest.raises(error, match=f"not sent: {reason}"):
            await SoundPlayer(odd, PlaySettings(stream_rate=rate)).play(TENTH)


async def test_a_clip_that_was_killed_while_it_waited_was_interrupted() -> None:
    odd = Odd(refused("playAudio", "killed"))

    async with asyncio.timeout(LIMIT):
        result = await SoundPlayer(odd, PlaySettings(stream_rate=0)).play(TENTH)

    assert (result.outcome, result.seconds, result.detail) == (PlayOutcome.INTERRUPTED, 0.0, "not sent: killed")


async def test_what_we_are_too_slow_to_hear_does_not_matter() -> None:
    odd = Odd(lambda text: refused("mark", "too-slow")(text) + mark_answered("playout")(text))

    async with asyncio.timeout(LIMIT):
        result = await SoundPlayer(odd, PlaySettings()).play(TENTH)

    assert result.outcome is PlayOutcome.PLAYED


async def test_answers_to_others_and_nonsense_are_passed_over() -> None:
    odd = Odd(mark_answered("playout"))
    odd.say({"type": "mark", "data": {"name": "another", "event": "cleared"}}, {"event": "dtmf", "dtmf": "1"}, {})
    odd.inbox.put_nowait("no JSON")

    async with asyncio.timeout(LIMIT):
        result = await SoundPlayer(odd, PlaySettings()).play(TENTH)

    assert result.outcome is PlayOutcome.PLAYED


async def test_a_call_that_ends_while_its_source_is_silent_is_noticed() -> None:
    class Stuck:
        async def read(self, samples: int) -> bytes:  # noqa: ARG002
            await asyncio.Event().wait()
            return b""

        async def close(self) -> None:
            odd.texts.append({"type": "closed"})

    async def open_stuck(_rate: int) -> Stuck:
        odd.inbox.put_nowait("the end")
        return Stuck()

    odd = Odd()
    async with asyncio.timeout(LIMIT):
        with pytest.raises(NotFoundError):
            await SoundPlayer(odd, PlaySettings()).play(PlayableSound(name="stuck", open=open_stuck))

    assert odd.kinds()[-1] == "closed"
