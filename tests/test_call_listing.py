import json
import re
from pathlib import Path

import pytest

from listenctl.call_listing import CallListing, ListedCall, ListedServer

MANUAL = Path(__file__).parent.parent / "man" / "listenctl-control.5"


def test_a_listing_is_that_of_the_manual() -> None:
    text = MANUAL.read_text().partition(".Ss GET /calls")[2]
    found = re.search(r"^\.Bd -literal.*?$(.*?)^\.Ed$", text, re.DOTALL | re.MULTILINE)
    assert found
    example = json.loads(found[1])

    listing = CallListing.parse(example)

    assert listing is not None
    assert json.dumps(listing.serialize()) == json.dumps(example)


def test_what_a_server_of_another_version_leaves_out_is_empty() -> None:
    listing = CallListing.parse({"server": {}, "calls": [{"new": 1}]})

    assert listing is not None
    assert listing.server == ListedServer(url="", pid=0, name="", recording=False)
    assert listing.calls[0].serialize() == {
        "call": "", "call_sid": None, "started": None, "duration": 0.0, "from": None, "to": None, "direction": None,
        "sample_rate": 0, "channels": 0, "mix_type": None, "remote": "", "target": "", "recording": None, "digits": "",
        "gap_seconds": 0.0, "unwritten_seconds": 0.0, "attached": 0, "stream_rate": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mix_type", "channels", "layout"), [("mixed", 1, "mixed"), (None, 2, "stereo"), (None, 1, "mono")]
)
def test_without_a_mix_type_the_channels_suggest_one(mix_type: str | None, channels: int, layout: str) -> None:
    assert ListedCall.parse({"mix_type": mix_type, "channels": channels}).layout == layout
