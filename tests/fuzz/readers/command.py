"""Files of any kind through the whole command: only printable text is printed."""

import json
import shutil
from io import StringIO

from listenctl.commands.inspect.inspect_results import ResultLayout, TimelineForm
from listenctl.commands.inspect.run import InspectPlan, run_inspect
from listenctl.errors import ListenctlError
from listenctl.inspection.settings import InspectionSettings
from listenctl.media.files.recording_names import RecordingDestination
from tests.fuzz.reader import Reader, written
from tests.fuzz.readers.inspection import READER as INSPECTION


def check(data: bytes) -> None:
    path = written(data, "fuzz.capture")
    made = path.with_name("made")
    settings = InspectionSettings()
    name = str(path)
    # One plan per input takes a fifth of the time; the input selects it, so that faults are reproducible.
    plans = (
        InspectPlan(files=[name], settings=settings),
        InspectPlan(files=[name], settings=settings, layout=ResultLayout.CSV),
        InspectPlan(files=[name], settings=settings, timeline=TimelineForm.TIMELINE),
        InspectPlan(files=[name], settings=settings, timeline=TimelineForm.LADDER),
        InspectPlan(files=[name], settings=settings, timeline=TimelineForm.JSON),
        InspectPlan(files=[name], settings=settings, split=made),
        InspectPlan(files=[name], settings=settings, extract=RecordingDestination.parse(f"{made}/")),
    )
    plan, out = plans[sum(data) % len(plans)], StringIO()
    try:
        run_inspect(plan, out)
    except ListenctlError:
        pass
    finally:
        shutil.rmtree(made, ignore_errors=True)
    for line in out.getvalue().split("\n")[:-1] if plan.timeline is TimelineForm.JSON else ():
        json.loads(line)
    assert plan.timeline is TimelineForm.JSON or out.getvalue().replace("\n", " ").isprintable()


READER = Reader("command", INSPECTION.seeds, check)
