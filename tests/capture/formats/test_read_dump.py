"""The dump format: written lines can be read, and damage affects only its own line."""

import io
import json
import subprocess
from collections.abc import Sequence
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.formats.dump_line_format import (
    DumpAudio,
    DumpEnd,
    DumpFault,
    DumpHeader,
    DumpLoss,
    audio_lines,
    event_line,
    frame_line,
    header_line,
)
from listenctl.capture.formats.read_dump import DumpItem, UnreadableLine, parse_dump_line, read_dump
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.timeline import TimedFrame
from tests.helpers.dumps import read_lines

HEADER = DumpHeader("2026-11-21T15:00:00.123456Z", "CS-A", "CS-A", "127.0.0.1:4", "/a?b=1", None, "ws://h:3000/")
TEXT, BINARY, CLOSE = 1, 2, 8

TIMES = st.integers(0, 10**12).map(lambda microseconds: microseconds / 1e6)
SENDERS = st.sampled_from(Sender)
FRAMES = st.builds(
    RawFrame,
    fin=st.booleans(),
    rsv=st.integers(0, 7),
    opcode=st.integers(0, 15),
    masked=st.booleans(),
    payload=st.binary(max_size=80) | st.text(max_size=40).map(str.encode),
)
TIMED = st.builds(TimedFrame, TIMES, SENDERS, FRAMES)


def line_of(timed: TimedFrame) -> bytes:
    return frame_line(*timed)


def from_jambonz(opcode: int, payload: bytes) -> RawFrame:
    return RawFrame(True, 0, opcode, True, payload)


def read(data: bytes, max_line: int = 100_000) -> list[tuple[int, DumpItem]]:
    return list(read_lines(io.BytesIO(data), max_line=max_line))


def items(data: bytes) -> list[DumpItem]:
    return [item for _, item in read(data)]


def audio_line(number: int) -> bytes:
    return frame_line(number * 0.02, Sender.JAMBONZ, from_jambonz(BINARY, bytes([number, 0])))


@given(st.lists(st.tuples(TIMES, st.binary(min_size=7, max_size=7)), min_size=1))
def test_the_lines_of_audio_are_those_of_each_frame(frames: list[tuple[float, bytes]]) -> None:
    audio = DumpAudio([at for at, _ in frames], 7, b"".join(payload for _, payload in frames))

    lines = [frame_line(at, Sender.JAMBONZ, from_jambonz(BINARY, payload)) for at, payload in frames]

    assert audio_lines(audio) == b"".join(lines)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (from_jambonz(TEXT, b'{"a":1}'), {"opcode": "text", "text": '{"a":1}'}),
        (from_jambonz(TEXT, "ü\n\x00\u2028".encode()), {"opcode": "text", "text": "ü\n\x00\u2028"}),
        (from_jambonz(TEXT, b"\xff"), {"opcode": "text", "data": "/w=="}),
        (from_jambonz(BINARY, b"abc"), {"opcode": "binary", "data": "YWJj"}),
        (from_jambonz(BINARY, b""), {"opcode": "binary", "data": ""}),
        (RawFrame(False, 0, 0, True, b"abc"), {"opcode": "continuation", "fin": False, "data": "YWJj"}),
        (from_jambonz(CLOSE, b"\x03\xe8bye"), {"opcode": "close", "data": "A+hieWU=", "code": 1000, "reason": "bye"}),
        (from_jambonz(CLOSE, b""), {"opcode": "close", "data": ""}),
        (from_jambonz(CLOSE, b"\x03"), {"opcode": "close", "data": "Aw=="}),
        (from_jambonz(9, b""), {"opcode": "ping", "data": ""}),
        (RawFrame(True, 4, 11, False, b""), {"opcode": 11, "rsv": 4, "masked": False, "data": ""}),
    ],
    ids=str,
)
def test_a_frame_is_a_line_of_json(frame: RawFrame, expected: dict[str, object]) -> None:
    line = frame_line(1.25, Sender.JAMBONZ, frame)

    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"at": 1.25, "from": "jambonz", **expected}


def test_the_masking_of_a_frame_stands_where_it_is_wrong() -> None:
    from_us = RawFrame(True, 0, BINARY, False, b"")

    assert "masked" not in json.loads(frame_line(0.0, Sender.APPLICATION, from_us))
    assert json.loads(frame_line(0.0, Sender.JAMBONZ, from_us))["masked"] is False
    assert json.loads(frame_line(0.0, Sender.APPLICATION, from_us._replace(masked=True)))["masked"] is True


def test_the_other_lines_say_what_is_known_of_the_call() -> None:
    assert json.loads(header_line(HEADER)) == {
        "listenctl_dump": 1,
        "created": "2026-11-21T15:00:00.123456Z",
        "call": "CS-A",
        "call_sid": "CS-A",
        "remote": "127.0.0.1:4",
        "target": "/a?b=1",
        "subprotocol": None,
        "server": "ws://h:3000/",
    }
    end = DumpEnd(2.5, "jambonz", 1000, "bye")
    assert json.loads(event_line(end)) == {"at": 2.5, "end": {"closed_by": "jambonz", "code": 1000, "reason": "bye"}}


def test_what_is_written_is_read() -> None:
    fault = DumpFault(0.5, Sender.APPLICATION, "no frame")
    loss = DumpLoss(0.75, 3)
    end = DumpEnd(1.0, "nobody", 1006, "")
    frame = TimedFrame(0.25, Sender.JAMBONZ, from_jambonz(TEXT, b"{}"))

    data = header_line(HEADER) + line_of(frame) + event_line(fault) + event_line(loss) + event_line(end)

    assert read(data) == [(1, HEADER), (2, frame), (3, fault), (4, loss), (5, end)]


@given(st.lists(TIMED, max_size=5))
def test_every_frame_comes_back_as_it_was(frames: Sequence[TimedFrame]) -> None:
    assert items(b"".join(map(line_of, frames))) == frames


def test_a_lone_surrogate_in_an_id_does_not_spoil_the_header() -> None:
    header = items(header_line(DumpHeader("", call="CS-\ud800")))

    assert header == [DumpHeader("", call="CS-?")]


class Pieces(io.BytesIO):
    """A file that returns its data in pieces."""

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        super().__init__(data)
        self._sizes = cycle(sizes)

    def read1(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002
        return super().read1(next(self._sizes))


AUDIO_LINES = st.builds(
    lambda at, sender, size: frame_line(at, sender, RawFrame(True, 0, BINARY, sender is Sender.JAMBONZ, bytes(size))),
    TIMES,
    SENDERS,
    st.sampled_from([0, 1, 2, 3, 20, 20, 20]),
)
CHANGES = st.sampled_from(
    [
        (b'{"at":', b'{ "at": '),
        (b'"at":', b'"a\\u0074":'),
        (b'"at":', b'"at":0'),
        (b'"at":', b'"at":-'),
        (b'"opcode":"binary"', b'"opcode":2'),
        (b',"data"', b',"fin":false,"data"'),
        (b',"data"', b',"masked":true,"data"'),
        (b"A=", b"A"),
        (b"AA", b"A=A"),
        (b"AA", b"A\\u0041"),
        (b"AA", b"A\\/"),
        (b"AA", b"-A"),
        (b"==", b"==="),
        (b'"}', b'="}'),
        (b"}\n", b"} \r\n"),
        (b"}\n", b"}\n \n\n"),
        (b"}\n", b"}{}\n"),
        (b"}\n", b',"data":""}\n'),
        (b"}\n", b"\n"),
        (b"jambonz", b"nobody"),
        (b"000000", b"0e1"),
        (b"000000", b"0"),
    ]
)
REORDERED = AUDIO_LINES.map(lambda line: json.dumps(dict(reversed(json.loads(line).items()))).encode() + b"\n")
CHANGED = st.builds(lambda line, change: line.replace(*change), AUDIO_LINES, CHANGES)
OTHER_LINES = st.one_of(TIMED.map(line_of), REORDERED, CHANGED, st.just(header_line(HEADER)))


@given(
    st.lists(st.one_of(AUDIO_LINES, AUDIO_LINES, OTHER_LINES), max_size=12).map(b"".join),
    st.lists(st.integers(1, 500), min_size=1, max_size=4),
    st.sampled_from([80, 100, 130, 100_000]),
)
def test_lines_are_read_in_blocks_as_one_by_one(data: bytes, sizes: Sequence[int], max_line: int) -> None:
    lines = data.split(b"\n")[:-1]
    expected = [
        (
            number,
            parse_dump_line(line + b"\n")
            if len(line) < max_line
            else UnreadableLine(f"the line has more than {max_line} bytes"),
        )
        for number, line in enumerate(lines, 1)
        if line.strip() or len(line) >= max_line
    ]

    assert list(read_lines(Pieces(data, sizes), max_line=max_line)) == expected


def test_audio_of_one_size_in_a_row_is_one_item() -> None:
    dtmf = frame_line(2.0, Sender.JAMBONZ, from_jambonz(TEXT, b'{"event":"dtmf"}'))
    data = b"".join(map(audio_line, range(50))) + dtmf + b"".join(map(audio_line, range(50, 60)))

    found = list(read_dump(io.BytesIO(data)))

    assert [number for number, _ in found] == [1, 51, 52]
    assert isinstance(found[0][1], DumpAudio)
    assert found[0][1].at == 0.0
    assert found[0][1].times[-1] == pytest.approx(0.98)


def test_a_long_line_does_not_look_like_a_shorter_one_once_a_part_is_dropped() -> None:
    line = frame_line(0.0, Sender.JAMBONZ, from_jambonz(BINARY, bytes(9000)))

    for size in (100, 999, 1000, 1001, 4096):
        (found,) = read_lines(Pieces(line, [size]), max_line=1000)
        assert found == (1, UnreadableLine("the line has more than 1000 bytes"))


@pytest.mark.parametrize("cut", range(1, len(audio_line(3))))
def test_a_last_line_that_was_cut_off_is_skipped(cut: int) -> None:
    data = header_line(HEADER) + audio_line(1) + audio_line(2) + audio_line(3)[:-cut]

    assert len(read(data)) == 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"garbage", "not a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1]", "not a JSON object"),
        (b'{"at":1}{}', "not a JSON object"),
        (b'{"at":1,"from":"jambonz","opcode":"text","text":"a\x01b"}', "not a JSON object"),
        (b"[" * 10_000, "not a JSON object"),
        (b"{}", "no valid time"),
        (b'{"at":NaN,"from":"jambonz","opcode":"text","text":""}', "not a JSON object"),
        (b'{"at":-1,"from":"jambonz","opcode":"text","text":""}', "no valid time"),
        (b'{"at":1e300,"from":"jambonz","opcode":"text","text":""}', "no valid time"),
        (b'{"at":1' + b"0" * 5000 + b"}", "no valid time"),
        (b'{"at":true,"from":"jambonz","opcode":"text","text":""}', "no valid time"),
        (b'{"at":1,"from":"me","opcode":"text","text":""}', "no valid sender"),
        (b'{"at":1,"from":{},"opcode":"text","text":""}', "no valid sender"),
        (b'{"at":1,"from":"jambonz","opcode":"data","text":""}', "no valid opcode"),
        (b'{"at":1,"from":"jambonz","opcode":16,"text":""}', "no valid opcode"),
        (b'{"at":1,"from":"jambonz","opcode":[],"text":""}', "no valid opcode"),
        (b'{"at":1,"from":"jambonz","opcode":"text"}', "no payload"),
        (b'{"at":1,"from":"jambonz","opcode":"text","text":"\\ud800"}', "its text is not Unicode"),
        (b'{"at":1,"from":"jambonz","opcode":"text","data":"?"}', "its data is not Base64"),
        (b'{"at":1,"from":"jambonz","opcode":"text","data":"\\u00fc"}', "its data is not Base64"),
        (b'{"at":1,"from":"jambonz","opcode":2,"rsv":8,"data":""}', "invalid reserved bits"),
        (b'{"at":1,"other":2}', "not a line of a dump"),
        (b'{"listenctl_dump":2}', "a dump version other than 1"),
    ],
)
def test_a_bad_line_is_named_and_skipped(line: bytes, reason: str) -> None:
    data = header_line(HEADER) + audio_line(1) + line + b"\n" + audio_line(2)

    found = read(data)

    assert found[2] == (3, UnreadableLine(reason))
    assert [number for number, _ in found] == [1, 2, 3, 4]
    assert isinstance(found[3][1], TimedFrame)


def test_empty_lines_and_unknown_fields_are_skipped() -> None:
    line = json.dumps({**json.loads(audio_line(1)), "new": [1]}).encode() + b"\r\n"

    assert read(b"\n" + line) == [(2, parse_dump_line(audio_line(1)))]


def test_a_line_that_never_ends_costs_no_memory_and_only_itself() -> None:
    long = audio_line(1)[:-2] + b" " * 200_000 + b"}\n"

    found = read(audio_line(1) + long + audio_line(2), max_line=1000)

    assert [number for number, _ in found] == [1, 2, 3]
    assert found[1][1] == UnreadableLine("the line has more than 1000 bytes")
    assert read(audio_line(1) + long[:-1], max_line=1000) == [(1, parse_dump_line(audio_line(1)))]


@given(
    st.lists(TIMED, min_size=1, max_size=6),
    st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")),
    st.data(),
)
def test_damage_in_one_line_never_raises_and_costs_no_other(
    frames: list[TimedFrame], damage: bytes, data: st.DataObject
) -> None:
    lines = [line_of(timed) for timed in frames]
    hit = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[hit]) - 1))
    lines[hit] = lines[hit][:at] + damage + lines[hit][at + len(damage) : -1] + b"\n"

    found = dict(read(b"".join(lines)))

    for index, timed in enumerate(frames):
        assert index == hit or found[index + 1] == timed


def test_jq_reads_it() -> None:
    dtmf = frame_line(2.0, Sender.JAMBONZ, from_jambonz(TEXT, b'{"event":"dtmf"}'))
    data = header_line(HEADER) + audio_line(1) + dtmf + event_line(DumpEnd(2.0, None, None, ""))

    query = 'select(.opcode == "text") | "\\(.at | floor) \\(.text | fromjson | .event)"'
    run = subprocess.run(["jq", "-r", query], input=data, capture_output=True, check=True)

    assert run.stdout.split() == [b"2", b"dtmf"]
