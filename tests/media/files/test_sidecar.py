import json
from dataclasses import replace

import pytest

from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.sidecar import (
    Sidecar,
    SidecarClose,
    channel_meanings,
    tapped_party,
)
from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat
from listenctl.protocol.call_metadata import CallMetadata

METADATA = '{"sampleRate":8000,"mixType":"stereo","callSid":"CS-A"}'
DOCUMENT = {
    "v": 1,
    "call": "CS-A~2",
    "call_sid": "CS-A",
    "remote": "127.0.0.1:1",
    "target": "/calls",
    "subprotocol": "audio.jambonz.org",
    "started": "2026-11-18T11:06:40.500Z",
    "ended": "2026-11-18T11:06:42.000Z",
    "finished": True,
    "metadata": json.loads(METADATA),
    "metadata_valid": True,
    "metadata_raw": METADATA,
    "audio": {
        "files": ["a-left.wav", "a-right.wav"],
        "format": "wav",
        "sample_rate": 8000,
        "channels": 1,
        "layout": "split",
        "channel_meanings": ["audio from the tapped leg", "audio to the tapped leg"],
        "tapped_party": "caller",
        "samples": 4000,
        "seconds": 0.5,
        "gaps_filled": False,
        "warnings": [],
    },
    "events": [{"event": "dtmf", "position": 800, "time": 0.1, "digit": "1"}],
    "gaps": [{"kind": "hole", "position": 160}],
    "warnings": [{"rule": "half-sample"}],
    "not_logged": 3,
    "close": {"code": 1000, "reason": "bye", "by": "jambonz"},
    "received_samples": 4000,
    "lost_samples": 1,
    "paused_samples": 2,
    "unrecorded_samples": 3,
    "completeness": 1.0,
    "complete": True,
    "clock_drift_ppm": -12,
}


parsed = Sidecar.parse(json.dumps(DOCUMENT).encode())
assert parsed is not None
assert parsed.audio is not None
EXAMPLE, AUDIO = parsed, parsed.audio


def example_sidecar(target: str) -> Sidecar:
    return replace(EXAMPLE, target=target)


def test_a_sidecar_is_the_documented_json() -> None:
    assert json.loads(EXAMPLE.serialize()) == DOCUMENT
    assert (EXAMPLE.call, EXAMPLE.remote, EXAMPLE.target) == ("CS-A~2", "127.0.0.1:1", "/calls")
    assert (EXAMPLE.started, EXAMPLE.ended) == (1_795_000_000.5, 1_795_000_002.0)
    assert EXAMPLE.metadata.raw == METADATA.encode()
    assert EXAMPLE.close == SidecarClose(1000, "bye", "jambonz")


@pytest.mark.parametrize(
    "sidecar",
    [
        EXAMPLE,
        replace(
            EXAMPLE,
            ended=None,
            close=None,
            completeness=EXAMPLE.completeness | {"completeness": None, "complete": None, "clock_drift_ppm": None},
        ),
        replace(EXAMPLE, close=SidecarClose(None, "", "jambonz")),
        replace(EXAMPLE, metadata=CallMetadata.missing()),
        replace(EXAMPLE, metadata=CallMetadata.parse(b'{"callSid":"c","x":"\xff')),
        replace(EXAMPLE, source="a.pcap", both=replace(AUDIO, begins=-0.25, channel_meanings=None)),
    ],
    ids=["ended", "live", "closed without a code", "without metadata", "metadata that are no UTF-8", "extracted"],
)
def test_what_was_written_is_read_again(sidecar: Sidecar) -> None:
    assert Sidecar.parse(sidecar.serialize()) == sidecar


def test_resampled_audio_has_both_rates_and_keeps_its_seconds() -> None:
    audio = replace(AUDIO, sample_rate=11_025, samples=22_050, seconds=2.0, measured_sample_rate=22_050)

    resampled = audio.resampled(12_000)

    assert (resampled.sample_rate, resampled.resampled_from) == (12_000, 11_025)
    assert (resampled.samples, resampled.seconds) == (24_000, 2.0)
    assert resampled.measured_sample_rate == 24_000
    assert replace(EXAMPLE, audio=resampled) == Sidecar.parse(replace(EXAMPLE, audio=resampled).serialize())


def test_a_sidecar_is_indented_for_people() -> None:
    lines = EXAMPLE.serialize().decode().splitlines()

    assert lines[:2] == ["{", '  "v": 1,']
    assert '    "files": ["a-left.wav", "a-right.wav"],' in lines
    # Each event is a line.
    assert '    {"event": "dtmf", "position": 800, "time": 0.1, "digit": "1"}' in lines


def test_a_lone_surrogate_of_the_wire_is_escaped() -> None:
    assert b"\\ud800" in example_sidecar("\ud800").serialize()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"audio":{}}', '{"started":"","audio":null}', '{"log":{}}'])
def test_other_json_is_no_sidecar(text: str) -> None:
    assert Sidecar.parse(text.encode()) is None


@pytest.mark.parametrize(
    ("mix_type", "layout", "meanings"),
    [
        ("mono", ChannelLayout.AS_IS, ["audio from the tapped leg"]),
        ("mono", ChannelLayout.RIGHT, ["audio from the tapped leg"]),
        ("mixed", ChannelLayout.AS_IS, ["both directions, summed"]),
        ("stereo", ChannelLayout.AS_IS, ["audio from the tapped leg", "audio to the tapped leg"]),
        ("stereo", ChannelLayout.SPLIT, ["audio from the tapped leg", "audio to the tapped leg"]),
        ("stereo", ChannelLayout.LEFT, ["audio from the tapped leg"]),
        ("stereo", ChannelLayout.RIGHT, ["audio to the tapped leg"]),
        ("stereo", ChannelLayout.MIX, ["both directions, summed"]),
    ],
)
def test_the_meaning_of_each_channel_is_told(mix_type: str, layout: ChannelLayout, meanings: list[str]) -> None:
    metadata = CallMetadata.parse(f'{{"mixType":"{mix_type}"}}'.encode())

    assert channel_meanings(metadata, AudioFormat(8000, MIX_CHANNELS[mix_type]), layout) == meanings


@pytest.mark.parametrize(
    ("metadata", "party"),
    [
        ('{"direction":"inbound"}', "caller"),
        ('{"direction":"outbound"}', "callee"),
        ('{"direction":"outbound","parentCallSid":"p"}', "caller, or callee where the listen has channel 2"),
        ("{}", "unknown"),
    ],
)
def test_the_tapped_party_is_told_as_far_as_known(metadata: str, party: str) -> None:
    assert tapped_party(CallMetadata.parse(metadata.encode())) == party
