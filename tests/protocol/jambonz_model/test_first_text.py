import json
from collections.abc import Callable
from itertools import count

import pytest

from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.jambonz_model.first_text import (
    BROKEN_FIRST_TEXTS,
    CallKind,
    describe_damage,
    first_text,
    first_text_fields,
    pass_argument,
)
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, PROFILES, Profile
from tests.protocol.test_call_metadata import INBOUND, NESTED

GOOD = b'{"sampleRate":8000,"mixType":"mono","callSid":"c"}'
COMMAND_LINE = [CURRENT, OLD]


def ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"id-{next(numbers)}"


def fields_of(kind: CallKind, mix_type: str = "mono", **metadata: object) -> dict[str, object]:
    return first_text_fields(
        kind,
        sample_rate=8000,
        mix_type=mix_type,
        metadata=metadata,
        new_id=ids(),
        caller="15083084809",
        callee="15084901000",
    )


@pytest.mark.parametrize("profile", PROFILES.values())
@pytest.mark.parametrize("text", [INBOUND, NESTED])
def test_a_frame_without_oddities_arrives_as_jambonz_writes_it(text: bytes, profile: Profile) -> None:
    assert first_text(json.loads(text), profile) == text


@pytest.mark.parametrize(
    ("kind", "mix_type", "metadata", "real", "left_out", "ids"),
    [
        (CallKind.INBOUND, "mono", {"foo": "bar"}, INBOUND, ["customerData"], "id-1 id-2 id-3 id-4 id5 id-6"),
        # A listen in a dial has the raw names of the called leg.
        (CallKind.DIAL, "stereo", {}, NESTED, ["_customerData", "_sipHeaders"], "id1 id-2 id-3 id-4 id-5 id-6 id-7"),
    ],
    ids=["inbound", "dial"],
)
def test_a_call_has_the_fields_of_a_real_one_in_order_and_ids_of_its_own(
    kind: CallKind, mix_type: str, metadata: dict[str, object], real: bytes, left_out: list[str], ids: str
) -> None:
    expected = {name: value for name, value in json.loads(real).items() if name not in left_out}

    fields = fields_of(kind, mix_type, **metadata)

    assert [(name, type(value)) for name, value in fields.items()] == [
        (name, type(value)) for name, value in expected.items()
    ]
    assert fields["direction"] == expected["direction"]
    assert (fields["from"], fields["to"]) == ("15083084809", "15084901000")
    assert [value for value in fields.values() if str(value).startswith("id")] == ids.split()


def test_outbound_and_background_calls_are_like_inbound_ones() -> None:
    inbound = fields_of(CallKind.INBOUND)

    outbound = fields_of(CallKind.OUTBOUND)

    assert outbound["direction"] == "outbound"
    assert inbound.keys() - outbound.keys() == {"originatingSipIp", "originatingSipTrunkName"}
    assert outbound.keys() <= inbound.keys()
    assert fields_of(CallKind.CONFIG) == inbound


def test_cloud_recording_is_stereo_without_metadata() -> None:
    fields = fields_of(CallKind.RECORD, "mono", customerData={"k": "v"}, foo="bar")

    assert fields["mixType"] == "stereo"
    assert list(fields)[:2] == ["sampleRate", "mixType"]
    assert fields.keys() == fields_of(CallKind.INBOUND).keys()


def test_a_tap_of_a_room_sends_the_metadata_alone() -> None:
    assert fields_of(CallKind.ROOM, room="r1", sampleRate=16_000) == {"room": "r1", "sampleRate": 16_000}
    assert fields_of(CallKind.ROOM) == {}


def test_a_tap_of_a_room_member_overwrites_the_metadata() -> None:
    fields = fields_of(CallKind.MEMBER, foo="bar", callSid="mine", mixType="x")

    assert fields == {
        "foo": "bar",
        "callSid": "id-1",
        "mixType": "x",
        "room": "room-1",
        "memberId": 1,
        "accountSid": "id-2",
        "tag": "",
        "sampleRate": 8000,
    }
    assert "mixType" not in fields_of(CallKind.MEMBER)


@pytest.mark.parametrize("kind", [CallKind.INBOUND, CallKind.OUTBOUND, CallKind.DIAL, CallKind.CONFIG])
def test_metadata_is_merged_last_and_may_overwrite_anything(kind: CallKind) -> None:
    fields = fields_of(kind, sampleRate=16_000, callSid="mine", foo={"a": [1]})

    assert fields["sampleRate"] == 16_000
    assert fields["callSid"] == "mine"
    assert next(iter(fields)) == "sampleRate"
    assert list(fields)[-1] == "foo"


def test_numbers_are_written_as_javascript_does() -> None:
    fields = {"a": 8000.0, "b": [1.5, -0.0, {"c": 2.0}], "d": True, "e": None}

    assert first_text(fields, IDEAL) == b'{"a":8000,"b":[1.5,0,{"c":2}],"d":true,"e":null}'


@pytest.mark.parametrize("profile", COMMAND_LINE)
@pytest.mark.parametrize(
    ("fields", "frame"),
    [
        # One apostrophe goes to the end, two vanish.
        ({"callSid": "c", "agent": "O'Brien"}, b'{"callSid":"c","agent":"OBrien"}\''),
        ({"a": "O'Brien", "b": "it's"}, b'{"a":"OBrien","b":"its"}'),
        # Nested values lose their escapes.
        ({"x": {"q": 'say "hi"'}}, b'{"x":{"q":"say "hi""}}'),
        ({"x": ["1\n2\t3"]}, b'{"x":["1\n2\t3"]}'),
        ({"_customerData": {"q": 'say "hi"'}}, b'{"_customerData":{"q":"say "hi""}}'),
        ({"callerName": 'Bob "B"'}, b'{"callerName":"Bob "B""}'),
        # Exactly the limit.
        ({"a": "x" * 8184}, b'{"a":"' + b"x" * 8184 + b'"}'),
    ],
)
def test_the_command_line_changes_a_first_text(fields: dict[str, object], frame: bytes, profile: Profile) -> None:
    assert first_text(fields, profile) == frame


def test_current_protects_the_top_level_of_metadata_and_customer_data() -> None:
    fields = {"q": 'say "hi"\n', "path": "C:\\new", "customerData": {"q": 'say "hi"', "deep": {"q": '"'}}}

    frame = first_text(fields, CURRENT)

    assert frame == rb'{"q":"say \"hi\"\n","path":"C:\\new","customerData":{"q":"say \"hi\"","deep":{"q":"""}}}'
    assert first_text({"q": 'say "hi"'}, OLD) == b'{"q":"say "hi""}'


@pytest.mark.parametrize("profile", COMMAND_LINE)
def test_a_long_frame_is_cut_even_inside_a_character(profile: Profile) -> None:
    frame = first_text({"a": "ä" * 8000}, profile)

    assert len(frame) == 8192
    # After six bytes the cut is between characters; after a seventh it is inside one.
    assert frame.decode().endswith("ä")
    with pytest.raises(UnicodeDecodeError):
        first_text({"ab": "ä" * 8000}, profile).decode()


@pytest.mark.parametrize("profile", [NEXT, IDEAL])
def test_without_the_command_line_everything_arrives(profile: Profile) -> None:
    fields = {"a": "O'Brien", "x": {"q": 'say "hi"\n'}, "long": "ä" * 8000}

    assert json.loads(first_text(fields, profile)) == fields


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        *((raw, "None") for raw in (b"{}", GOOD, INBOUND, b'{"a":"' + b"x" * 9000 + b'"}')),
        (b'{"a":"OBrien"}\'', "apostrophe"),
        (b'{"x":{"q":"say "hi""}}', "escapes"),
        (b'{"x":"1\n2"}', "escapes"),
        (b'{"a":"' + b"x" * 8186, "8192"),
        (b'{"a":"x' + "ä".encode() * 4092 + b"\xc3", "8192"),
        (b"not json", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"", "not a JSON object"),
    ],
)
def test_damage_is_said_in_a_sentence(raw: bytes, words: str) -> None:
    assert words in str(describe_damage(raw))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("apostrophe", b'{"sampleRate":8000,"mixType":"mono","callSid":"c","agent":"OBrien"}\''),
        ("quotes", b'{"sampleRate":8000,"mixType":"mono","callSid":"c","x":{"q":"say "hi""}}'),
        ("newline", b'{"sampleRate":8000,"mixType":"mono","callSid":"c","x":{"q":"two\nlines"}}'),
        ("empty", b"{}"),
        ("not-json", b"not json"),
    ],
)
def test_frames_are_broken_as_real_ones_are(name: str, broken: bytes) -> None:
    assert BROKEN_FIRST_TEXTS[name](GOOD) == broken


@pytest.mark.parametrize("good", [GOOD, GOOD[:-1] + b',"a":1}', b"{}"])
def test_the_cut_frame_is_a_real_one_that_ends_inside_a_character(good: bytes) -> None:
    broken = BROKEN_FIRST_TEXTS["cut"](good)

    assert len(broken) == 8192
    assert broken.startswith(good[:-1])
    assert broken.endswith("ää".encode() + b"\xc3")
    with pytest.raises(UnicodeDecodeError):
        broken.decode()


def test_a_frame_that_is_long_already_is_only_cut() -> None:
    long = b'{"a":"' + b"x" * 9000 + b'"}'

    assert BROKEN_FIRST_TEXTS["cut"](long) == long[:8192]


@pytest.mark.parametrize("name", sorted(BROKEN_FIRST_TEXTS.keys() - {"empty"}))
def test_every_broken_frame_is_seen_as_damaged_by_both_sides(name: str) -> None:
    broken = BROKEN_FIRST_TEXTS[name](GOOD)

    assert describe_damage(broken) is not None
    assert not CallMetadata.parse(broken).valid


@pytest.mark.parametrize(
    ("text", "arrives"),
    [
        ('{"a":"plain"}', '{"a":"plain"}'),
        ('{"a":"Zoë 日本"}', '{"a":"Zoë 日本"}'),
        ('{"a":"x|y"}', '{"a":"x|y"}'),
        ('{"a":"O\'Brien"}', '{"a":"OBrien"}\''),
        ('{"a":"\'x\'"}', '{"a":"x"}'),
        ('{"a":"\'\'\'"}', '{"a":""}\''),
        (r'{"a":"say \"hi\""}', '{"a":"say "hi""}'),
        (r'{"a":"1\n2\r\t"}', '{"a":"1\n2\r\t"}'),
        (r'{"a":"\s"}', '{"a":" "}'),
        (r'{"a":"C:\\new"}', r'{"a":"C:\new"}'),
        (r'{"a":"\\\"hi\\\""}', r'{"a":"\"hi\""}'),
        (r'{"a":"\u001f\b\f"}', r'{"a":"\u001f\b\f"}'),
        ('{"a":"O\'Brien | Sons"}', '{"a":"OBrien'),
        ('{"a":"O\'Brien","b":"x \'|y"}', '{"a":"OBrien","b":"x |y"}'),
        ('{"a":"x \'|y"}', '{"a":"x '),
        ("", ""),
    ],
)
def test_an_argument_is_unescaped_once_and_loses_its_apostrophes(text: str, arrives: str) -> None:
    assert pass_argument(text) == arrives
