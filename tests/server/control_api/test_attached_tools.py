"""The tools of one call, without sockets: what goes where, and when jambonz doesn't read."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from listenctl.protocol.call_sharing.clip_queue import GIVE_UP_AFTER, MAX_AT_JAMBONZ
from listenctl.protocol.call_sharing.stream_rate import StreamRate
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from listenctl.server.control_api import attached_tools as module
from listenctl.server.control_api.attached_tools import MAX_UNSENT, AttachedTools
from tests.helpers.playout import play, tone
from tests.helpers.server import LIMIT, until

ACQUIRE = TextMessage(b'{"type":"listenctl:acquire"}')
KILL = TextMessage(b'{"type":"killAudio"}')
GRANTED = b'{"type":"listenctl:granted"}'


@dataclass(slots=True)
class FakeLine:
    """A connection to jambonz."""

    unsent: int = 0
    closing: bool = False
    sent: list[bytes] = field(default_factory=list)
    watched: list[bool] = field(default_factory=list)

    def send(self, message: TextMessage | BinaryMessages, /) -> bool:
        if not self.closing:
            self.sent.append(message.data)
        return not self.closing

    def watch(self, watched: bool, /) -> None:
        self.watched.append(watched)


@dataclass(slots=True)
class FakeOutlet:
    """A way to a tool."""

    texts: list[bytes] = field(default_factory=list)
    heard: bytes = b""
    samples: int = 0
    closed: list[tuple[int, str]] = field(default_factory=list)

    def text(self, data: bytes) -> None:
        self.texts.append(data)

    def audio(self, data: bytes, samples: int) -> None:
        self.heard += data
        self.samples += samples

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def audio(data: bytes) -> BinaryMessages:
    return BinaryMessages(data, len(data), 1)


def test_only_the_first_and_the_last_tool_change_how_the_call_is_read() -> None:
    line = FakeLine()
    attachments = AttachedTools(line)

    tools = [attachments.attach(FakeOutlet(), b"{}", audio=False) for _ in range(3)]
    for tool in tools:
        attachments.detach(tool)

    assert line.watched == [True, False]


def test_audio_goes_to_those_who_asked_for_it() -> None:
    attachments = AttachedTools(FakeLine())
    listening, other = FakeOutlet(), FakeOutlet()
    tool = attachments.attach(listening, b"{}", audio=True)
    attachments.attach(other, b"{}", audio=False)

    attachments.take_audio(b"\1\2", 1)
    attachments.detach(tool)
    attachments.take_audio(b"\3\4", 1)

    assert (listening.heard, listening.samples, other.heard) == (b"\1\2", 1, b"")


async def test_one_tool_streams_at_a_time_and_the_next_is_told() -> None:
    line = FakeLine()
    attachments = AttachedTools(line)
    first, second = FakeOutlet(), FakeOutlet()
    streaming, waiting = (attachments.attach(outlet, b"{}", audio=False) for outlet in (first, second))

    await attachments.take(streaming, audio(b"\1\2\3"))
    await attachments.take(waiting, ACQUIRE)
    await attachments.take(waiting, audio(b"\5\6"))
    refused = second.texts[1:]
    attachments.detach(streaming)

    assert line.sent == [b"\1\2\3", b"\0"]
    assert [b"stream-busy" in one for one in refused] == [True]
    assert second.texts[2:] == [GRANTED]


def test_a_tool_that_comes_when_the_call_has_just_ended_is_told() -> None:
    attachments = AttachedTools(FakeLine())
    outlet = FakeOutlet()

    attachments.end()
    attachments.attach(outlet, b"{}", audio=False)

    assert (outlet.texts, outlet.closed) == ([b"{}"], [(1000, "call ended")])


async def test_a_message_waits_for_room_towards_jambonz(monkeypatch: pytest.MonkeyPatch) -> None:
    line = FakeLine(unsent=MAX_UNSENT + 1)
    attachments = AttachedTools(line)
    outlet = FakeOutlet()
    tool = attachments.attach(outlet, b"{}", audio=False)

    async def drain(_: float) -> None:
        line.unsent = 0

    monkeypatch.setattr(asyncio, "sleep", drain)
    await attachments.take(tool, KILL)

    assert (line.sent, outlet.texts) == ([KILL.data], [b"{}"])


async def test_a_tool_is_told_that_jambonz_doesnt_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    line = FakeLine(unsent=MAX_UNSENT + 1)
    attachments = AttachedTools(line)
    outlet = FakeOutlet()
    tool = attachments.attach(outlet, b"{}", audio=False)

    for message in (audio(b"\1\2"), audio(b"\3\4"), KILL, ACQUIRE):
        await attachments.take(tool, message)
    line.unsent = 0
    await attachments.take(tool, audio(b"\5\6"))

    # Once for the audio, once for the command; what is between the tool and us goes on.
    assert [b'"jambonz-busy"' in text for text in outlet.texts] == [False, True, True, False]
    assert outlet.texts[-1] == GRANTED
    assert line.sent == [b"\5\6"]


async def test_a_tool_is_told_that_the_call_is_ending_once_for_its_audio() -> None:
    line = FakeLine(closing=True)
    attachments = AttachedTools(line)
    outlet = FakeOutlet()
    tool = attachments.attach(outlet, b"{}", audio=False)

    for message in (KILL, audio(b"\1\2"), audio(b"\3\4"), KILL):
        await attachments.take(tool, message)

    assert line.sent == []
    assert [json.loads(text)["data"]["reason"] for text in outlet.texts[1:]] == ["call-ending"] * 3


@pytest.mark.parametrize(
    ("metadata", "server_rate", "known"),
    [
        (b'{"streamRate":16000}', 8000, StreamRate(16_000, "metadata")),
        (b'{"streamRate":0}', 8000, StreamRate(0, "metadata")),
        (b'{"streamRate":"16000"}', 8000, StreamRate(16_000, "metadata")),
        (b'{"streamRate":"abc"}', 8000, StreamRate(8000, "server")),
        (b"{}", None, StreamRate(None, None)),
        (b"no JSON", 0, StreamRate(0, "server")),
    ],
)
def test_the_rate_of_the_stream_is_taken_from_the_metadata_before_the_server_s(
    metadata: bytes, server_rate: int | None, known: StreamRate
) -> None:
    attachments = AttachedTools(FakeLine(), server_rate=server_rate)

    attachments.attach(FakeOutlet(), metadata, audio=False)

    assert attachments.stream_rate == known


def queued(own: str) -> TextMessage:
    return TextMessage(play(tone(8), queuePlay=True, id=own))


async def filled(attachments: AttachedTools, outlet: FakeOutlet) -> int:
    """Attach a tool and have it send one clip more than jambonz gets at once."""
    tool = attachments.attach(outlet, b"{}", audio=False)
    for number in range(MAX_AT_JAMBONZ + 1):
        await attachments.take(tool, queued(str(number)))
    return tool


async def test_a_clip_is_passed_on_in_time_though_jambonz_answers_none() -> None:
    now, line = 0.0, FakeLine()
    attachments = AttachedTools(line, clock=lambda: now)
    await filled(attachments, FakeOutlet())
    assert len(line.sent) == MAX_AT_JAMBONZ

    now = GIVE_UP_AFTER + 1
    # Whatever happens sets the timer by what the clock says then.
    attachments.take_text(b'{"event":"dtmf","dtmf":"1"}')
    async with asyncio.timeout(LIMIT):
        await until(lambda: len(line.sent) > MAX_AT_JAMBONZ)

    attachments.end()


async def test_clips_wait_while_jambonz_doesnt_read() -> None:
    now, line = 0.0, FakeLine()
    attachments = AttachedTools(line, clock=lambda: now)
    await filled(attachments, FakeOutlet())

    now, line.unsent = GIVE_UP_AFTER + 1, MAX_UNSENT + 1
    attachments.take_text(b'{"event":"dtmf","dtmf":"1"}')
    looks = 0

    def looked() -> bool:
        nonlocal looks
        looks += 1
        return looks > 10

    await until(looked)
    assert len(line.sent) == MAX_AT_JAMBONZ

    line.unsent = 0
    await until(lambda: len(line.sent) > MAX_AT_JAMBONZ)
    attachments.end()


async def test_no_timer_is_left_when_the_call_is_over() -> None:
    now, line = 0.0, FakeLine()
    attachments = AttachedTools(line, clock=lambda: now)
    tool = await filled(attachments, FakeOutlet())

    attachments.end()
    now = 1000.0
    attachments.detach(tool)
    await asyncio.sleep(0)

    assert len(line.sent) == MAX_AT_JAMBONZ
