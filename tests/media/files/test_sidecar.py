"""What sidecars say of a call's audio."""

import pytest

from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.sidecar import channel_meanings, tapped_party
from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat
from listenctl.protocol.call_metadata import CallMetadata


@pytest.mark.parametrize(
    ("mix_type", "layout", "meanings"),
    [
        ("mono", ChannelLayout.AS_IS, ["received from the tapped party"]),
        ("mono", ChannelLayout.RIGHT, ["received from the tapped party"]),
        ("mixed", ChannelLayout.AS_IS, ["both directions, summed"]),
        ("stereo", ChannelLayout.AS_IS, ["received from the tapped party", "sent to the tapped party"]),
        ("stereo", ChannelLayout.SPLIT, ["received from the tapped party", "sent to the tapped party"]),
        ("stereo", ChannelLayout.LEFT, ["received from the tapped party"]),
        ("stereo", ChannelLayout.RIGHT, ["sent to the tapped party"]),
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
