import json
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.call_metadata import CallMetadata
from tests.protocol.test_peer_json import JSON

INBOUND = (
    b'{"sampleRate":8000,"mixType":"mono","callSid":"CS-A","direction":"inbound","from":"15083084809",'
    b'"to":"15084901000","callId":"cid-a","sbcCallid":"sbc-a","sipStatus":200,"sipReason":"OK",'
    b'"callStatus":"in-progress","accountSid":"ACC","traceId":"tr","applicationSid":"APP",'
    b'"fsSipAddress":"172.20.11.10:5060","originatingSipIp":"54.172.60.1","originatingSipTrunkName":"Twilio",'
    b'"customerData":{"k":"v"},"fsPublicIp":"3.4.5.6","foo":"bar"}'
)
NESTED = (
    b'{"sampleRate":8000,"mixType":"stereo","direction":"outbound","traceId":"tr","hasRecording":false,'
    b'"callerName":"Bob","callSid":"CS-B","parentCallSid":"CS-A","accountSid":"ACC","applicationSid":"APP",'
    b'"from":"15083084809","to":"15085551212","callerId":"15083084809","callId":"cid-b",'
    b'"callStatus":"in-progress","sipStatus":200,"sipReason":"OK","localSipAddress":"172.20.11.10:5060",'
    b'"publicIp":"3.4.5.6","sbcCallid":"sbc-b","_customerData":{"tag":1},"_sipHeaders":{"X-A":"b"}}'
)
HEAD = b'{"sampleRate":8000,"mixType":"mono","callSid":"c",'
HEAD_FIELDS = {"sampleRate": 8000, "mixType": "mono", "callSid": "c"}
OBJECTS = st.dictionaries(st.text(), JSON, max_size=6)


def test_inbound_call() -> None:
    metadata = CallMetadata.parse(INBOUND)

    assert metadata.valid
    assert metadata.repairs == ()
    assert metadata.raw == INBOUND
    assert (metadata.sample_rate, metadata.mix_type, metadata.direction) == (8000, "mono", "inbound")
    assert (metadata.call_sid, metadata.parent_call_sid, metadata.account_sid) == ("CS-A", None, "ACC")
    assert (metadata.caller, metadata.callee) == ("15083084809", "15084901000")
    assert metadata.get_field("foo") == "bar"
    assert metadata.get_field("no such field") is None


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (
            NESTED,
            {
                "callSid": "CS-B",
                "parentCallSid": "CS-A",
                "mixType": "stereo",
                "fsSipAddress": "172.20.11.10:5060",
                "localSipAddress": "172.20.11.10:5060",
                "fsPublicIp": "3.4.5.6",
                "customerData": {"tag": 1},
                "headers": {"X-A": "b"},
            },
        ),
        (INBOUND, {"localSipAddress": "172.20.11.10:5060", "publicIp": "3.4.5.6", "_customerData": {"k": "v"}}),
    ],
    ids=["nested", "usual"],
)
def test_each_call_answers_to_the_names_of_the_other(raw: bytes, values: dict[str, object]) -> None:
    metadata = CallMetadata.parse(raw)

    assert {name: metadata.get_field(name) for name in values} == values
    assert metadata.parent_call_sid == values.get("parentCallSid")


@pytest.mark.parametrize(
    ("raw", "fields", "repairs"),
    [
        (HEAD + b'"agent":"OBrien"}\'', {"agent": "OBrien"}, ["removed a stray ' after the JSON"]),
        (
            HEAD + b'"x":{"q":"say "hi""}}',
            {"x": {"q": 'say "hi"'}},
            ["quotes inside `x.q` were not escaped"],
        ),
        (
            HEAD + b'"x":{"q":"one\ntwo\t"}}',
            {"x": {"q": "one\ntwo\t"}},
            ["a string contains raw control characters"],
        ),
        (
            (HEAD + b'"note":"x' + "é".encode() * 5000 + b'"}')[:8192],
            {},
            [
                "invalid UTF-8 at byte 8191 was replaced",
                "the first text was cut at 8192 bytes; the last field `note` is incomplete",
            ],
        ),
        (
            HEAD + b'"x":{"q":"say "hi"","r":"a\nb"},"s":"\xff"}\'',
            {"x": {"q": 'say "hi"', "r": "a\nb"}, "s": "\ufffd"},
            [
                "invalid UTF-8 at byte 86 was replaced",
                "quotes inside `x.q` were not escaped",
                "`x.r` contains raw control characters",
                "removed a stray ' after the JSON",
            ],
        ),
        (
            HEAD + b'"agent":"OBrien","x":{"q":"say "hi"","r":"left|',
            {"agent": "OBrien", "x": {"q": 'say "hi"'}},
            [
                "quotes inside `x.q` were not escaped",
                "the end of the JSON is missing; the last field `x.r` is incomplete",
            ],
        ),
    ],
    ids=["apostrophe", "quotes", "control characters", "cut in a character", "all at once", "quotes and cut"],
)
def test_a_broken_text_is_repaired(raw: bytes, fields: dict[str, object], repairs: list[str]) -> None:
    metadata = CallMetadata.parse(raw)

    assert metadata.fields == HEAD_FIELDS | fields
    assert list(metadata.repairs) == repairs
    assert not metadata.valid


@pytest.mark.parametrize(
    ("raw", "repairs"),
    [
        (b"{}", ()),
        (b" {} \n", ()),
        (b"", ("the first text is empty",)),
        (b"hello", ("the first text is not a JSON object",)),
        (b"[1]", ("the first text is not a JSON object",)),
        (b"'", ("the first text is not a JSON object",)),
        (b"{} more", ("ignored what followed the JSON",)),
    ],
)
def test_text_without_fields(raw: bytes, repairs: tuple[str, ...]) -> None:
    metadata = CallMetadata.parse(raw)

    assert metadata.fields == {}
    assert metadata.repairs == repairs
    assert metadata.valid == (not repairs)
    assert (metadata.call_sid, metadata.sample_rate, metadata.mix_type) == (None, None, None)


@pytest.mark.parametrize("stray", [b"", b"'", b" ' "])
def test_glued_messages_are_handed_back(stray: bytes) -> None:
    metadata = CallMetadata.parse(b'{"callSid":"c"}' + stray + b'{"event":"dtmf","dtmf":"1"}{"type":"playDone"}')

    assert metadata.fields == {"callSid": "c"}
    assert metadata.rest == b'{"event":"dtmf","dtmf":"1"}{"type":"playDone"}'


@pytest.mark.parametrize(
    ("value", "sample_rate", "repairs"),
    [
        (b"16000", 16000, ()),
        (b"16000.0", 16000, ()),
        (b'"16000"', 16000, ("sampleRate was a string",)),
        (b"true", None, ("sampleRate true is unusable",)),
        (b"null", None, ("sampleRate null is unusable",)),
        (b"0", None, ("sampleRate 0 is unusable",)),
        (b"-8000", None, ("sampleRate -8000 is unusable",)),
        (b"384001", None, ("sampleRate 384001 is unusable",)),
        (b"8000.5", None, ("sampleRate 8000.5 is unusable",)),
        (b"1e999", None, ('sampleRate "1e999" is unusable',)),
        (b'{"a":1}', None, ('sampleRate {"a":1} is unusable',)),
    ],
)
def test_sample_rate_that_metadata_may_have_overwritten(
    value: bytes, sample_rate: int | None, repairs: tuple[str, ...]
) -> None:
    metadata = CallMetadata.parse(b'{"sampleRate":' + value + b"}")

    assert metadata.sample_rate == sample_rate
    assert metadata.repairs == repairs
    assert metadata.valid


@pytest.mark.parametrize(
    ("value", "mix_type", "repairs"),
    [
        (b'"mixed"', "mixed", ()),
        (b'"Stereo"', "stereo", ('mixType "Stereo" was taken as stereo',)),
        (b'"quad"', None, ('mixType "quad" is unusable',)),
        (b"null", None, ("mixType null is unusable",)),
    ],
)
def test_mix_type_that_metadata_may_have_overwritten(
    value: bytes, mix_type: str | None, repairs: tuple[str, ...]
) -> None:
    metadata = CallMetadata.parse(b'{"mixType":' + value + b"}")

    assert metadata.mix_type == mix_type
    assert metadata.repairs == repairs


def test_fields_of_another_type_are_not_taken() -> None:
    metadata = CallMetadata.parse(b'{"callSid":5,"from":{"a":1},"to":null,"direction":[],"accountSid":""}')

    assert metadata.call_sid is metadata.caller is metadata.callee is metadata.direction is metadata.account_sid is None
    assert metadata.get_field("callSid") == 5


def test_broken_text_is_repaired_up_to_a_bound() -> None:
    metadata = CallMetadata.parse(HEAD + b'"x":"' + b'"' * 4_194_304)

    assert metadata.fields == HEAD_FIELDS | {"x": metadata.get_field("x")}
    assert metadata.repairs[-1] == "only the first 65536 characters of broken JSON were read"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"event":"dtmf","dtmf":"1","duration":"1600"}',
        b'{"type":"dtmf","dtmf":"1"}',
        b'{"type":"playDone"}',
        b'{"type": "mark", "data": {"name":"my-mark-1", "event": "playout"}}',
        b'{"type": "mark", "data": {"name":"my "mark"", "event": "playout"}}',
        b'{"type":"session:summary","data":{}}',
    ],
)
def test_a_message_is_no_metadata(raw: bytes) -> None:
    assert CallMetadata.parse(raw).is_message


@pytest.mark.parametrize("raw", [INBOUND, NESTED, b"{}", b"hello", b"", HEAD + b'"type":"mark","event":"dtmf"}'])
def test_everything_else_may_be_metadata(raw: bytes) -> None:
    assert not CallMetadata.parse(raw).is_message


def test_metadata_built_from_fields_is_sent_compactly() -> None:
    metadata = CallMetadata.from_fields({"sampleRate": 8000, "mixType": "mono", "from": "Zoë"})

    assert metadata.serialize() == '{"sampleRate":8000,"mixType":"mono","from":"Zoë"}'
    assert metadata.sample_rate == 8000


@given(OBJECTS)
def test_any_object_is_read_as_it_is(fields: dict[str, object]) -> None:
    metadata = CallMetadata.parse(json.dumps(fields).encode())

    assert metadata.fields == fields
    assert metadata.valid


@given(OBJECTS)
def test_a_stray_apostrophe_changes_no_field(fields: dict[str, object]) -> None:
    metadata = CallMetadata.parse(json.dumps(fields).encode() + b"'")

    assert metadata.fields == fields
    assert metadata.repairs[0] == "removed a stray ' after the JSON"


@given(OBJECTS, st.booleans(), st.data())
def test_a_cut_costs_no_member_before_it(fields: dict[str, object], ascii_only: bool, data: st.DataObject) -> None:
    members = [json.dumps({name: value}, ensure_ascii=ascii_only)[1:-1].encode() for name, value in fields.items()]
    raw = b"{" + b",".join(members) + b"}"
    cut = data.draw(st.integers(1, len(raw)))

    metadata = CallMetadata.parse(raw[:cut])

    # A member is complete when what follows it, a comma or the closing brace, has arrived as well.
    ends = accumulate((len(member) + 1 for member in members), initial=1)
    complete = dict(item for item, end in zip(fields.items(), list(ends)[1:], strict=True) if end <= cut)
    assert {name: metadata.fields.get(name) for name in complete} == complete


@given(st.binary() | st.text(alphabet="{}[]\",:\\' a1\ud7ff\n").map(str.encode))
def test_no_first_text_raises(raw: bytes) -> None:
    metadata = CallMetadata.parse(b'{"a":' + raw)

    assert json.dumps(dict(metadata.fields), ensure_ascii=False).encode()
    assert metadata.raw == b'{"a":' + raw
