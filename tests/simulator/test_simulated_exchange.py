import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from websockets.frames import Frame, Opcode

from listenctl.net.client_connection import ClientConnection, connect
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer
from listenctl.simulator.injected_faults import InjectedFaults, parse_fault
from listenctl.simulator.simulated_exchange import CallSender
from tests.helpers.clock import FakeClock
from tests.helpers.scripted_server import Heard, finish, parse_frames, serving, shake_hands, target

MONO = AudioFormat(8000, 1)
FIRST = b'{"sampleRate":8000}'
ONE, TWO, THREE = (bytes([number]) * 320 for number in (1, 2, 3))


def text(data: bytes) -> Frame:
    return Frame(Opcode.TEXT, data)


def audio(data: bytes) -> Frame:
    return Frame(Opcode.BINARY, data)


def make_outlet(clock: FakeClock, *faults: str, seconds: float = 2.0) -> CallSender:
    troubles = InjectedFaults([parse_fault(fault) for fault in faults])
    return CallSender(SendBuffer(MONO, seconds=seconds, resampled=False), troubles, FIRST, clock.now)


@asynccontextmanager
async def receiving(frames: list[Frame]) -> AsyncIterator[ClientConnection]:
    """Give a connection, and put into ``frames`` all that was sent over it, without the Close."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        frames.extend(parse_frames(await reader.read())[:-1])

    async with serving(take) as port:
        connection = await connect(target(port), Heard())
        yield connection
        assert await finish(connection)


async def sent(outlet: CallSender, clock: FakeClock, frames: Iterable[bytes]) -> list[Frame]:
    """Return what leaves an outlet that is open when these frames of 20 ms come, one by one."""
    received: list[Frame] = []
    async with receiving(received) as connection:
        outlet.open(connection)
        for frame in frames:
            outlet.audio(frame)
            clock.advance(0.02)
        outlet.flush()
    return received


async def test_what_came_before_the_connection_leaves_in_one_message_behind_the_texts() -> None:
    outlet = make_outlet(FakeClock())
    received: list[Frame] = []
    outlet.audio(ONE)
    outlet.text("key")
    outlet.audio(TWO)
    waiting = outlet.waiting

    async with receiving(received) as connection:
        outlet.open(connection)
        outlet.audio(THREE)

    assert waiting == 640
    assert received == [text(FIRST), text(b"key"), audio(ONE + TWO), audio(THREE)]
    assert (outlet.waiting, outlet.messages, outlet.lost_samples) == (0, 2, 0)


async def test_a_text_overtakes_no_audio_that_has_left_and_waits_for_none() -> None:
    outlet = make_outlet(FakeClock())
    received: list[Frame] = []

    async with receiving(received) as connection:
        outlet.open(connection)
        outlet.audio(ONE)
        outlet.text("mark")
        outlet.audio(TWO)

    assert received == [text(FIRST), audio(ONE), text(b"mark"), audio(TWO)]


async def test_nothing_leaves_after_the_end() -> None:
    outlet = make_outlet(FakeClock())
    received: list[Frame] = []

    async with receiving(received) as connection:
        outlet.open(connection)
        outlet.audio(ONE)
        outlet.close()
        outlet.text("late")
        outlet.audio(TWO)
        outlet.flush()

    assert received == [text(FIRST), audio(ONE)]


async def test_what_overflows_before_the_connection_is_counted_as_lost() -> None:
    outlet = make_outlet(FakeClock(), seconds=0.04)

    lost = [outlet.audio(frame) for frame in (ONE, TWO, THREE)]
    received = await sent(outlet, FakeClock(), [])

    # Two whole frames and 16 bytes of the one that found no room (protocol.md 3.3).
    assert lost == [0, 0, 328]
    assert outlet.lost_samples == 328
    assert received == [text(FIRST), audio(THREE[16:])]


async def test_a_server_that_does_not_read_makes_audio_wait_until_it_does() -> None:
    frame = bytes(64_000)
    outlet = CallSender(SendBuffer(MONO, seconds=1000, resampled=False), InjectedFaults(), FIRST, FakeClock().now)
    reads, writable = asyncio.Event(), asyncio.Event()
    streams: list[bytes] = []

    class Sender(Heard):
        def on_writable(self) -> None:
            outlet.flush()
            writable.set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await reads.wait()
        streams.append(await reader.read())

    async with serving(take) as port:
        connection = await connect(target(port), Sender())
        outlet.open(connection)
        frames = 0
        # Until the kernel's buffers are full, and then one more.
        while connection.writable:
            outlet.audio(frame)
            frames += 1
        unsent = connection.unsent
        outlet.audio(frame)
        waiting = outlet.waiting
        reads.set()
        await writable.wait()
        ended = await finish(connection)

    assert waiting == unsent + len(frame)
    assert ended
    received = parse_frames(streams[0])
    assert [len(each.data) for each in received[1:-1]] == [len(frame)] * (frames + 1)


async def test_a_first_text_that_is_late_lets_audio_go_ahead_but_no_other_text() -> None:
    clock = FakeClock()
    outlet = make_outlet(clock, "late-first-frame=0.03")
    outlet.text("key")

    received = await sent(outlet, clock, [ONE, TWO, THREE])

    assert received == [audio(ONE), audio(TWO), text(FIRST), text(b"key"), audio(THREE)]


async def test_a_first_text_behind_the_audio_comes_right_behind_it() -> None:
    clock = FakeClock()

    received = await sent(make_outlet(clock, "first-frame-binary"), clock, [ONE, TWO])

    assert received == [audio(ONE), text(FIRST), audio(TWO)]


async def test_without_a_first_text_other_texts_still_leave() -> None:
    clock = FakeClock()
    outlet = make_outlet(clock, "no-first-frame")
    outlet.text("key")

    received = await sent(outlet, clock, [ONE])

    assert received == [text(b"key"), audio(ONE)]


async def test_a_stall_holds_everything_back_and_lets_it_out_together() -> None:
    clock = FakeClock()
    outlet = make_outlet(clock, "stall=0.04@0.02")
    received: list[Frame] = []

    async with receiving(received) as connection:
        outlet.open(connection)
        for number, frame in enumerate((ONE, TWO, THREE, ONE)):
            outlet.audio(frame)
            if number == 1:
                outlet.text("held")
            clock.advance(0.02)

    assert received == [text(FIRST), audio(ONE), text(b"held"), audio(TWO + THREE + ONE)]


async def test_texts_of_the_same_moment_are_glued_and_chunks_are_odd_if_that_is_asked_for() -> None:
    clock = FakeClock()
    outlet = make_outlet(clock, "glued-texts=1", "odd-chunks")
    outlet.text("key")

    received = await sent(outlet, clock, [ONE])

    assert received == [text(FIRST + b"key"), audio(ONE[:161]), audio(ONE[161:])]
    assert outlet.messages == 1
