"""Files of any kind up to the reports: they are JSON, and the same with and without joined audio."""

import gzip
import json
from functools import cache

from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.read_capture import read_capture
from listenctl.errors import UsageError
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.inspection.settings import InspectionSettings
from tests.fuzz.reader import Reader, Seed, written
from tests.fuzz.seeds import CALLS, commands_seed, dump_seed, har_seed, key_log, packet_seeds, packets, pcap_seed


def check(data: bytes) -> None:
    path = str(written(data, "fuzz.capture"))
    reports = _inspected(path, CaptureInspector(), join_audio=True)
    assert reports == _inspected(path, CaptureInspector(observers=[CallObserver()]), join_audio=False)
    _inspected(path, CaptureInspector(InspectionSettings(detect_dtmf=True, stream_rate=8000)), join_audio=True)


def _inspected(path: str, inspector: CaptureInspector, *, join_audio: bool) -> list[str]:
    try:
        events: list[CaptureEvent] = list(read_capture(path, keylog=key_log(), join_audio=join_audio))
    except UsageError:
        return []
    for event in events:
        inspector.feed_event(event)
    return [json.dumps(report.to_json(), allow_nan=False) for report in inspector.finish_calls()]


@cache
def _seeds() -> list[Seed]:
    texts = [*map(dump_seed, CALLS), *map(har_seed, CALLS[:2]), commands_seed()]
    compressed = Seed(gzip.compress(packet_seeds()[0].data), range(12))
    return [*packet_seeds(), pcap_seed(packets("d_wss_mono16k")), *texts, compressed]


READER = Reader("inspection", _seeds, check)
