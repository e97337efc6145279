"""The capture of a real wss call, beside what its TLS carried."""

import gzip

import pytest

from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.tls_events import DecryptedData, TlsAlert, TlsNegotiated, TlsParty
from listenctl.capture.tls.tls_session import TlsSession
from tests.helpers import capture

ENCRYPTED = capture.FOLDER / "encrypted"


def test_a_real_call_is_decrypted_record_by_record() -> None:
    segments = list(capture._segments(gzip.decompress((ENCRYPTED / "d_wss_mono16k.pcap.gz").read_bytes())))
    session = TlsSession(KeyLog((ENCRYPTED / "d_wss_mono16k.keylog").read_text()))
    begin = segments[0].time
    events = []

    for segment in segments:
        if segment.payload:
            feed = session.client if segment.ports == segments[0].ports else session.server
            events += feed(segment.payload, segment.time - begin)
    events += session.finish(99.0)

    assert isinstance(events[0], TlsNegotiated)
    assert events[0].cipher == "TLS_AES_256_GCM_SHA384"
    assert {type(event) for event in events[1:]} <= {DecryptedData, TlsAlert}
    for party, expected in (
        (TlsParty.CLIENT, capture.client_stream("d_wss_mono16k_decrypted")),
        (TlsParty.SERVER, capture.server_stream("d_wss_mono16k_decrypted")),
    ):
        decrypted = [event for event in events if isinstance(event, DecryptedData) and event.party is party]
        assert [event.data for event in decrypted] == [data for _, data in expected]
        first = expected[0][0] - decrypted[0].at
        assert [event.at for event in decrypted] == pytest.approx([at - first for at, _ in expected], abs=2e-6)
