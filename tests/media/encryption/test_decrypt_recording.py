"""What is encrypted and decrypted again is compared with the plain recording of the same audio."""

import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pyrage import x25519

from listenctl.errors import ListenctlError
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.encryption.age_keys import AgeIdentities, AgeRecipients, read_recipients
from listenctl.media.encryption.decrypt_recording import decrypt_recording, decrypt_sidecar, is_encrypted_recording
from listenctl.media.encryption.encrypted_messages import FIRST_LINE, LAST_LINE, MessageReader, frame_message
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.audio import AudioFormat

MONO = AudioFormat(8000, 1)
STEREO = AudioFormat(8000, 2)
IDENTITY = x25519.Identity.generate()
KEYS = AgeIdentities([IDENTITY])
SECOND = 16_000


@pytest.fixture(scope="module")
def recipients() -> AgeRecipients:
    return read_recipients([str(IDENTITY.to_public())])


def noise(seconds: float, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(int(seconds * SECOND))


def record(path: Path, recipients: AgeRecipients | None, *blocks: bytes) -> Path:
    recording = Recording(path, MONO, recipients=recipients)
    for number, block in enumerate(blocks):
        recording.write_audio(number * len(block) // 2, block)
    recording.finish_files()
    recording.close()
    return recording.paths[0]


def messages_of(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        reader = MessageReader(file)
        assert reader.read_first_line()
        return list(reader.read_messages())


def rebuild(path: Path, messages: Sequence[bytes], end: bytes = LAST_LINE) -> None:
    path.write_bytes(FIRST_LINE + b"".join(map(frame_message, messages)) + end)


def decrypted(path: Path) -> tuple[bytes, Sequence[str]]:
    """Return the audio, and the problems but for the sidecar, which these recordings don't have."""
    output = path.with_name("out.wav")
    result = decrypt_recording(path, KEYS, output)
    assert output.stat().st_mode & 0o777 == 0o600
    return output.read_bytes()[80:], [problem for problem in result.problems if "sidecar" not in problem]


@pytest.mark.parametrize(
    "read",
    [
        is_encrypted_recording,
        lambda path: decrypt_recording(path, KEYS, Path("out.wav")),
        lambda path: decrypt_sidecar(path, KEYS, Path("out.json")),
    ],
    ids=["type", "recording", "sidecar"],
)
def test_a_file_that_a_disk_does_not_give_back_is_named(read: Callable[[Path], object]) -> None:
    # Given a file that opens, and whose first byte is an error.
    with pytest.raises(ListenctlError, match=r"^/proc/self/mem: can't be read: Input/output error$"):
        read(Path("/proc/self/mem"))


@pytest.mark.parametrize("layout", list(ChannelLayout))
def test_a_decrypted_recording_is_the_one_that_would_have_been_made(
    tmp_path: Path, recipients: AgeRecipients, layout: ChannelLayout
) -> None:
    """Given inserted silence, lost audio, and a format that comes late, all files are equal byte for byte."""

    def fill(recording: Recording) -> list[Path]:
        recording.write_audio(0, noise(1, 1))
        recording.write_audio(8000, noise(1, 2))
        recording.insert_silence(12_000, 4000)
        recording.write_audio(20_000, noise(1, 3))
        recording.change_format(STEREO)
        recording.write_audio(16_000, noise(80, 4))
        recording.skip_to(500_000)
        assert recording.finish_files() == []
        recording.close()
        return recording.paths

    plain = fill(Recording(tmp_path / "plain.wav", MONO, layout=layout, fill=True))
    secret = fill(Recording(tmp_path / "secret.wav", MONO, layout=layout, fill=True, recipients=recipients))

    assert [path.name for path in secret] == [f"{path.name.replace('plain', 'secret')}.age" for path in plain]
    for one, other in zip(plain, secret, strict=True):
        decrypt_recording(other, KEYS, output := tmp_path / "out.wav")
        assert output.read_bytes() == one.read_bytes()
        output.unlink()


def test_an_encrypted_recording_has_no_audio_in_plain(tmp_path: Path, recipients: AgeRecipients) -> None:
    audio = noise(3)

    data = record(tmp_path / "a.wav", recipients, audio).read_bytes()

    assert not any(audio[at : at + 16] in data for at in range(0, len(audio), 16))
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav.age"]
    assert data.startswith(FIRST_LINE)
    assert data.endswith(LAST_LINE)


def test_a_recording_that_ends_at_any_byte_has_what_was_written_before(
    tmp_path: Path, recipients: AgeRecipients
) -> None:
    blocks = [noise(0.01, seed) for seed in range(4)]
    path = record(tmp_path / "a.wav", recipients, *blocks)
    whole = path.read_bytes()
    ends = [len(FIRST_LINE)]
    for message in messages_of(path):
        ends.append(ends[-1] + len(frame_message(message)))

    for cut in [*range(ends[1], ends[-1], 97), ends[-1] - 1]:
        path.write_bytes(whole[:cut])
        audio, problems = decrypted(path)
        (tmp_path / "out.wav").unlink()
        assert audio == b"".join(blocks[: sum(end <= cut for end in ends[1:])])
        assert len(problems) == 1
        assert "without its last message" in problems[0]

    path.write_bytes(whole[: ends[1] - 1])
    with pytest.raises(ListenctlError, match="has no audio: it ends before its first whole message"):
        decrypted(path)


def swap(messages: list[bytes]) -> list[bytes]:
    return [messages[0], messages[2], messages[1], *messages[3:]]


@pytest.mark.parametrize(
    ("change", "kept", "problem"),
    [
        (lambda all_: [all_[0], *all_[2:]], "0 23", "message 1 is missing or damaged at 1.00 s; 1.00 s there are sil"),
        (lambda all_: [all_[0], *all_[3:]], "0  3", "messages 1 to 2 are missing or damaged at 1.00 s; 2.00 s there"),
        (lambda all_: all_[1:], " 123", "message 0 is missing or damaged at 0.00 s; 1.00 s there are silence"),
        (swap, "0 23", "message 1 is at 3.00 s, repeated or too late; it is left out"),
        (lambda all_: [*all_[:2], all_[0], *all_[2:]], "0123", "message 0 is at 2.00 s, repeated or too late"),
        (lambda all_: [*all_[:3], all_[3][:-1] + b"!", *all_[4:]], "012 ", "message 3 is missing or damaged at 3.00 s"),
        (lambda all_: all_[:-1], "0123", "it ends at 4.00 s without its last message"),
        (lambda all_: [*all_, b"age"], "0123", "there are bytes in it that belong to no whole message"),
    ],
    ids=["removed", "two removed", "first removed", "swapped", "repeated", "changed", "last removed", "more"],
)
def test_what_was_done_to_a_recording_is_found(
    tmp_path: Path,
    recipients: AgeRecipients,
    change: Callable[[list[bytes]], list[bytes]],
    kept: str,
    problem: str,
) -> None:
    blocks = [noise(1, seed) for seed in range(4)]
    path = record(tmp_path / "a.wav", recipients, *blocks)
    rebuild(path, change(messages_of(path)))

    audio, problems = decrypted(path)

    assert audio == b"".join(bytes(SECOND) if block == " " else blocks[int(block)] for block in kept)
    assert problem in "; ".join(problems)


def test_a_message_of_another_recording_is_left_out(tmp_path: Path, recipients: AgeRecipients) -> None:
    path = record(tmp_path / "a.wav", recipients, noise(1, 1), noise(1, 2))
    other = record(tmp_path / "b.wav", recipients, noise(1, 3), noise(1, 4))
    own = messages_of(path)
    rebuild(path, [own[0], messages_of(other)[1], own[2]])

    audio, problems = decrypted(path)

    assert audio == noise(1, 1) + bytes(SECOND)
    assert "a message of another recording is at 1.00 s; it is left out" in problems
    assert "message 1 is missing or damaged at 1.00 s; 1.00 s there are silence" in problems


def test_another_key_decrypts_nothing_and_leaves_nothing(tmp_path: Path, recipients: AgeRecipients) -> None:
    path = record(tmp_path / "a.wav", recipients, noise(1))
    keys = AgeIdentities([x25519.Identity.generate()])

    with pytest.raises(ListenctlError, match=r"a\.wav\.age: can't be decrypted with this key"):
        decrypt_recording(path, keys, tmp_path / "out.wav")

    assert [path.name for path in tmp_path.iterdir()] == ["a.wav.age"]


def test_nothing_is_overwritten(tmp_path: Path, recipients: AgeRecipients) -> None:
    path = record(tmp_path / "a.wav", recipients, noise(1))
    (tmp_path / "out.wav").write_text("mine")

    with pytest.raises(ListenctlError, match=r"out\.wav: already exists"):
        decrypt_recording(path, KEYS, tmp_path / "out.wav")

    assert (tmp_path / "out.wav").read_text() == "mine"


@pytest.mark.parametrize("audio", [{"files": ["a.wav"]}, {"files": ["a.wav"], "format": "wav"}])
def test_the_sidecar_names_the_decrypted_file(
    tmp_path: Path, recipients: AgeRecipients, audio: dict[str, object]
) -> None:
    path = record(tmp_path / "a.wav", recipients, noise(1))
    (tmp_path / "a.json.age").write_bytes(recipients.encrypt(json.dumps({"call": "é", "audio": audio}).encode()))

    same = decrypt_recording(path, KEYS, tmp_path / "a.wav")
    other = decrypt_recording(path, KEYS, tmp_path / "b.wav")

    assert not same.problems
    assert not other.problems
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"call": "é", "audio": audio}
    assert json.loads((tmp_path / "b.json").read_bytes()) == {"call": "é", "audio": audio | {"files": ["b.wav"]}}


def test_a_full_disk_costs_only_what_it_did_not_take(
    tmp_path: Path, recipients: AgeRecipients, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path / "a.wav", MONO, recipients=recipients)
    recording.write_audio(0, noise(1, 1))
    pwrite = os.pwrite

    def write_half(fd: int, data: bytes, offset: int) -> int:
        monkeypatch.setattr(os, "pwrite", fail)
        return pwrite(fd, data[: len(data) // 2], offset)

    def fail(fd: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", write_half)
    with pytest.raises(OSError, match="No space"):
        recording.write_audio(8000, noise(1, 2))
    monkeypatch.setattr(os, "pwrite", pwrite)
    recording.write_audio(16_000, noise(0.1, 3))
    recording.finish_files()
    recording.close()

    assert decrypted(tmp_path / "a.wav.age") == (noise(1, 1) + noise(0.1, 3), [])


def test_a_name_counts_as_taken_if_the_decrypted_one_is(tmp_path: Path, recipients: AgeRecipients) -> None:
    (tmp_path / "a.json").touch()

    assert record(tmp_path / "a.wav", recipients, noise(0.1)).name == "a-2.wav.age"
    assert record(tmp_path / "a.wav", recipients, noise(0.1)).name == "a-3.wav.age"


def test_a_deleted_recording_gets_its_name_again(tmp_path: Path, recipients: AgeRecipients) -> None:
    recording = Recording(tmp_path / "a.wav", MONO, recipients=recipients)
    recording.write_audio(0, noise(1))
    (tmp_path / "a.wav.age").rename(tmp_path / "moved")
    (tmp_path / "a.wav.age").touch()

    restored = recording.finish_files()
    recording.close()

    assert restored == [tmp_path / "a-2.wav.age"]
    assert decrypted(restored[0]) == (noise(1), [])
