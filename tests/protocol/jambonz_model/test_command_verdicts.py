import re
from pathlib import Path

import pytest

from listenctl.protocol import jambonz_model
from listenctl.protocol.jambonz_model.command_verdicts import VerdictReason

SOURCE = "\n".join(path.read_text() for path in Path(str(jambonz_model.__file__)).parent.glob("*.py"))


@pytest.mark.parametrize("reason", VerdictReason)
def test_every_reason_is_used(reason: VerdictReason) -> None:
    assert re.search(rf"VerdictReason\.{reason.name}\b", SOURCE)
