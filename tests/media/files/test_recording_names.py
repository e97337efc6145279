import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.errors import UsageError
from listenctl.media.files.recording_names import CallTimes, RecordingDestination, clean_for_file_name, similar_field

STARTED = datetime(2026, 3, 1, 23, 5, 9, tzinfo=UTC)
CALL: Mapping[str, object] = {"callSid": "CS-A", "from": "+15551234567", "date": "never", "customerData": {"a": 1}}


def name(text: str, fields: Mapping[str, object] = CALL, *, kind: str | None = None) -> str:
    # Names have the time in UTC.
    started = STARTED.astimezone(timezone(timedelta(hours=5)))
    return str(RecordingDestination.parse(text, kind=kind).wav_path(fields.get, CallTimes(started.timestamp())))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("recordings/", "recordings/CS-A.wav"),
        ("recordings", "recordings/CS-A.wav"),
        (".", "CS-A.wav"),
        ("../up", "../up/CS-A.wav"),
        ("/var/calls.d", "/var/calls.d/CS-A.wav"),
        ("folder.wav/", "folder.wav/CS-A.wav"),
        ("call.wav", "call.wav"),
        ("/tmp/one.call.FLAC", "/tmp/one.call.wav"),
        ("{date}/{callSid}.wav", "2026-03-01/CS-A.wav"),
        ("{date}/", "2026-03-01/CS-A.wav"),
        ("{date}T{time}_{from}.ogg", "2026-03-01T230509_+15551234567.wav"),
        ("{callSid}", "CS-A.wav"),
        ("{{{callSid}}}.wav", "{CS-A}.wav"),
        ("a{{b", "a{b.wav"),
        ("{nothing}/{customerData}.mp3", "unknown/unknown.wav"),
        ("out.d/", "out.d/CS-A.wav"),
        ("2026.11.30", "2026.11.30/CS-A.wav"),
    ],
)
def test_destination_names_the_file(text: str, path: str) -> None:
    assert name(text) == path


@pytest.mark.parametrize(
    ("text", "kind", "extension", "finished"),
    [
        ("calls/", None, ".wav", "wav"),
        ("calls/", "mp3", ".mp3", "mp3"),
        ("{callSid}.opus", None, ".opus", "ogg"),
        ("{callSid}.opus", "ogg", ".opus", "ogg"),
        ("{callSid}.opus", "flac", ".flac", "flac"),
        ("-", None, ".wav", "wav"),
        ("-", "raw", ".raw", "raw"),
    ],
)
def test_format_is_that_of_the_option_or_else_of_the_extension(
    text: str, kind: str | None, extension: str, finished: str
) -> None:
    destination = RecordingDestination.parse(text, kind=kind)

    assert (destination.extension, destination.kind) == (extension, finished)


def test_a_folder_may_look_like_a_file_if_it_exists(tmp_path: Path) -> None:
    (tmp_path / "example.com").mkdir()

    assert name(f"{tmp_path}/example.com") == f"{tmp_path}/example.com/CS-A.wav"


def test_fields_that_only_a_verb_can_add_are_known() -> None:
    assert RecordingDestination.parse("{date}/{tenant}-{customerData.a}-{callSid}.wav").unknown_fields == ["tenant"]


def test_dash_is_stdout() -> None:
    assert RecordingDestination.parse("-").is_stdout
    assert not RecordingDestination.parse("./-").is_stdout


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("", None, "is empty"),
        ("a\0b", None, "NUL"),
        ("rec/{callSid", None, r"column 5: '\{' stands alone"),
        ("rec/callSid}.wav", None, r"column 12: '\}' stands alone"),
        ("{}.wav", None, r"column 1: '\{\}' names no metadata field"),
        ("{date:%Y}.wav", None, "names no metadata field"),
        ("{a/b}.wav", None, "names no metadata field"),
        ("{callsid}.wav", None, r"did you mean \{callSid\} instead of \{callsid\}\?"),
        ("{FROM}/{callSid}", None, r"did you mean \{from\}"),
        ("{call_sid}", None, r"did you mean \{callSid\}"),
        ("{customerdata.tenant}/", None, r"did you mean \{customerData.tenant\}"),
        ("s3://bucket/{callSid}.wav", None, "can't write to s3://; give a local path"),
        ("https://example.com/calls/", None, "can't write to https://"),
        ("out.wave", None, r"can't record to \.wave files.*, or with / if it is a folder"),
        ("{callSid}.m4a", None, r"can't record to \.m4a files; end the name with one of \.wav, \.flac"),
        ("calls/", "m4a", "format 'm4a' is unknown; use one of flac, mp3, ogg, raw, wav"),
        ("-", "flac", "only wav and raw can be written to stdout"),
    ],
)
def test_a_destination_that_makes_no_sense_is_refused(text: str, kind: str | None, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        RecordingDestination.parse(text, kind=kind)


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("CS-A", "CS-A"),
        ("  Zoë Müller 李 ", "Zoë Müller 李"),
        (8000, "8000"),
        (-5, "_5"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "unknown"),
        ("", "unknown"),
        (" ", "unknown"),
        ({"a": 1}, "unknown"),
        ([1], "unknown"),
        pytest.param(10**5000, "unknown", id="huge"),
        ("../../etc/passwd", "___.._etc_passwd"),
        ("..", "__"),
        ("/root", "_root"),
        ("-rf", "_rf"),
        (".hidden", "_hidden"),
        ("a\0b\x1b[2Jc\nd\x7f\x9b", "a_b_[2Jc_d__"),
        ("a\u202eb\u200bc\u2028d\ud800e\ufefff", "a_b_c_d_e_f"),
        ('sip:a@b;x="1"|*?<>\\', "sip_a@b;x=_1_______"),
        ("NUL", "_NUL"),
        ("com1.txt", "_com1.txt"),
        ("console", "console"),
        ("x" * 5000, "x" * 100),
        ("é" * 5000, "é" * 50),
    ],
)
def test_values_from_the_wire_are_made_harmless(value: object, safe: str) -> None:
    assert clean_for_file_name(value) == safe


def test_long_names_leave_room_for_what_is_appended() -> None:
    fields = {"a": "李" * 90, "b": "y" * 90, "c": "z" * 90}

    path = Path(name("{a}{b}{c}/{a}{b}{c}.flac", fields))

    assert len(path.parent.name.encode()) <= 255
    assert len(path.stem.encode()) <= 200


@given(value=st.one_of(st.text(), st.text("./\\~- \0\u202e\ud800")), other=st.text(max_size=5))
def test_no_value_leaves_its_folder(value: str, other: str) -> None:
    fields = {"from": value, "to": other}

    path = Path(name("calls/{from}/{from}{to}.wav", fields))

    assert len(path.parts) == 3
    assert path.parts[0] == "calls"
    assert not any(part.startswith((".", "-")) for part in path.parts)
    assert not any(unicodedata.category(character)[0] == "C" for character in str(path))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("callsd", "callSid"),
        ("caller_ids", "callerId"),
        ("acountSid", "accountSid"),
        ("custmerData.tenant", "customerData.tenant"),
        ("tenant", None),
        ("agent", None),
        ("x" * 5000, None),
    ],
)
def test_a_misspelled_field_is_recognised(name: str, meant: str | None) -> None:
    assert similar_field(name) == meant


def test_redacted_names_have_no_whole_numbers() -> None:
    values = {"from": "+15083084809", "customerData.phone": 15085551212, "callSid": "15083084809"}
    template = "out/{from}-{customerData.phone}-{callSid}.wav"

    path = RecordingDestination.parse(template, redact=True).wav_path(values.get, CallTimes(0.0))

    assert path == Path("out/+xxxxxxxx809-xxxxxxxx212-15083084809.wav")
