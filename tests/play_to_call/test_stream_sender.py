import asyncio
import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.play_to_call.stream_sender import StreamSender, replace_marker_samples
from tests.helpers.simulated_time import START, simulated_loop

pytestmark = pytest.mark.simulated_time

SECOND = b"\x01\x00" * 8000
CHUNK = b"\x01\x00" * 160


@dataclass
class Wire:
    """
    What was sent and when, and how far it was ahead of who plays it from the first byte on.

    Attributes:
        late: seconds for which the machine stands still after each message.
    """

    sent: list[tuple[float, bytes]] = field(default_factory=list)
    late: float = 0.0

    async def send(self, data: bytes) -> None:
        self.sent.append((simulated_loop().time(), data))
        simulated_loop().advance(self.late)

    @property
    def audio(self) -> bytes:
        return b"".join(data for _, data in self.sent)

    def leads(self, rate: int = 8000) -> list[float]:
        begin, total, leads = self.sent[0][0], 0, []
        for at, data in self.sent:
            total += len(data) // 2
            leads.append(total / rate - (at - begin))
        return leads


def make_sender(*, rate: int = 8000, exact: bool = False) -> tuple[StreamSender, Wire]:
    wire = Wire()
    return StreamSender(wire.send, rate, exact=exact), wire


async def test_the_lead_is_sent_at_once_and_then_kept() -> None:
    sender, wire = make_sender()

    await sender.send_audio(SECOND * 5)

    leads = wire.leads()
    assert wire.audio == SECOND * 5
    assert [at for at, _ in wire.sent[:9]] == [START] * 9
    assert min(leads[10:]) == pytest.approx(0.21)
    assert max(leads[10:]) == pytest.approx(0.21)


async def test_late_wakeups_shift_nothing_later() -> None:
    sender, wire = make_sender()

    for late in (0.0, 0.015, 0.005, 0.018, 0.0):
        wire.late = late
        await sender.send_audio(SECOND)

    assert all(0.18 < lead < 0.22 for lead in wire.leads()[10:])
    wire.late = 0.0
    await sender.send_audio(CHUNK * 2)
    assert wire.leads()[-1] == pytest.approx(0.21)


async def test_what_is_due_after_a_stall_is_sent_at_once() -> None:
    sender, wire = make_sender()
    await sender.send_audio(SECOND)

    await asyncio.sleep(0.1)
    await sender.send_audio(SECOND)

    # 5 chunks were due meanwhile.
    assert [at for at, _ in wire.sent[50:55]] == [pytest.approx(wire.sent[50][0])] * 5
    assert wire.leads()[-1] == pytest.approx(0.21)


async def test_after_an_underrun_the_clock_begins_anew() -> None:
    sender, wire = make_sender()
    await sender.send_audio(SECOND)
    await asyncio.sleep(10.0)

    resumed = simulated_loop().time()
    await sender.send_audio(SECOND)

    assert [at for at, _ in wire.sent[50:59]] == [resumed] * 9
    assert sender.ends_at == pytest.approx(resumed + 1.0)
    assert sender.sent_seconds == 2.0


async def test_no_chunk_is_longer_than_20_ms_and_less_is_sent_too() -> None:
    sender, wire = make_sender()

    await sender.send_audio(CHUNK + b"\x05\x00")

    assert [len(data) for _, data in wire.sent] == [320, 2]


async def test_half_a_sample_waits_for_its_other_half() -> None:
    sender, wire = make_sender()

    for byte in b"\x01\x02\x03\x04\x05":
        await sender.send_audio(bytes([byte]))

    assert wire.audio == b"\x01\x02\x03\x04"


async def test_samples_that_jambonz_takes_for_marks_are_moved() -> None:
    sender, wire = make_sender()
    exact_sender, exact_wire = make_sender(exact=True)

    for one in (sender, exact_sender):
        await one.send_audio(b"\xff\xff\x00\xff\xff\x00\xff\xff")

    assert wire.audio == b"\xfe\xff\x00\xff\xff\x00\xfe\xff"
    assert exact_wire.audio == b"\xff\xff\x00\xff\xff\x00\xff\xff"


@pytest.mark.parametrize("rate", [8000, 16000, 11025, 48000])
async def test_the_end_is_padded_with_160_ms_that_count_for_nothing(rate: int) -> None:
    sender, wire = make_sender(rate=rate)
    await sender.send_audio(CHUNK)

    end = sender.ends_at
    await sender.send_padding()

    assert wire.audio == CHUNK + bytes(2 * round(0.16 * rate))
    assert (sender.sent_seconds, sender.ends_at) == (160 / rate, end)


async def test_after_a_kill_nothing_is_sent_for_40_ms() -> None:
    sender, wire = make_sender()
    await sender.send_audio(SECOND)

    killed_at = simulated_loop().time()
    sender.note_kill()
    lead = sender.lead
    await sender.send_audio(CHUNK)

    assert lead == 0
    assert wire.sent[-1][0] == pytest.approx(killed_at + 0.04)


async def test_the_lead_is_what_the_clock_has_not_reached() -> None:
    sender, _ = make_sender()

    await sender.send_audio(CHUNK * 5)

    assert sender.lead == pytest.approx(0.1)
    await asyncio.sleep(0.06)
    assert sender.lead == pytest.approx(0.04)
    await asyncio.sleep(5)
    assert sender.lead == 0


# -1 and what looks like it across two samples.
SAMPLES = st.lists(st.sampled_from([-1, -2, 0, 255, -256, 1]) | st.integers(-32768, 32767))


@given(SAMPLES)
def test_only_samples_of_minus_one_are_moved(samples: list[int]) -> None:
    pcm = struct.pack(f"<{len(samples)}h", *samples)

    moved = replace_marker_samples(pcm)

    assert list(struct.unpack(f"<{len(samples)}h", moved)) == [-2 if one == -1 else one for one in samples]


def test_audio_without_any_is_returned_as_it_is() -> None:
    pcm = b"\x00\xff\xfe\xff"

    assert replace_marker_samples(pcm) is pcm
