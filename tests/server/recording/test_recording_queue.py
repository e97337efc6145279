"""What waits for the disk, without a thread: the test takes the turns."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from listenctl.events import EventFields
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.server.recording import recording_queue
from listenctl.server.recording.conversion_pool import ConversionPool
from listenctl.server.recording.recording_queue import DiskBacklog, RecordingQueue
from listenctl.server.recording.recording_writer import Piece, RecordingWriter, RecordSettings, join_pieces
from tests.helpers.server import call_log


@pytest.mark.parametrize(
    ("pieces", "joined"),
    [
        ([], []),
        ([(0, b"ab")], [(0, b"ab")]),
        ([(0, b"ab"), (1, b"cdef"), (3, b"gh")], [(0, b"abcdefgh")]),
        ([(0, b"ab"), (2, b"cd"), (3, b"ef")], [(0, b"ab"), (2, b"cdef")]),
    ],
)
def test_audio_is_joined_up_to_a_hole(pieces: list[tuple[int, bytes]], joined: list[tuple[int, bytes]]) -> None:
    assert join_pieces(pieces, 2) == joined


class OneQueue:
    def __init__(self, folder: Path) -> None:
        self.released: list[int] = []
        self.events: list[EventFields] = []
        settings = RecordSettings(RecordingDestination.parse(f"{folder}/"))
        self.log = call_log('{"callSid": "a"}')
        report = self.events.append
        self.writer = RecordingWriter(
            settings, self.log, report, lambda _: None, lambda: 0.0, ConversionPool(), lambda _: None
        )
        self.queue = RecordingQueue(self.writer, self.released.append)

    def add_audio(self, *pieces: Piece) -> None:
        for position, data in pieces:
            self.queue.add_audio(position, data)


def test_one_turn_writes_what_piled_up_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, done = OneQueue(tmp_path), list[str]()
    writes: list[tuple[int, int]] = []
    monkeypatch.setattr(
        one.writer, "write_pieces", lambda run: writes.extend((at, len(data)) for at, data in join_pieces(run, 2))
    )

    one.add_audio((0, b"abcd"), (2, b"ef"))
    turns = [one.queue.take_turn()]
    one.add_audio((3, b"gh"))
    one.queue.add_job(lambda: done.append(f"after {writes}"))
    one.add_audio((4, b"ij"))
    turns += [one.queue.take_turn()]
    waiting = one.queue.waiting_bytes
    one.queue.write_items()

    assert turns == [True, False]
    assert writes == [(0, 8), (4, 2)]
    assert done == ["after [(0, 8)]"]
    assert (waiting, sum(one.released), one.queue.waiting_bytes) == (10, 10, 0)
    # What comes later needs a turn again.
    assert one.queue.take_turn()


def test_a_write_that_raises_costs_what_it_had_and_not_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_queue, "MAX_WRITE", 4)
    one, runs = OneQueue(tmp_path), list[int]()

    def fail_first(run: Sequence[Piece]) -> None:
        runs.append(len(run))
        if len(runs) == 1:
            raise RuntimeError("a bug")

    monkeypatch.setattr(one.writer, "write_pieces", fail_first)

    one.add_audio(*((at, b"ab") for at in range(3)))
    one.queue.write_items()

    assert runs == [2, 1]
    assert one.queue.waiting_bytes == 0


def test_a_write_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_queue, "MAX_WRITE", 4)
    one, runs = OneQueue(tmp_path), list[int]()
    monkeypatch.setattr(one.writer, "write_pieces", lambda run: runs.append(len(run)))

    one.add_audio(*((at, b"ab") for at in range(5)))
    one.queue.write_items()

    assert runs == [2, 2, 1]


def test_the_most_that_was_in_memory_only_is_known(tmp_path: Path) -> None:
    one = OneQueue(tmp_path)
    one.writer.open_files()
    for position, samples in ((0, 800), (800, 8000), (8800, 80)):
        one.add_audio((position, bytes(2 * samples)))
        one.log.samples = position + samples
        one.queue.write_items()
    one.log.ended_at = one.log.started_at + 2

    assert one.writer.finish_recording()

    (sidecar,) = tmp_path.glob("*.json")
    assert '"max_unwritten_seconds": 1.0' in sidecar.read_text()


def test_a_backlog_is_as_old_as_its_oldest_turn_and_counts_how_long_each_waited() -> None:
    backlog = DiskBacklog()
    assert backlog.age(10.0) == 0.0

    backlog.add_turn(10.0)
    backlog.add_turn(12.0)
    ages = [backlog.age(13.0)]
    for _ in range(2):
        backlog.end_turn(13.0)
        ages.append(backlog.age(13.0))

    assert ages == [3.0, 1.0, 0.0]
    assert (backlog.waits.count, backlog.waits.total) == (2, 4.0)
