"""What becomes of a playAudio (listenctl-protocol(7) 5.1, 11 V7 to V9, 13)."""

import base64
import io
import re
import struct

import numpy as np
import pytest
import soundfile

from listenctl.media.files.libsndfile import read_clip_wav
from listenctl.protocol.jambonz_model.clip_decoder import DecodedSound
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio
from tests.helpers.playout import V7, V7_SAMPLES, Call, new_playout, play, words


def wav(samples: bytes, *, rate: int = 8000, channels: int = 1, bits: int = 16, kind: int = 1) -> bytes:
    header = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + header + b"LIST\x03\0\0\0abc\0data" + struct.pack("<I", len(samples))
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(samples)) + b"WAVE" + chunks + samples


def heard(text: bytes, profile: Profile = CURRENT) -> tuple[list[str], bytes]:
    """Return the verdicts on a short clip and all of its ticks but the one in which CURRENT starts."""
    call = Call(profile)
    verdicts = call.send(text)
    call.run(0.06)
    return verdicts, call.heard[320 * profile.start_ticks :]


def test_a_clip_is_played_and_then_said_to_be_done() -> None:
    call = Call()

    assert call.send(V7) == ["played"]
    call.run(0.1)

    assert call.heard[320:].startswith(V7_SAMPLES + bytes(100))
    assert call.playout.profile.serialize_messages([message for _, message in call.messages]) == (
        '{"type":"playDone","data":{"id":"v7","playbackSeconds":"0","playbackMilliseconds":"0",'
        '"playbackLastOffsetPos":"4"}}',
    )
    assert words(*call.verdicts) == ["played", "finished"]
    assert not any(verdict.wrong for verdict in call.verdicts)


def test_a_sample_rate_in_quotes_is_16000_and_as_documented_that_rate_if_anything_has_it() -> None:
    quoted = V7.replace(b"8000", b'"8000"')

    verdicts, audio = heard(quoted)
    assert verdicts == ["misread rate-no-number", "played"]
    assert audio.startswith(struct.pack("<3h", 0, -1000, 0))

    verdicts, audio = heard(quoted, IDEAL)
    assert verdicts == ["played"]
    assert audio.startswith(V7_SAMPLES)
    assert heard(V7.replace(b"8000", b'"11025"'), IDEAL)[0] == ["misread rate-unknown", "played"]


@pytest.mark.parametrize(
    ("sample_rate", "reason", "sentence"),
    [
        (b'"16000"', "rate-no-number", ""),
        (b'"8000"', "rate-no-number", 'sampleRate "8000" is not a number and counts as 16000'),
        (b'"0"', "rate-no-number", 'sampleRate "0" is not a number and counts as 16000'),
        (b'"a\\n\xc2\x9b"', "rate-no-number", r'sampleRate "a\n\u009b" is not a number and counts as 16000'),
        (
            b'"' + b"8" * 50 + b'"',
            "rate-no-number",
            f'sampleRate "{"8" * 19}… is not a number and counts as 16000',
        ),
        (b"null", "rate-missing", "a missing sampleRate counts as 16000"),
        (b"true", "rate-no-number", "sampleRate true is not a number and counts as 16000"),
        (b"[8000]", "rate-no-number", "sampleRate [8000] is not a number and counts as 16000"),
        (b"11025", "rate-unknown", "sampleRate 11025 is no rate of raw audio and counts as 16000"),
        (b"-8000", "rate-unknown", "sampleRate -8000 is no rate of raw audio and counts as 16000"),
        (b"1e300", "rate-unknown", "sampleRate 1e+300 is no rate of raw audio and counts as 16000"),
        (b"0", "rate-unknown", "sampleRate 0 is no rate of raw audio and counts as 16000"),
        (b"0.5", "rate-unknown", "sampleRate 0.5 is no rate of raw audio and counts as 16000"),
    ],
)
def test_any_other_sample_rate_is_16000(sample_rate: bytes, reason: str, sentence: str) -> None:
    verdicts = new_playout().take_text(V7.replace(b"8000", sample_rate))

    assert words(*verdicts) == [f"misread {reason}", "played"]
    # That 16000 in quotes counts as 16000 is no fault.
    assert verdicts[0].wrong == bool(sentence)
    assert verdicts[0].sentence == sentence or not sentence


def test_24000_is_read_as_24_bits_and_32000_as_32() -> None:
    samples = bytes(range(1, 13))

    three, four = new_playout(call_rate=24000), new_playout(call_rate=32000)
    verdicts = [*three.take_text(play(samples, sampleRate=24000)), *four.take_text(play(samples, sampleRate=32000))]

    assert words(*verdicts) == ["misread rate-is-noise", "played"] * 2
    assert [three.play_tick().audio, three.play_tick().audio][1].startswith(bytes([2, 3, 5, 6, 8, 9, 11, 12, 0]))
    assert [four.play_tick().audio, four.play_tick().audio][1].startswith(bytes([3, 4, 7, 8, 11, 12, 0]))


@pytest.mark.parametrize("samples", [V7_SAMPLES, wav(V7_SAMPLES)], ids=["samples", "wav"])
@pytest.mark.parametrize("rate", [48000, 64000])
def test_rates_that_nothing_reads_play_nothing(rate: int, samples: bytes) -> None:
    call = Call()

    assert call.send(play(samples, sampleRate=rate)) == ["ignored rate-unreadable"]
    call.run(0.1)

    assert call.messages == []
    assert Call(IDEAL).send(play(V7_SAMPLES, sampleRate=rate)) == ["played"]


@pytest.mark.parametrize(
    ("content", "decoded", "sentence"),
    [
        (b"AADo\\nAxj8//8=", bytes.fromhex("0000e8"), "character 5, .* 3 bytes are decoded"),
        (b"data:audio/x;base64,AADoAxj8", base64.b64decode("data"), "character 5, "),
        (b" AADoAxj8//8=", b"", "character 1, "),
        (b"AADoAxj8__8=", bytes.fromhex("0000e80318fc"), "character 9, "),
        (b"AADoA-j8//8=", bytes.fromhex("0000e8"), "character 6, "),
    ],
)
def test_base64_ends_at_the_first_foreign_character(content: bytes, decoded: bytes, sentence: str) -> None:
    text = V7.replace(b"AADoAxj8//8=", content)

    verdicts, audio = heard(text)
    truncated, _ = new_playout().take_text(text)

    assert verdicts == ["truncated base64-ends", "played"]
    assert audio.rstrip(b"\0") == decoded[: len(decoded) // 2 * 2].rstrip(b"\0")
    assert re.search(sentence, truncated.sentence)
    assert truncated.wrong


@pytest.mark.parametrize(
    ("old", "new"), [(b"AADoAxj8//8=", b"AADoAxj8//8"), (b"8000", b"8000.7")], ids=["padding", "fraction of a rate"]
)
def test_what_jambonz_does_not_need_may_be_missing_or_is_cut(old: bytes, new: bytes) -> None:
    verdicts, audio = heard(V7.replace(old, new))

    assert verdicts == ["played"]
    assert audio.startswith(V7_SAMPLES)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (V7.replace(b'"raw"', b'"mp3"'), "ignored content-type"),
        (V7.replace(b'"raw"', b'"RAW"'), "ignored content-type"),
        (V7.replace(b'"AADoAxj8//8="', b"5"), "ignored no-content"),
        (V7.replace(b'"audioContent"', b'"audio"'), "ignored no-content"),
        (play(b"RIFF", audioContentType="wav"), "ignored wav-unreadable"),
        (play(b"", audioContentType="wav"), "ignored no-audio"),
        (b'{"type":"playAudio"}', "ignored no-data"),
    ],
)
def test_what_is_no_clip_plays_nothing_and_is_not_answered(text: bytes, verdict: str) -> None:
    call = Call()

    assert call.send(text) == [verdict]
    call.run(0.1)

    assert not call.heard.strip(b"\0")
    assert call.messages == []


@pytest.mark.parametrize("kind", [b"null", b"5", b"true", b'["raw"]'])
def test_a_missing_content_type_crashes_the_public_media_servers(kind: bytes) -> None:
    text = V7.replace(b'"raw"', kind)

    assert Call(CURRENT).send(text) == ["would-crash no-content-type"]
    assert Call(OLD).send(text) == ["would-crash no-content-type"]
    assert Call(CURRENT, BidirectionalAudio(enabled=False)).send(text) == ["would-crash no-content-type"]
    assert Call(NEXT).send(text) == ["ignored no-content-type"]
    assert Call(IDEAL).send(text) == ["ignored no-content-type"]


@pytest.mark.parametrize("kind", ["wav", "wave"])
def test_a_wav_file_says_its_rate_itself(kind: str) -> None:
    file = wav(struct.pack("<4h", 10, 20, 30, 40), rate=16000)

    verdicts, audio = heard(play(file, audioContentType=kind, sampleRate="8000"))

    assert verdicts == ["played"]
    assert audio.startswith(struct.pack("<3h", 10, 30, 0))


def test_who_has_a_better_reader_gives_that() -> None:
    playout = new_playout(IDEAL, wav_reader=lambda data: DecodedSound(8000, data))

    playout.take_text(play(V7_SAMPLES, audioContentType="wav"))

    assert playout.play_tick().audio.startswith(V7_SAMPLES)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (play(b"", id="e"), "misread no-audio"),
        (play(b"\x01", id="e"), "misread no-audio"),
        (play(b"", queuePlay=True, id="e"), "misread no-audio"),
        (play(wav(b""), audioContentType="wav", id="e"), "misread no-audio"),
        # The reason was reported already.
        (V7.replace(b"AADoAxj8//8=", b" AADoAxj8//8=").replace(b"v7", b"e"), "truncated base64-ends"),
    ],
    ids=["raw", "half-a-sample", "queued", "wav-without-samples", "cut"],
)
def test_an_empty_clip_is_named_and_done_at_once(text: bytes, verdict: str) -> None:
    call = Call()

    assert call.send(text) == [verdict, "played"]
    assert call.verdicts[0].wrong
    call.run(0.1)

    assert call.done == [(0.02, "e")]


@pytest.mark.parametrize("profile", [CURRENT, IDEAL])
def test_a_wav_file_that_is_sent_as_raw_is_heard_with_its_header(profile: Profile) -> None:
    file = wav(V7_SAMPLES)

    verdicts = new_playout(profile).take_text(play(file))
    _, audio = heard(play(file), profile)

    assert words(*verdicts) == ["misread wav-as-raw", "played"]
    assert [verdict.wrong for verdict in verdicts] == [True, False]
    assert audio.startswith(file)
    assert Call(profile).send(play(b"RIFF" + bytes(8))) == ["played"]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"OggS" + bytes(100), "Ogg"),
        (b"fLaC" + bytes(100), "FLAC"),
        (b"RIFX\0\0\0\0WAVEfmt ", "RIFX"),
        (b"ID3\4\0\0\0\0\0\0" + bytes(100), "MP3"),
        (b'{"error": "no such voice"}', "JSON"),
    ],
)
def test_another_file_that_is_sent_as_raw_is_heard_as_noise(data: bytes, found: str) -> None:
    (verdict, _) = new_playout().take_text(play(data))

    assert words(verdict) == ["misread not-raw"]
    assert verdict.sentence == f"is {found} sent as raw, which is heard as noise"
    assert verdict.wrong


@pytest.mark.parametrize(("rate", "kept"), [(8000, 1000), (16000, 1000)])
def test_a_clip_is_played_up_to_a_limit_and_the_rest_is_nobodys_fault(
    monkeypatch: pytest.MonkeyPatch, rate: int, kept: int
) -> None:
    monkeypatch.setattr("listenctl.protocol.jambonz_model.clip_decoder.MAX_CLIP_BYTES", 2000)
    call = Call(call_rate=8000)

    assert call.send(play(bytes(2 * (kept - 1)), sampleRate=rate, id="short")) == ["played"]
    call.run(1.0)
    assert call.send(play(bytes(2 * kept + 800), sampleRate=rate)) == ["truncated too-long", "played"]
    assert not call.verdicts[-2].wrong
    assert call.playout.buffered <= 2000 / 2 / 8000


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "FLOAT"])
def test_a_wav_that_grows_is_decoded_up_to_the_limit(monkeypatch: pytest.MonkeyPatch, subtype: str) -> None:
    monkeypatch.setattr("listenctl.protocol.jambonz_model.clip_decoder.MAX_CLIP_BYTES", 1 << 20)
    file = io.BytesIO()
    soundfile.write(file, np.zeros(4_000_000, "float32"), 8000, subtype=subtype, format="WAV")

    decoded = read_clip_wav(file.getvalue())

    assert decoded is not None
    assert 1 << 20 <= len(decoded.samples) < 2 << 20


def test_clips_wait_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.protocol.jambonz_model.clip_playout.MAX_PLAYOUT_BYTES", 20_000)
    call = Call()

    words = [word for _ in range(4) for word in call.send(play(bytes(16_000), sampleRate=8000, queuePlay=True))]

    assert words == ["played", "queued", "ignored too-long", "ignored too-long"]
    assert not any(verdict.wrong for verdict in call.verdicts)


@pytest.mark.parametrize("clip_id", ["O'Brien", 'say "hi"', "a\\b", "a\nb"])
def test_an_id_that_will_not_come_back_is_warned_of(clip_id: str) -> None:
    assert Call().send(play(V7_SAMPLES, id=clip_id)) == ["misread id-mangled", "played"]
    assert Call(NEXT).send(play(V7_SAMPLES, id=clip_id)) == ["played"]


@pytest.mark.parametrize(
    ("profile", "option", "verdict"),
    [
        (CURRENT, BidirectionalAudio(streaming=True, sample_rate=8000), "ignored streaming"),
        (CURRENT, BidirectionalAudio(enabled=False), "ignored disabled"),
        (NEXT, BidirectionalAudio(enabled=False), "ignored disabled"),
        (IDEAL, BidirectionalAudio(enabled=False), "ignored disabled"),
        (OLD, BidirectionalAudio(enabled=False), "played"),
    ],
)
def test_clips_are_ignored_while_streaming_and_where_disabled(
    profile: Profile, option: BidirectionalAudio, verdict: str
) -> None:
    call = Call(profile, option)

    assert call.send(V7) == [verdict]
    call.run(0.1)

    assert bool(call.heard.strip(b"\0")) == (verdict == "played")
