import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import listenctl.play_to_call.play_as_clips
from listenctl.errors import ListenctlError, NotFoundError, UsageError
from listenctl.live_client.send_command import send_command
from listenctl.play_to_call.call_messages import open_messages
from listenctl.play_to_call.delivery_mode import KnownBy, ModeChoice
from listenctl.play_to_call.play_result import PlayEvidence, PlayOutcome, PlayResult
from listenctl.play_to_call.play_sound import SoundPlayer
from listenctl.play_to_call.playable_sound import PlayableSound, prepare_sound
from listenctl.play_to_call.settings import PlaySettings
from listenctl.protocol.application_commands import KillAudio
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, Profile
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from tests.helpers.server import until
from tests.helpers.simulated_calls import LiveCall, clips, live_call, noise, streaming
from tests.play_to_call.test_playable_sound import stdin_is

pytestmark = pytest.mark.simulated_time

Word = dict[str, Any]
GRANTED, SYNCED = {"type": "listenctl:granted"}, {"type": "listenctl:synced"}
TENTH = PlayableSound.computed("tenth", lambda rate: b"\x01\x00" * (rate // 10), seconds=0.1)


@dataclass
class ScriptedConnection:
    """A connection whose other side answers each text by ``answers``, besides what every server answers."""

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


def synced(**data: object) -> Callable[[Word], list[Word]]:
    """Answer a sync."""
    return lambda text: [{**SYNCED, "data": data}] if text["type"] == "listenctl:sync" else []


def never_but_first(text: Word) -> list[Word]:
    """Answer the mark before the sound only."""
    return mark_answered("playout")(text) if str(text.get("data", {}).get("name")).startswith("begin-") else []


@pytest.mark.parametrize(
    ("state", "sound"), [({}, LONG), ({"playout": 0.8}, TENTH)], ids=["the sound", "what the server plays before it"]
)
async def test_a_mark_that_comes_before_the_audio_can_be_over_is_not_believed(
    state: dict[str, object], sound: PlayableSound
) -> None:
    connection = ScriptedConnection(lambda text: synced(**state)(text) + mark_answered("playout")(text))

    # All of it is ahead of the clock.
    result = await SoundPlayer(connection, PlaySettings(lead=5.0)).play(sound)

    assert (result.outcome, result.evidence, result.seconds) == (PlayOutcome.PLAYED, PlayEvidence.CLOCK, sound.seconds)
    assert "too early" in result.detail


async def test_a_mark_that_is_cleared_means_that_the_sound_was_interrupted() -> None:
    connection = ScriptedConnection(mark_answered("cleared"))

    result = await SoundPlayer(connection, PlaySettings(lead=5.0)).play(LONG)

    assert (result.outcome, result.evidence) == (PlayOutcome.INTERRUPTED, PlayEvidence.MARK)
    assert result.seconds < 0.5


async def test_a_stream_is_taken_padded_marked_and_released_in_this_order() -> None:
    connection = ScriptedConnection(mark_answered("playout"))

    await SoundPlayer(connection, PlaySettings()).play(TENTH)

    assert connection.kinds() == ["listenctl:acquire", "listenctl:sync", "mark", "listenctl:release", "listenctl:sync"]
    assert connection.texts[0]["data"] == {"sampleRate": 8000}
    assert connection.audio == b"\x01\x00" * 800 + bytes(2560)


async def test_a_stream_whose_rate_is_not_certain_gets_no_sound() -> None:
    connection = ScriptedConnection(metadata=CallMetadata.from_fields({}))

    player = SoundPlayer(connection, PlaySettings(choice=ModeChoice.STREAM))
    with pytest.raises(ListenctlError, match="can't be measured for certain; give it with --stream-rate"):
        await player.play(TENTH)

    assert not connection.audio.strip(b"\0")


@pytest.mark.parametrize(
    ("answers", "outcome", "evidence", "marks", "detail"),
    [
        (synced(playout=0.0), PlayOutcome.UNKNOWN, None, 2, "jambonz has never answered a mark of this call"),
        (
            lambda text: synced(playout=0.0)(text) + never_but_first(text),
            PlayOutcome.PLAYED,
            PlayEvidence.CLOCK,
            2,
            "jambonz did not answer the mark",
        ),
        (
            synced(playout=0.0, markAnswered=True),
            PlayOutcome.PLAYED,
            PlayEvidence.CLOCK,
            1,
            "jambonz did not answer the mark",
        ),
    ],
    ids=["no mark is answered", "the mark before the sound is answered", "an earlier mark was answered"],
)
async def test_the_clock_tells_the_end_only_of_a_stream_that_a_mark_has_proven(
    answers: Callable[[Word], list[Word]],
    outcome: PlayOutcome,
    evidence: PlayEvidence | None,
    marks: int,
    detail: str,
) -> None:
    connection = ScriptedConnection(answers)

    result = await SoundPlayer(connection, PlaySettings(stream_rate=8000)).play(TENTH)

    assert (result.outcome, result.evidence, connection.kinds().count("mark")) == (outcome, evidence, marks)
    assert detail in result.detail


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
    connection = ScriptedConnection(refused(kind, reason))

    with pytest.raises(error, match=f"not sent: {reason}"):
        await SoundPlayer(connection, PlaySettings(stream_rate=rate)).play(TENTH)


@pytest.mark.parametrize(
    ("sound", "rate", "problem"),
    [
        (PlayableSound.computed("nothing", lambda _: b""), 8000, "nothing: holds no audio"),
        (replace(TENTH, name="tone:440", endless=True), 0, r"tone:440: has no end, .*; give --duration"),
    ],
    ids=["a stream without a sample", "a clip without an end"],
)
async def test_what_cannot_be_played_is_wrong_usage(sound: PlayableSound, rate: int, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        await SoundPlayer(ScriptedConnection(), PlaySettings(stream_rate=rate)).play(sound)


async def test_a_clip_that_was_killed_while_it_waited_was_interrupted() -> None:
    connection = ScriptedConnection(refused("playAudio", "killed"))

    result = await SoundPlayer(connection, PlaySettings(stream_rate=0)).play(TENTH)

    assert (result.outcome, result.seconds, result.detail) == (PlayOutcome.INTERRUPTED, 0.0, "not sent: killed")


async def test_a_clip_without_a_play_done_may_not_have_been_heard() -> None:
    result = await SoundPlayer(ScriptedConnection(), PlaySettings(stream_rate=0)).play(TENTH)

    assert (result.outcome, result.evidence, result.seconds) == (PlayOutcome.UNKNOWN, None, 0.0)
    assert "bidirectional audio is disabled" in result.detail


async def test_texts_that_are_not_about_the_sound_are_ignored() -> None:
    connection = ScriptedConnection(lambda text: refused("mark", "too-slow")(text) + mark_answered("playout")(text))
    connection.say(
        {"type": "mark", "data": {"name": "another", "event": "cleared"}}, {"event": "dtmf", "dtmf": "1"}, {}
    )
    connection.inbox.put_nowait("no JSON")

    result = await SoundPlayer(connection, PlaySettings()).play(TENTH)

    assert result.outcome is PlayOutcome.PLAYED


async def test_a_call_that_ends_while_its_source_is_silent_is_noticed() -> None:
    class Stuck:
        async def read(self, samples: int) -> bytes:  # noqa: ARG002
            await asyncio.Event().wait()
            return b""

        async def close(self) -> None:
            connection.texts.append({"type": "closed"})

    async def open_stuck(_rate: int) -> Stuck:
        connection.inbox.put_nowait("the end")
        return Stuck()

    connection = ScriptedConnection()
    with pytest.raises(NotFoundError):
        await SoundPlayer(connection, PlaySettings()).play(PlayableSound(name="stuck", open=open_stuck))

    assert connection.kinds()[-1] == "closed"


@pytest.mark.parametrize(
    ("piped", "problem"),
    [(b"Hello caller,\n", "stdin is text, not audio"), (b"", "stdin: ended without any audio"), (b"RIFF", "stdin")],
    ids=["a text", "nothing", "a cut WAV"],
)
async def test_stdin_that_is_no_audio_is_refused_before_anything_is_sent(piped: bytes, problem: str) -> None:
    connection = ScriptedConnection(metadata=CallMetadata.from_fields({}))
    reader, writer = os.pipe()
    os.write(writer, piped)
    os.close(writer)
    with stdin_is(reader), pytest.raises(UsageError, match=problem):
        await SoundPlayer(connection, PlaySettings()).play(await prepare_sound("-"))

    assert (connection.texts, connection.audio) == ([], b"")


async def test_a_call_that_ends_before_anything_arrives_on_stdin_is_noticed() -> None:
    connection = ScriptedConnection()
    connection.inbox.put_nowait("the end")
    reader, writer = os.pipe()
    with stdin_is(reader):
        with pytest.raises(NotFoundError):
            await SoundPlayer(connection, PlaySettings()).play(await prepare_sound("-"))
        os.close(writer)


WAITING, SENDING, INTERRUPTING = PlaySettings(), PlaySettings(wait=False), PlaySettings(interrupt=True)
MODES = pytest.mark.parametrize("verb", [streaming(), clips()], ids=["stream", "clip"])
PROFILES = pytest.mark.parametrize("profile", [CURRENT, IDEAL, NEXT], ids=lambda profile: profile.name)
OLD_SOUND, NEW_SOUND = 2, 1
TICK = 0.02


async def play(
    call: LiveCall,
    pcm: bytes,
    rate: int = 8000,
    *,
    settings: PlaySettings = WAITING,
    notify: Callable[[str], None] = lambda _: None,
) -> tuple[PlayResult, KnownBy]:
    """Play a sound that is only there at one rate, on a connection of its own."""

    def samples_at(wanted: int) -> bytes:
        assert wanted == rate
        return pcm

    sound = replace(PlayableSound.computed("noise", samples_at, seconds=len(pcm) / 2 / rate), clip_rate=rate)
    async with call.attached() as attachment:
        player = SoundPlayer(attachment, settings, notify=notify)
        result = await player.play(sound)
        assert player.mode is not None
        return result, player.mode.known_by


async def start_playing(
    call: LiveCall, pcm: bytes, rate: int = 8000, *, settings: PlaySettings = WAITING
) -> asyncio.Task[tuple[PlayResult, KnownBy]]:
    """Play a sound, and return when the caller hears it."""
    playing = asyncio.create_task(play(call, pcm, rate, settings=settings))
    await until(lambda: call.sounds)
    return playing


@pytest.mark.parametrize(
    ("verb", "profile"),
    [
        *((streaming(), profile) for profile in (CURRENT, IDEAL, NEXT)),
        *((clips(), profile) for profile in (CURRENT, IDEAL, NEXT, OLD)),
    ],
    ids=str,
)
async def test_a_sound_is_heard_to_the_sample_and_its_end_is_known(
    tmp_path: Path, verb: ListenVerb, profile: Profile
) -> None:
    pcm = noise(0.5, 8000)
    async with live_call(tmp_path, verb, profile=profile) as call:
        result, known_by = await play(call, pcm)

    evidence = PlayEvidence.MARK if verb.bidirectional.streaming else PlayEvidence.PLAY_DONE
    assert (result, known_by) == (PlayResult(PlayOutcome.PLAYED, evidence, 0.5), KnownBy.METADATA)
    assert call.heard.count(pcm) == 1
    assert call.heard.replace(pcm, b"").strip(b"\0") == b""
    assert call.faults == []


@pytest.mark.parametrize(
    ("exact", "profile", "streamed"),
    [(False, CURRENT, b"\xfe\xff"), (True, IDEAL, b"\xff\xff")],
    ids=["moved", "exact"],
)
async def test_samples_of_minus_one_are_streamed_as_minus_two_unless_exact_samples_are_wanted(
    tmp_path: Path, exact: bool, profile: Profile, streamed: bytes
) -> None:
    pcm = noise(0.1, 8000) + b"\xff\xff" * 800 + noise(0.1, 8000, seed=2)
    async with live_call(tmp_path, streaming(), profile=profile) as call:
        result, _ = await play(call, pcm, settings=PlaySettings(exact=exact))

    assert result.evidence is PlayEvidence.MARK
    assert pcm.replace(b"\xff\xff", streamed) in call.heard


@pytest.mark.parametrize(("rate", "call_rate"), [(8000, 8000), (16000, 8000), (16000, 16000), (24000, 8000)])
async def test_a_probe_finds_out_at_which_rate_a_call_streams(tmp_path: Path, rate: int, call_rate: int) -> None:
    async with live_call(tmp_path, streaming(rate, call_rate=call_rate, known=False), call_rate=call_rate) as call:
        result, known_by = await play(call, noise(0.2, rate), rate)
        _, then_known_by = await play(call, noise(0.1, rate), rate)

    assert (result.outcome, result.seconds, known_by) == (PlayOutcome.PLAYED, 0.2, KnownBy.PROBE)
    assert then_known_by is KnownBy.TOOL


@pytest.mark.parametrize(
    ("said", "real", "problem"),
    [
        (16000, 8000, "as if it played slower; 16000 Hz may be the wrong rate"),
        (24000, 8000, "as if it played slower; 24000 Hz may be the wrong rate"),
        (24000, 16000, "as if it played slower; 24000 Hz may be the wrong rate"),
        (8000, 16000, "as if it played faster; 8000 Hz may be the wrong rate"),
        (16000, 24000, "as if it played faster; 16000 Hz may be the wrong rate"),
        (8000, 8000, ""),
        (24000, 24000, ""),
    ],
)
@pytest.mark.parametrize("length", [0.5, 3.0])
async def test_a_rate_that_the_user_gives_counts_only_while_marks_do_not_contradict_it(
    tmp_path: Path, said: int, real: int, problem: str, length: float
) -> None:
    async with live_call(tmp_path, streaming(real, known=False)) as call:
        result, known_by = await play(call, noise(length, said), said, settings=PlaySettings(stream_rate=said))
        async with call.attached() as attachment, open_messages(attachment) as messages:
            known = (await messages.sync()).stream_rate

    assert known_by is KnownBy.OPTION
    assert (problem in result.detail, known) == (True, None if problem else said)
    assert result.outcome is (PlayOutcome.UNKNOWN if problem else PlayOutcome.PLAYED)


@pytest.mark.parametrize("rate", [16000, 24000])
async def test_a_mark_that_clear_marks_removes_says_nothing_about_the_rate(tmp_path: Path, rate: int) -> None:
    async with live_call(tmp_path, streaming(rate, known=False)) as call:
        playing = asyncio.create_task(play(call, noise(2.0, rate), rate, settings=PlaySettings(stream_rate=rate)))
        await asyncio.sleep(1.95)
        async with call.attached() as attachment:
            await send_command(attachment, '{"type":"clearMarks"}')
        result, _ = await playing
        async with call.attached() as attachment, open_messages(attachment) as messages:
            known = (await messages.sync()).stream_rate

    assert (result.outcome, result.evidence, result.seconds) == (PlayOutcome.PLAYED, PlayEvidence.CLOCK, 2.0)
    assert result.detail.endswith(f"; or {rate} Hz is the wrong rate")
    assert known == rate


async def test_a_mark_that_audio_of_another_tool_follows_says_nothing_about_the_rate(tmp_path: Path) -> None:
    settings = PlaySettings(stream_rate=24000)
    async with live_call(tmp_path, streaming(24000, known=False)) as call:
        first = asyncio.create_task(play(call, noise(2.0, 24000), 24000, settings=settings))
        await asyncio.sleep(0.8)
        # The mark of the first is stuck, and the one of the second behind it.
        second = await play(call, noise(2.0, 24000), 24000, settings=settings)
        results = [result for result, _ in (await first, second)]
        async with call.attached() as attachment, open_messages(attachment) as messages:
            known = (await messages.sync()).stream_rate

    assert [(result.outcome, result.evidence) for result in results] == [(PlayOutcome.PLAYED, PlayEvidence.CLOCK)] * 2
    assert known == 24000


async def test_a_rate_that_contradicts_a_probe_is_said_and_the_probe_still_counts(tmp_path: Path) -> None:
    said: list[str] = []
    async with live_call(tmp_path, streaming(8000, known=False)) as call:
        await play(call, noise(0.2, 8000))
        wrong = PlaySettings(stream_rate=16000)
        result, _ = await play(call, noise(0.5, 16000), 16000, settings=wrong, notify=said.append)
        right, known_by = await play(call, noise(0.2, 8000))

    assert said == ["--stream-rate is 16000 Hz, but a probe found 8000 Hz"]
    assert (result.outcome, right.outcome, known_by) == (PlayOutcome.UNKNOWN, PlayOutcome.PLAYED, KnownBy.TOOL)


@pytest.mark.parametrize("streams", [True, False])
async def test_of_many_at_once_one_finds_out_and_the_others_believe_it(tmp_path: Path, streams: bool) -> None:
    sounds = [noise(0.2, 8000, seed=seed) for seed in range(10)]
    verb = streaming(known=False) if streams else clips(known=False)
    async with live_call(tmp_path, verb) as call:
        results = await asyncio.gather(*(play(call, pcm) for pcm in sounds))

    assert [result.outcome for result, _ in results] == [PlayOutcome.PLAYED] * 10
    assert sorted(known_by for _, known_by in results) == [KnownBy.PROBE] + [KnownBy.TOOL] * 9
    # Where one stream follows another there may be one sample more (listenctl-protocol(7) 6.4).
    assert [call.heard.count(pcm[640:]) for pcm in sounds] == [1] * 10


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
        playing = await start_playing(call, b"".join(parts), settings=PlaySettings(interrupt=interrupt))
        await send_command(other, KillAudio().serialize())
        result, _ = await playing
        await until(lambda: call.call.snapshot().buffered == 0)

    assert result.outcome is PlayOutcome.INTERRUPTED
    assert result.seconds < 1.5
    assert parts[2][:1000] not in call.heard


@MODES
async def test_a_kill_by_another_tool_is_noticed_at_once(tmp_path: Path, verb: ListenVerb) -> None:
    async with live_call(tmp_path, verb) as call, call.attached() as other:
        playing = await start_playing(call, noise(20, 8000))
        await send_command(other, KillAudio().serialize())
        result, _ = await playing

    assert result.outcome is PlayOutcome.INTERRUPTED
    assert 0 <= result.seconds < 10


@MODES
async def test_a_cancelled_sound_ends_at_once_and_nothing_of_it_is_heard_later(
    tmp_path: Path, verb: ListenVerb
) -> None:
    old, new = noise(20, 8000, seed=OLD_SOUND), noise(0.3, 8000)
    async with live_call(tmp_path, verb) as call:
        playing = await start_playing(call, old)
        playing.cancel()
        await asyncio.wait([playing])
        await play(call, new)

    heard, _ = between(call.heard, new)
    assert playing.cancelled()
    assert heard.lstrip(b"\0") in old
    assert 0 < len(heard.lstrip(b"\0")) < len(old) / 4


@MODES
async def test_who_is_cancelled_before_its_turn_leaves_others_alone(tmp_path: Path, verb: ListenVerb) -> None:
    first, second = noise(2, 8000), noise(1, 8000, seed=2)
    async with live_call(tmp_path, verb) as call:
        playing = await start_playing(call, first)
        said: list[str] = []
        waiting = asyncio.create_task(play(call, second, notify=said.append))
        await until(lambda: bool(said))
        waiting.cancel()
        await asyncio.wait([waiting])
        result, _ = await playing
        await until(lambda: call.call.snapshot().buffered == 0)

    assert result.outcome is PlayOutcome.PLAYED
    assert second[:1000] not in call.heard


@MODES
async def test_without_waiting_it_ends_when_all_was_sent(tmp_path: Path, verb: ListenVerb) -> None:
    pcm = noise(0.4, 8000)
    async with live_call(tmp_path, verb) as call:
        result, _ = await play(call, pcm, settings=SENDING)
        await until(lambda: call.call.snapshot().buffered > 0)
        await until(lambda: call.call.snapshot().buffered == 0)

    assert result == PlayResult(PlayOutcome.SENT, None, 0.4)
    assert pcm in call.heard


def between(heard: bytes, new: bytes) -> tuple[bytes, bytes]:
    """Return what was heard before a new sound, and the silence between the two."""
    before, found, after = heard.partition(new)
    assert found
    assert not any(after)
    old = before.rstrip(b"\0")
    return old, before[len(old) :]


@PROFILES
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("streams", [True, False], ids=["stream", "clip"])
async def test_a_sound_that_interrupts_another_comes_after_all_that_is_heard_of_it(
    tmp_path: Path, profile: Profile, rate: int, streams: bool
) -> None:
    old, new = noise(20, rate, seed=OLD_SOUND), noise(0.3, rate, seed=NEW_SOUND)
    verb = streaming(rate, call_rate=rate) if streams else clips(call_rate=rate)
    async with live_call(tmp_path, verb, profile=profile, call_rate=rate) as call:
        first = await start_playing(call, old, rate)
        result, _ = await play(call, new, rate, settings=INTERRUPTING)
        interrupted, _ = await first
        await until(lambda: call.call.snapshot().buffered == 0)

    heard, silence = between(call.heard, new)
    assert (result.outcome, interrupted.outcome) == (PlayOutcome.PLAYED, PlayOutcome.INTERRUPTED)
    assert heard.lstrip(b"\0") in old
    assert not streams or len(silence) / 2 / rate >= TICK


@MODES
@PROFILES
async def test_a_sound_that_interrupts_many_ends_them_all(tmp_path: Path, profile: Profile, verb: ListenVerb) -> None:
    old = [noise(20, 8000, seed=seed) for seed in range(2, 8)]
    new = noise(0.3, 8000)
    async with live_call(tmp_path, verb, profile=profile) as call:
        waiting = [asyncio.create_task(play(call, pcm)) for pcm in old]
        await until(lambda: call.sounds)
        result, _ = await play(call, new, settings=INTERRUPTING)
        ends = await asyncio.gather(*waiting)
        await until(lambda: call.call.snapshot().buffered == 0)

    heard, _ = between(call.heard, new)
    assert result.outcome is PlayOutcome.PLAYED
    assert [one.outcome for one, _ in ends] == [PlayOutcome.INTERRUPTED] * len(old)
    # jambonz begins with the next clip for the moment until the next killAudio comes.
    assert sum(pcm[:3200] in heard for pcm in old) <= 1
    assert not verb.bidirectional.streaming or any(heard.lstrip(b"\0") in pcm for pcm in old)


def verdicts(call: LiveCall, count: int) -> bool:
    return len(call.events.of("verdict")) >= count


@pytest.mark.parametrize("taken_back", [0, 1, 3], ids=["plays", "waits at jambonz", "waits here"])
async def test_a_clip_that_is_taken_back_concerns_no_other(tmp_path: Path, taken_back: int) -> None:
    sounds = [noise(0.8, 8000, seed=seed) for seed in range(1, 6)]
    async with live_call(tmp_path, clips()) as call:
        playing = []
        for number, pcm in enumerate(sounds):
            playing.append(asyncio.create_task(play(call, pcm)))
            # jambonz has the first three, one of which plays.
            await until(partial(verdicts, call, min(number + 1, 3)))
        await until(lambda: call.sounds)
        playing[taken_back].cancel()
        ends = await asyncio.gather(*playing, return_exceptions=True)

    heard = call.heard
    del ends[taken_back]
    kept = [pcm for number, pcm in enumerate(sounds) if number != taken_back]
    assert [not isinstance(end, BaseException) and end[0].outcome for end in ends] == [PlayOutcome.PLAYED] * 4
    assert [heard.count(pcm) for pcm in kept] == [1] * 4
    # What begins before it is stopped is a tick or two; what plays is heard until then.
    assert sounds[taken_back][8000:] not in heard
    assert taken_back == 0 or sounds[taken_back][:1600] not in heard
    assert sorted(kept, key=heard.index) == kept
