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


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (
            NESTED,
            {
                "callSid": "CS-B",
                "parentCallSid": "CS-A",
                "mixType": "stereo",
                "direction": "outbound",
                "to": "15085551212",
                "fsSipAddress": "172.20.11.10:5060",
                "localSipAddress": "172.20.11.10:5060",
                "fsPublicIp": "3.4.5.6",
                "customerData": {"tag": 1},
                "headers": {"X-A": "b"},
            },
        ),
        (
            INBOUND,
            {
                "callSid": "CS-A",
                "mixType": "mono",
                "direction": "inbound",
                "to": "15084901000",
                "localSipAddress": "172.20.11.10:5060",
                "publicIp": "3.4.5.6",
                "_customerData": {"k": "v"},
                "foo": "bar",
                "no such field": None,
            },
        ),
    ],
    ids=["nested", "usual"],
)
def test_each_call_answers_to_the_names_of_the_other(raw: bytes, values: dict[str, object]) -> None:
    metadata = CallMetadata.parse(raw)

    assert (metadata.valid, metadata.repairs, metadata.raw) == (True, (), raw)
    assert {name: metadata.get_field(name) for name in values} == values
    assert metadata.parent_call_sid == values.get("parentCallSid")
    assert (metadata.call_sid, metadata.mix_type) == (values["callSid"], values["mixType"])
    assert (metadata.sample_rate, metadata.direction) == (8000, values["direction"])
    assert (metadata.account_sid, metadata.caller, metadata.callee) == ("ACC", "15083084809", values["to"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("customerData.tenant", "acme"),
        ("customerData.list.0", None),
        ("_customerData.deep.er", 1),
        ("customerData.deep.er.still", None),
        ("headers.X-A.b", "dotted"),
        ("callSid.x", None),
        ("a.b", "whole"),
        ("customerData.", None),
    ],
)
def test_a_field_of_a_field_is_named_with_a_dot(name: str, value: object) -> None:
    metadata = CallMetadata.from_fields(
        {
            "callSid": "CS",
            "customerData": {"tenant": "acme", "list": [1], "deep": {"er": 1}},
            "headers": {"X-A.b": "dotted"},
            "a.b": "whole",
        }
    )

    assert metadata.get_field(name) == value


@pytest.mark.parametrize(
    ("raw", "fields", "repairs"),
    [
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
    ids=["control characters", "cut in a character", "all at once", "quotes and cut"],
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
    ("member", "values", "repairs"),
    [
        (b'"sampleRate":16000', (16000, None), ()),
        (b'"sampleRate":16000.0', (16000, None), ()),
        (b'"sampleRate":"16000"', (16000, None), ("sampleRate was a string",)),
        (b'"sampleRate":true', (None, None), ("sampleRate true is unusable",)),
        (b'"sampleRate":null', (None, None), ("sampleRate null is unusable",)),
        (b'"sampleRate":0', (None, None), ("sampleRate 0 is unusable",)),
        (b'"sampleRate":1', (None, None), ("sampleRate 1 is unusable",)),
        (b'"sampleRate":999', (None, None), ("sampleRate 999 is unusable",)),
        (b'"sampleRate":1000', (1000, None), ()),
        (b'"sampleRate":-8000', (None, None), ("sampleRate -8000 is unusable",)),
        (b'"sampleRate":384001', (None, None), ("sampleRate 384001 is unusable",)),
        (b'"sampleRate":8000.5', (None, None), ("sampleRate 8000.5 is unusable",)),
        (b'"sampleRate":1e999', (None, None), ('sampleRate "1e999" is unusable',)),
        (b'"sampleRate":{"a":1}', (None, None), ('sampleRate {"a":1} is unusable',)),
        (b'"mixType":"mixed"', (None, "mixed"), ()),
        (b'"mixType":"Stereo"', (None, "stereo"), ('mixType "Stereo" was taken as stereo',)),
        (b'"mixType":"quad"', (None, None), ('mixType "quad" is unusable',)),
        (b'"mixType":null', (None, None), ("mixType null is unusable",)),
    ],
)
def test_a_format_that_metadata_may_have_overwritten(
    member: bytes, values: tuple[int | None, str | None], repairs: tuple[str, ...]
) -> None:
    metadata = CallMetadata.parse(b"{" + member + b"}")

    assert (metadata.sample_rate, metadata.mix_type) == values
    assert (metadata.repairs, metadata.valid) == (repairs, True)


def test_fields_of_another_type_are_not_taken() -> None:
    metadata = CallMetadata.parse(b'{"callSid":5,"from":{"a":1},"to":null,"direction":[],"accountSid":""}')

    assert metadata.call_sid is metadata.caller is metadata.callee is metadata.direction is metadata.account_sid is None
    assert metadata.get_field("callSid") == 5


def test_broken_text_is_repaired_up_to_a_bound() -> None:
    metadata = CallMetadata.parse(HEAD + b'"x":"' + b'"' * 4_194_304)

    assert metadata.fields == HEAD_FIELDS | {"x": metadata.get_field("x")}
    assert metadata.repairs[-1] == "only the first 65536 characters of broken JSON were read"


@pytest.mark.parametrize(
    ("raw", "is_message"),
    [
        (b'{"event":"dtmf","dtmf":"1","duration":"1600"}', True),
        (b'{"type":"dtmf","dtmf":"1"}', True),
        (b'{"type":"playDone"}', True),
        (b'{"type": "mark", "data": {"name":"my-mark-1", "event": "playout"}}', True),
        (b'{"type": "mark", "data": {"name":"my "mark"", "event": "playout"}}', True),
        (b'{"type":"session:summary","data":{}}', True),
        *((raw, False) for raw in (INBOUND, NESTED, b"{}", b"hello", b"", HEAD + b'"type":"mark","event":"dtmf"}')),
    ],
)
def test_a_message_is_no_metadata(raw: bytes, is_message: bool) -> None:
    assert CallMetadata.parse(raw).is_message == is_message


def test_metadata_built_from_fields_is_sent_compactly() -> None:
    metadata = CallMetadata.from_fields({"sampleRate": 8000, "mixType": "mono", "from": "Zoë"})

    assert metadata.serialize() == '{"sampleRate":8000,"mixType":"mono","from":"Zoë"}'
    assert metadata.sample_rate == 8000


@given(OBJECTS)
def test_any_object_is_read_as_it_is_also_before_a_stray_apostrophe(fields: dict[str, object]) -> None:
    raw = json.dumps(fields).encode()
    metadata, stray = CallMetadata.parse(raw), CallMetadata.parse(raw + b"'")

    assert metadata.fields == stray.fields == fields
    assert (metadata.valid, stray.repairs[0]) == (True, "removed a stray ' after the JSON")


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
