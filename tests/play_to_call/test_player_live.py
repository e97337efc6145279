"""Playing to a simulated call through a real server: what the caller hears, and whether the end is told truthfully."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

import listenctl.play_to_call.play_as_clips
from listenctl.errors import NotFoundError, UsageError
from listenctl.live_client.send_command import send_command
from listenctl.play_to_call.delivery_mode import KnownBy
from listenctl.play_to_call.play_result import PlayEvidence, PlayOutcome, PlayResult
from listenctl.play_to_call.play_sound import SoundPlayer
from listenctl.play_to_call.playable_sound import PlayableSound
from listenctl.play_to_call.settings import PlaySettings
from listenctl.protocol.application_commands import ClearMarks, KillAudio
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, Profile
from tests.helpers.live_call import LiveCall, clips, live_call, noise, streaming
from tests.helpers.server import until

WAITING, SENDING = PlaySettings(), PlaySettings(wait=False)
INTERRUPTING = PlaySettings(interrupt=True)


def sound_of(pcm: bytes, rate: int = 8000) -> PlayableSound:
    """Return a sound that is only there at one rate."""

    def samples_at(wanted: int) -> bytes:
        assert wanted == rate
        return pcm

    computed = PlayableSound.computed("noise", samples_at, seconds=len(pcm) / 2 / rate)
    return PlayableSound(name="noise", open=computed.open, seconds=computed.seconds, clip_rate=rate)


async def play(
    call: LiveCall,
    pcm: bytes,
    rate: int = 8000,
    *,
    settings: PlaySettings = WAITING,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[PlayResult, KnownBy]:
    """Play through an attachment of its own."""
    async with call.attached() as attachment:
        player = SoundPlayer(attachment, settings, tell=tell)
        result = await player.play(sound_of(pcm, rate))
        assert player.mode is not None
        return result, player.mode.known_by


@pytest.mark.parametrize("profile", [CURRENT, IDEAL, NEXT], ids=lambda profile: profile.name)
async def test_a_stream_is_heard_to_the_sample_and_its_end_is_known(tmp_path: Path, profile: Profile) -> None:
    pcm = noise(0.5, 8000)
    async with live_call(tmp_path, streaming(), profile=profile) as call:
        result, known_by = await play(call, pcm)

    assert (result, known_by) == (PlayResult(PlayOutcome.PLAYED, PlayEvidence.MARK, 0.5), KnownBy.METADATA)
    assert call.heard.count(pcm) == 1
    assert call.heard.replace(pcm, b"").strip(b"\0") == b""
    assert call.faults == []


async def test_a_wide_stream_is_heard_to_the_sample(tmp_path: Path) -> None:
    pcm = noise(0.3, 16000)
    async with live_call(tmp_path, streaming(16000, call_rate=16000), call_rate=16000) as call:
        result, _ = await play(call, pcm, 16000)

    assert (result.outcome, result.evidence) == (PlayOutcome.PLAYED, PlayEvidence.MARK)
    assert pcm in call.heard


@pytest.mark.parametrize("profile", [CURRENT, IDEAL, NEXT, OLD], ids=lambda profile: profile.name)
async def test_a_clip_is_heard_to_the_sample_and_its_end_is_known(tmp_path: Path, profile: Profile) -> None:
    pcm = noise(0.5, 8000)
    async with live_call(tmp_path, clips(), profile=profile) as call:
        result, known_by = await play(call, pcm)

    assert (result, known_by) == (PlayResult(PlayOutcome.PLAYED, PlayEvidence.PLAY_DONE, 0.5), KnownBy.METADATA)
    assert call.heard.count(pcm) == 1
    assert call.heard.replace(pcm, b"").strip(b"\0") == b""
    assert call.faults == []


async def test_a_wide_clip_is_heard_to_the_sample(tmp_path: Path) -> None:
    pcm = noise(0.3, 16000)
    async with live_call(tmp_path, clips(call_rate=16000), call_rate=16000) as call:
        result, _ = await play(call, pcm, 16000)

    assert result.outcome is PlayOutcome.PLAYED
    assert pcm in call.heard


async def test_samples_of_minus_one_are_streamed_as_minus_two(tmp_path: Path) -> None:
    pcm = noise(0.1, 8000) + b"\xff\xff" * 800 + noise(0.1, 8000, seed=2)
    async with live_call(tmp_path, streaming()) as call:
        result, _ = await play(call, pcm)

    assert result.evidence is PlayEvidence.MARK
    assert pcm.replace(b"\xff\xff", b"\xfe\xff") in call.heard


async def test_exact_samples_are_streamed_as_they_are(tmp_path: Path) -> None:
    pcm = noise(0.1, 8000) + b"\xff\xff" * 800 + noise(0.1, 8000, seed=2)
    async with live_call(tmp_path, streaming(), profile=IDEAL) as call:
        result, _ = await play(call, pcm, settings=PlaySettings(exact=True))

    assert result.outcome is PlayOutcome.PLAYED
    assert pcm in call.heard


async def test_a_probe_finds_out_that_a_call_takes_clips(tmp_path: Path) -> None:
    pcm = noise(0.2, 8000)
    async with live_call(tmp_path, clips(known=False)) as call:
        result, known_by = await play(call, pcm)

    assert (result.outcome, known_by) == (PlayOutcome.PLAYED, KnownBy.PROBE)
    assert pcm in call.heard


@pytest.mark.parametrize(("rate", "call_rate"), [(8000, 8000), (16000, 8000), (16000, 16000), (24000, 8000)])
async def test_a_probe_finds_out_at_which_rate_a_call_streams(tmp_path: Path, rate: int, call_rate: int) -> None:
    async with live_call(tmp_path, streaming(rate, call_rate=call_rate, known=False), call_rate=call_rate) as call:
        result, known_by = await play(call, noise(0.2, rate), rate)
        _, then_known_by = await play(call, noise(0.1, rate), rate)

    assert (result.outcome, known_by) == (PlayOutcome.PLAYED, KnownBy.PROBE)
    assert then_known_by is KnownBy.TOOL


@pytest.mark.parametrize("streams", [True, False])
async def test_of_many_at_once_one_finds_out_and_the_others_believe_it(tmp_path: Path, streams: bool) -> None:
    sounds = [noise(0.2, 8000, seed=seed) for seed in range(10)]
    verb = streaming(known=False) if streams else clips(known=False)
    async with live_call(tmp_path, verb) as call:
        results = await asyncio.gather(*(play(call, pcm) for pcm in sounds))

    assert [result.outcome for result, _ in results] == [PlayOutcome.PLAYED] * 10
    assert sorted(known_by for _, known_by in results) == [KnownBy.PROBE] + [KnownBy.TOOL] * 9
    # Where one stream follows another there may be one sample more (protocol.md 6.4).
    assert [call.heard.count(pcm[640:]) for pcm in sounds] == [1] * 10


async def test_a_resampled_stream_is_known_to_have_been_played(tmp_path: Path) -> None:
    async with live_call(tmp_path, streaming(16000)) as call:
        result, _ = await play(call, noise(0.5, 16000), 16000)

    assert (result.outcome, result.seconds) == (PlayOutcome.PLAYED, 0.5)


async def test_where_no_mark_is_answered_the_clock_tells_the_end(tmp_path: Path) -> None:
    async with live_call(tmp_path, streaming()) as call, call.attached() as other:
        playing = asyncio.create_task(play(call, noise(0.5, 8000)))
        # Behind the mark that comes before the sound.
        await until(lambda: call.sounds)
        await until(lambda: bool(call.call.snapshot().marks))
        await send_command(other, ClearMarks().serialize())
        result, _ = await playing

    assert (result.outcome, result.evidence, result.seconds) == (PlayOutcome.PLAYED, PlayEvidence.CLOCK, 0.5)
    assert "jambonz didn't answer the mark" in result.detail


async def test_a_long_sound_is_played_without_a_gap_in_several_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listenctl.play_to_call.play_as_clips, "MAX_CLIP_BYTES", 3200)
    parts = [noise(0.2, 8000, seed=seed) for seed in range(1, 13)]
    async with live_call(tmp_path, clips()) as call:
        result, _ = await play(call, b"".join(parts))

    assert result.outcome is PlayOutcome.PLAYED
    assert result.seconds == pytest.approx(2.4)
    assert [call.heard.count(part) for part in parts] == [1] * 12
    assert sorted(parts, key=call.heard.index) == parts


@pytest.mark.parametrize("interrupt", [False, True])
async def test_a_kill_ends_all_clips_of_a_long_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt: bool
) -> None:
    monkeypatch.setattr(listenctl.play_to_call.play_as_clips, "MAX_CLIP_BYTES", 32000)
    parts = [noise(2, 8000, seed=seed) for seed in range(1, 4)]
    async with live_call(tmp_path, clips()) as call, call.attached() as other:
        playing = asyncio.create_task(play(call, b"".join(parts), settings=PlaySettings(interrupt=interrupt)))
        await until(lambda: call.sounds)
        await send_command(other, KillAudio().serialize())
        result, _ = await playing
        await until(lambda: call.call.snapshot().buffered == 0)

    assert result.outcome is PlayOutcome.INTERRUPTED
    assert result.seconds < 1.5
    assert parts[2][:1000] not in call.heard


@pytest.mark.parametrize("mode", ["stream", "clip"])
async def test_a_kill_by_another_tool_is_noticed_at_once(tmp_path: Path, mode: str) -> None:
    verb = streaming() if mode == "stream" else clips()
    async with live_call(tmp_path, verb) as call, call.attached() as other:
        playing = asyncio.create_task(play(call, noise(20, 8000)))
        await until(lambda: call.sounds)
        await send_command(other, KillAudio().serialize())
        result, _ = await playing

    assert result.outcome is PlayOutcome.INTERRUPTED
    assert 0 <= result.seconds < 10


async def test_two_streams_do_not_mix_but_follow_each_other(tmp_path: Path) -> None:
    sounds = [noise(0.4, 8000, seed=seed) for seed in (1, 2)]
    async with live_call(tmp_path, streaming()) as call:
        results = await asyncio.gather(*(play(call, pcm) for pcm in sounds))

    assert [result.outcome for result, _ in results] == [PlayOutcome.PLAYED] * 2
    # Where the second begins there may be one sample more: the mark behind the first (protocol.md 6.4).
    assert [call.heard.count(pcm[640:]) for pcm in sounds] == [1, 1]


async def test_two_clips_follow_each_other(tmp_path: Path) -> None:
    sounds = [noise(0.4, 8000, seed=seed) for seed in (1, 2)]
    async with live_call(tmp_path, clips()) as call:
        results = await asyncio.gather(*(play(call, pcm) for pcm in sounds))

    assert [result for result, _ in results] == [PlayResult(PlayOutcome.PLAYED, PlayEvidence.PLAY_DONE, 0.4)] * 2
    assert [call.heard.count(pcm) for pcm in sounds] == [1, 1]


@pytest.mark.parametrize("mode", ["stream", "clip"])
async def test_who_is_cancelled_silences_the_caller(tmp_path: Path, mode: str) -> None:
    verb = streaming() if mode == "stream" else clips()
    pcm = noise(20, 8000)
    async with live_call(tmp_path, verb) as call:
        playing = asyncio.create_task(play(call, pcm))
        await until(lambda: call.sounds)
        playing.cancel()
        await asyncio.wait([playing])
        await until(lambda: call.call.snapshot().buffered == 0)

    assert playing.cancelled()
    assert 0 < len(call.heard.strip(b"\0")) < len(pcm) / 4


@pytest.mark.parametrize("mode", ["stream", "clip"])
async def test_who_is_cancelled_before_its_turn_leaves_others_alone(tmp_path: Path, mode: str) -> None:
    verb = streaming() if mode == "stream" else clips()
    first, second = noise(2, 8000), noise(1, 8000, seed=2)
    async with live_call(tmp_path, verb) as call:
        playing = asyncio.create_task(play(call, first))
        await until(lambda: call.sounds)
        said: list[str] = []
        waiting = asyncio.create_task(play(call, second, tell=said.append))
        await until(lambda: bool(said))
        waiting.cancel()
        await asyncio.wait([waiting])
        result, _ = await playing
        await until(lambda: call.call.snapshot().buffered == 0)

    assert result.outcome is PlayOutcome.PLAYED
    assert second[:1000] not in call.heard


@pytest.mark.parametrize("profile", [CURRENT, IDEAL], ids=lambda profile: profile.name)
async def test_a_clip_that_interrupts_ends_all_that_played_and_waited(tmp_path: Path, profile: Profile) -> None:
    old = [noise(5, 8000, seed=seed) for seed in (2, 3)]
    new = noise(0.3, 8000)
    async with live_call(tmp_path, clips(), profile=profile) as call:
        for pcm in old:
            await play(call, pcm, settings=SENDING)
        await until(lambda: call.call.snapshot().buffered > 0)
        result, _ = await play(call, new, settings=INTERRUPTING)
        await until(lambda: call.call.snapshot().buffered == 0)

    assert result.outcome is PlayOutcome.PLAYED
    before, _, after = call.heard.partition(new)
    assert after.strip(b"\0") == b""
    assert old[1][:1000] not in before


async def test_a_stream_that_interrupts_takes_the_place_of_another(tmp_path: Path) -> None:
    old, new = noise(20, 8000, seed=2), noise(0.3, 8000)
    async with live_call(tmp_path, streaming()) as call:
        first = asyncio.create_task(play(call, old))
        await until(lambda: call.call.snapshot().buffered > 0)
        result, _ = await play(call, new, settings=INTERRUPTING)
        interrupted, _ = await first

    assert (result.outcome, interrupted.outcome) == (PlayOutcome.PLAYED, PlayOutcome.INTERRUPTED)
    assert new in call.heard
    assert call.heard.partition(new)[2].strip(b"\0") == b""


async def test_where_bidirectional_audio_is_disabled_the_end_is_unknown(tmp_path: Path) -> None:
    async with live_call(tmp_path, clips(enabled=False), profile=NEXT) as call:
        result, _ = await play(call, noise(0.1, 8000))

    assert (result.outcome, result.evidence) == (PlayOutcome.UNKNOWN, None)
    assert "bidirectional audio is disabled" in result.detail


async def test_a_call_that_ends_meanwhile_is_an_error(tmp_path: Path) -> None:
    async with live_call(tmp_path, streaming()) as call:
        playing = asyncio.create_task(play(call, noise(20, 8000)))
        await until(lambda: call.call.snapshot().buffered > 0)
        call.call.hang_up()
        with pytest.raises(NotFoundError, match="the call has ended"):
            await playing


async def test_what_has_no_end_becomes_no_clip(tmp_path: Path) -> None:
    endless = PlayableSound(name="tone:440", open=sound_of(b"").open, endless=True)
    async with live_call(tmp_path, clips()) as call, call.attached() as attachment:
        with pytest.raises(UsageError, match=r"tone:440: has no end, .*; give --duration"):
            await SoundPlayer(attachment, PlaySettings()).play(endless)


@pytest.mark.parametrize("mode", ["stream", "clip"])
async def test_without_waiting_it_ends_when_all_was_sent(tmp_path: Path, mode: str) -> None:
    verb = streaming() if mode == "stream" else clips()
    pcm = noise(0.4, 8000)
    async with live_call(tmp_path, verb) as call:
        result, _ = await play(call, pcm, settings=SENDING)
        await until(lambda: call.call.snapshot().buffered > 0)
        await until(lambda: call.call.snapshot().buffered == 0)

    assert result == PlayResult(PlayOutcome.SENT, None, 0.4)
    assert pcm in call.heard
