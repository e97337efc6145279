"""What the caller hears of the old sound once a new one interrupts it: nothing."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from listenctl.play_to_call.play_result import PlayOutcome, PlayResult
from listenctl.play_to_call.play_sound import SoundPlayer
from listenctl.play_to_call.playable_sound import PlayableSound
from listenctl.play_to_call.settings import PlaySettings
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, Profile
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from tests.helpers.live_call import LiveCall, clips, live_call, noise, streaming
from tests.helpers.server import until

OLD_SOUND, NEW_SOUND = 2, 1
PLAIN, SENDING, INTERRUPTING = PlaySettings(), PlaySettings(wait=False), PlaySettings(interrupt=True)
TICK = 0.02


async def play(call: LiveCall, pcm: bytes, rate: int, settings: PlaySettings = PLAIN) -> PlayResult:
    sound = PlayableSound.computed("noise", lambda _: pcm, seconds=len(pcm) / 2 / rate)
    async with call.attached() as attachment:
        return await SoundPlayer(attachment, settings).play(
            PlayableSound(name="noise", open=sound.open, seconds=sound.seconds, clip_rate=rate)
        )


def between(heard: bytes, new: bytes) -> tuple[bytes, bytes]:
    """Return what was heard before a new sound, and the silence between the two."""
    before, found, after = heard.partition(new)
    assert found
    assert not any(after)
    old = before.rstrip(b"\0")
    return old, before[len(old) :]


@pytest.mark.parametrize("profile", [CURRENT, IDEAL, NEXT], ids=lambda profile: profile.name)
@pytest.mark.parametrize("rate", [8000, 16000])
async def test_a_stream_that_interrupts_another_comes_after_silence(
    tmp_path: Path, profile: Profile, rate: int
) -> None:
    old, new = noise(20, rate, seed=OLD_SOUND), noise(0.3, rate, seed=NEW_SOUND)
    async with live_call(tmp_path, streaming(rate, call_rate=rate), profile=profile, call_rate=rate) as call:
        first = asyncio.create_task(play(call, old, rate))
        await until(lambda: call.sounds)
        result = await play(call, new, rate, INTERRUPTING)
        interrupted = await first

    heard, silence = between(call.heard, new)
    assert (result.outcome, interrupted.outcome) == (PlayOutcome.PLAYED, PlayOutcome.INTERRUPTED)
    assert heard.lstrip(b"\0") in old
    assert len(silence) / 2 / rate >= TICK


async def test_a_stream_that_interrupts_goes_before_those_that_wait(tmp_path: Path) -> None:
    sounds = [noise(20, 8000, seed=seed) for seed in (2, 3, 4)]
    new = noise(0.3, 8000)
    async with live_call(tmp_path, streaming()) as call:
        old = [asyncio.create_task(play(call, pcm, 8000)) for pcm in sounds]
        await until(lambda: call.sounds)
        result = await play(call, new, 8000, INTERRUPTING)
        interrupted = await asyncio.gather(*old)

    heard, _ = between(call.heard, new)
    assert result.outcome is PlayOutcome.PLAYED
    assert [one.outcome for one in interrupted] == [PlayOutcome.INTERRUPTED] * 3
    assert any(heard.lstrip(b"\0") in pcm for pcm in sounds)


@pytest.mark.parametrize("verb", [streaming(), clips()], ids=["stream", "clip"])
async def test_a_kill_and_the_next_sound_leave_nothing_of_the_last(tmp_path: Path, verb: ListenVerb) -> None:
    old, new = noise(20, 8000, seed=OLD_SOUND), noise(0.3, 8000)
    async with live_call(tmp_path, verb) as call:
        playing = asyncio.create_task(play(call, old, 8000))
        await until(lambda: call.sounds)
        playing.cancel()
        await asyncio.wait([playing])
        await play(call, new, 8000)

    heard, _ = between(call.heard, new)
    assert heard.lstrip(b"\0") in old


@pytest.mark.parametrize("profile", [CURRENT, IDEAL, NEXT], ids=lambda profile: profile.name)
@pytest.mark.parametrize("rate", [8000, 16000])
async def test_a_clip_that_interrupts_another_comes_after_all_that_is_heard_of_it(
    tmp_path: Path, profile: Profile, rate: int
) -> None:
    old, new = noise(20, rate, seed=OLD_SOUND), noise(0.3, rate, seed=NEW_SOUND)
    async with live_call(tmp_path, clips(call_rate=rate), profile=profile, call_rate=rate) as call:
        first = asyncio.create_task(play(call, old, rate))
        await until(lambda: call.sounds)
        result = await play(call, new, rate, INTERRUPTING)
        interrupted = await first
        await until(lambda: call.call.snapshot().buffered == 0)

    heard, _ = between(call.heard, new)
    assert (result.outcome, interrupted.outcome) == (PlayOutcome.PLAYED, PlayOutcome.INTERRUPTED)
    assert heard.lstrip(b"\0") in old


@pytest.mark.parametrize("profile", [CURRENT, IDEAL, NEXT], ids=lambda profile: profile.name)
async def test_a_clip_that_interrupts_many_ends_them_all(tmp_path: Path, profile: Profile) -> None:
    old = [noise(20, 8000, seed=seed) for seed in range(2, 8)]
    new = noise(0.3, 8000)
    async with live_call(tmp_path, clips(), profile=profile) as call:
        waiting = [asyncio.create_task(play(call, pcm, 8000)) for pcm in old]
        await until(lambda: call.sounds)
        result = await play(call, new, 8000, INTERRUPTING)
        ends = await asyncio.gather(*waiting)
        await until(lambda: call.call.snapshot().buffered == 0)

    heard, _ = between(call.heard, new)
    assert result.outcome is PlayOutcome.PLAYED
    assert [one.outcome for one in ends] == [PlayOutcome.INTERRUPTED] * len(old)
    # jambonz begins with the next for the moment until the next killAudio comes.
    assert sum(pcm[:3200] in heard for pcm in old) <= 1


def verdicts(call: LiveCall, count: int) -> bool:
    return len(call.events.of("verdict")) >= count


@pytest.mark.parametrize("taken_back", [0, 1, 3], ids=["plays", "waits at jambonz", "waits here"])
async def test_a_clip_that_is_taken_back_concerns_no_other(tmp_path: Path, taken_back: int) -> None:
    sounds = [noise(0.8, 8000, seed=seed) for seed in range(1, 6)]
    async with live_call(tmp_path, clips()) as call:
        playing = []
        for number, pcm in enumerate(sounds):
            playing.append(asyncio.create_task(play(call, pcm, 8000)))
            # jambonz has the first three, one of which plays.
            await until(partial(verdicts, call, min(number + 1, 3)))
        await until(lambda: call.sounds)
        playing[taken_back].cancel()
        ends = await asyncio.gather(*playing, return_exceptions=True)

    heard = call.heard
    del ends[taken_back]
    kept = [pcm for number, pcm in enumerate(sounds) if number != taken_back]
    assert [isinstance(end, PlayResult) and end.outcome for end in ends] == [PlayOutcome.PLAYED] * 4
    assert [heard.count(pcm) for pcm in kept] == [1] * 4
    # What begins before it is stopped is a tick or two; what plays is heard until then.
    assert sounds[taken_back][8000:] not in heard
    assert taken_back == 0 or sounds[taken_back][:1600] not in heard
    assert sorted(kept, key=heard.index) == kept
