import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol import peer_json
from listenctl.protocol.application_commands import (
    ClearMarks,
    Command,
    Disconnect,
    KillAudio,
    MarkCommand,
    PlayAudio,
    UnknownCommand,
    mark_name_is_safe,
    parse_command,
)
from tests.helpers.playout import V7, V7_SAMPLES
from tests.protocol.test_peer_json import JSON

WIRE = [
    (V7, PlayAudio("AADoAxj8//8=", "raw", 8000, True, "v7")),
    (
        b'{"type":"playAudio","data":{"audioContent":"UklGRg==","audioContentType":"wav","id":7,"textContent":"hi"}}',
        PlayAudio("UklGRg==", "wav", id=7, text_content="hi"),
    ),
    (b'{"type":"killAudio"}', KillAudio()),
    (b'{"type":"mark","data":{"name":"my-mark-1"}}', MarkCommand("my-mark-1")),
    (b'{"type":"clearMarks"}', ClearMarks()),
    (b'{"type":"disconnect"}', Disconnect()),
]


@pytest.mark.parametrize(("raw", "command"), WIRE)
def test_wire_forms_are_parsed_and_serialised_exactly(raw: bytes, command: Command) -> None:
    assert parse_command(raw) == command
    assert command.serialize().encode() == raw


def test_samples_become_the_command_that_jambonz_plays() -> None:
    command = PlayAudio.encode(V7_SAMPLES, "raw", sample_rate=8000, queue_play=True, clip_id="v7")

    assert command.serialize().encode() == V7


def test_base64_is_never_wrapped() -> None:
    assert "\n" not in str(PlayAudio.encode(bytes(1000), "wav").audio_content)


@pytest.mark.parametrize(
    ("raw", "command"),
    [
        (b' {"TYPE":"killAudio"} trailing', KillAudio()),
        (b'{"Type":"mark","DATA":{"Name":"x"}}', MarkCommand("x")),
        (b'{"type":"mark","data":{"name":"a\nb"}}', MarkCommand("a\nb")),
        (b'{"type":"disconnect","data":{"why":"x"}}', Disconnect()),
    ],
)
def test_what_jambonz_tolerates_is_tolerated(raw: bytes, command: Command) -> None:
    assert parse_command(raw) == command


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (b'{"audioContent":"AADo\\nAxj8//8=","audioContentType":"mp3"}', PlayAudio("AADo\nAxj8//8=", "mp3")),
        (b'{"audioContent":"AADo","sampleRate":"8000"}', PlayAudio("AADo", None, "8000")),
        (b'{"audioContent":5,"audioContentType":true}', PlayAudio(5, True)),
        (b"{}", PlayAudio(None, None)),
    ],
)
def test_fields_keep_what_jambonz_would_stumble_over(data: bytes, command: PlayAudio) -> None:
    assert parse_command(b'{"type":"playAudio","data":' + data + b"}") == command


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b'{"type":"KILLAUDIO"}', "KILLAUDIO"),
        (b'{"type":"error","data":1}', "error"),
        (b'{"type":"mark","name":"x"}', "mark"),
        (b'{"type":"mark","data":{"name":5}}', "mark"),
        (b'{"type":"playAudio"}', "playAudio"),
        (b'{"type":5}', "json"),
        (b'{"hello":1}', "json"),
        (b"[1]", "json"),
        (b'"killAudio"', "json"),
        (b'{"type":"killAudio"', None),
        (b"not json", None),
        (b"", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_what_commands_nothing_is_kept(raw: bytes, kind: str | None) -> None:
    command = parse_command(raw)

    assert isinstance(command, UnknownCommand)
    assert command.type == kind
    assert command.serialize() == raw.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        *((name, True) for name in ("my-mark-1", "Zoë", "it's", "")),
        *((name, False) for name in ('a"b', "a\\b", "a\nb", "\x00", "\udcff")),
    ],
)
def test_a_name_is_safe_when_it_comes_back_unchanged(name: str, safe: bool) -> None:
    assert mark_name_is_safe(name) == safe


@given(st.binary() | JSON.map(lambda value: peer_json.encode(value).encode()))
def test_no_text_raises(raw: bytes) -> None:
    assert parse_command(raw).serialize() is not None
