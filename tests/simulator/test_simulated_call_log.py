import json
from dataclasses import replace

import pytest

from listenctl.events import Reporter
from listenctl.net.client_connection import ConnectionEnd
from listenctl.net.client_handshake import ClientHandshake
from listenctl.protocol.application_commands import parse_command
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.jambonz_messages import Dtmf, Mark, PlayDone
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, Verdict, VerdictReason
from listenctl.protocol.jambonz_model.first_text import CallKind
from listenctl.protocol.jambonz_model.profiles import OLD
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.protocol.opening_handshake import Credentials
from listenctl.simulator.action_hook import HookAnswer
from listenctl.simulator.injected_faults import parse_fault
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call_log import UNKNOWN_CALL, SimulatedCallLog, SimulatedCallResult
from tests.helpers.scripted_server import target
from tests.helpers.server import Event, Events

PLAN = CallPlan(target=target(3000))
FIELDS = {"sampleRate": 8000, "mixType": "mono", "callSid": "CS-A"}
HANG_UP = ConnectionEnd("jambonz", 1000)
HEAD = {"v", "ts", "event", "call", "call_sid", "trace_id"}


def new_log(plan: CallPlan = PLAN, fields: dict[str, object] = FIELDS) -> tuple[SimulatedCallLog, Events]:
    events = Events()
    return SimulatedCallLog(plan, CallMetadata.from_fields(fields), Reporter(events)), events


def own_fields(event: Event) -> Event:
    """Return what an event has that others don't."""
    return {name: value for name, value in event.items() if name not in HEAD}


def last(events: Events) -> Event:
    return own_fields(events.all[-1])


def close(
    call: SimulatedCallLog, unsent_samples: int = 0, end: ConnectionEnd = HANG_UP, *, stalled: bool = False
) -> SimulatedCallResult:
    return call.end_call(
        end, elapsed=1.2345, unsent_samples=unsent_samples, taken=True, cause="duration", stalled=stalled
    )


@pytest.mark.parametrize(
    ("fields", "call_id", "call_sid", "trace_id"),
    [(FIELDS | {"traceId": "4bf92f"}, "CS-A", "CS-A", "4bf92f"), ({}, UNKNOWN_CALL, None, None)],
)
def test_every_event_names_its_call(
    fields: dict[str, object], call_id: str, call_sid: str | None, trace_id: str | None
) -> None:
    call, events = new_log(fields=fields)

    call.warn("dtmf-not-passed", "key 1")

    assert call.id == call_id
    assert [(event["event"], event["call"], event["call_sid"], event["trace_id"]) for event in events.all] == [
        ("warning", call_id, call_sid, trace_id)
    ]
    assert last(events) == {"rule": "dtmf-not-passed", "detail": "key 1"}


def test_warnings_about_the_plan_are_reported_first() -> None:
    plan = replace(PLAN, verb=ListenVerb(notes=("transcribe isn't simulated",)), warnings=("11025 Hz is rare",))

    call, events = new_log(plan)
    call.report_plan_warnings()

    assert [own_fields(event) for event in events.of("warning")] == [
        {"rule": "verb", "detail": "transcribe isn't simulated"},
        {"rule": "verb", "detail": "11025 Hz is rare"},
    ]


def test_a_connection_is_reported_with_its_times_in_milliseconds() -> None:
    call, events = new_log()
    handshake = ClientHandshake(
        0.0234, 0.0011, 0.0102, 0.0121, None, "127.0.0.1:3000", ("ws://a/",), ("no subprotocol",), b""
    )

    call.report_connection(handshake)

    assert own_fields(events.all[0]) == {
        "url": "ws://127.0.0.1:3000/calls?x=1",
        "remote": "127.0.0.1:3000",
        "subprotocol": None,
        "handshake_ms": {"connect": 1.1, "tls": 10.2, "upgrade": 12.1, "total": 23.4},
        "redirects": ["ws://a/"],
        "tls": False,
    }
    assert last(events) == {"rule": "handshake", "detail": "no subprotocol"}


def test_the_subprotocol_that_the_user_chose_is_shown() -> None:
    call, events = new_log(replace(PLAN, target=replace(target(3000), subprotocol="my.proto")))
    handshake = ClientHandshake(0.0234, 0.0011, 0.0, 0.0121, "my.proto", "127.0.0.1:3000", (), (), b"")

    call.report_connection(handshake)

    assert last(events)["subprotocol"] == "my.proto"


@pytest.mark.parametrize(("streaming", "damage"), [(True, None), (False, "an apostrophe moved")])
def test_the_start_is_reported_with_the_properties_of_the_call(streaming: bool, damage: str | None) -> None:
    verb = ListenVerb(sample_rate=16000, mix_type="stereo", bidirectional=BidirectionalAudio(True, True, 24000))
    call, events = new_log(replace(PLAN, verb=verb, kind=CallKind.DIAL, profile=OLD))

    call.report_start(streaming=streaming, damage=damage)

    assert own_fields(events.all[0]) == {
        "url": "ws://127.0.0.1:3000/calls?x=1",
        "kind": "dial",
        "profile": "old",
        "sample_rate": 16000,
        "channels": 2,
        "mix_type": "stereo",
        "streaming": streaming,
        "stream_rate": 24000 if streaming else None,
        "metadata": FIELDS,
        "metadata_valid": damage is None,
    }
    warnings = [own_fields(event) for event in events.all[1:]]
    assert warnings == ([{"rule": "first-frame", "detail": damage}] if damage else [])


def test_faults_and_digits_are_reported() -> None:
    call, events = new_log()
    call.add_frame(160, 0.0, 0)

    call.report_fault(parse_fault("pause=3@2.00049"))
    call.add_digit("5")
    call.report_dtmf(Dtmf("5", "1600"), 0.02049)
    close(call)

    assert own_fields(events.of("fault")[0]) == {
        "name": "pause",
        "value": "3@2.00049",
        "detail": "no audio is sent for 3 s, and nothing announces that; texts are still sent",
        "time": 2.0,
    }
    assert own_fields(events.of("dtmf")[0]) == {
        "digit": "5", "duration": "1600", "duration_ms": 200, "position": 160, "time": 0.02,
    }  # fmt: skip
    assert last(events)["digits"] == "5"


def test_a_verdict_names_the_command_that_it_is_about() -> None:
    call, events = new_log()
    texts = {
        1: b'{"type":"killAudio"}',
        2: b'{"type":"mark","data":{"name":"m"}}',
        4: b'{"type":"wave"}',
        5: b"no json",
    }
    for number, text in texts.items():
        call.add_command(number, parse_command(text))
    call.add_received_audio(320)

    numbers = (1, 2, 3, 4, 5)
    call.report_verdicts(
        [Verdict(number, CommandOutcome.IGNORED, VerdictReason.NO_EFFECT, "because", number > 3) for number in numbers],
        0.5,
    )

    verdicts = events.of("verdict")
    assert [verdict["command"] for verdict in verdicts] == ["killAudio", "mark", "audio", "wave", "unknown"]
    assert own_fields(verdicts[3]) == {
        "number": 4, "command": "wave", "outcome": "ignored", "reason": "no-effect", "detail": "because",
        "advice": "Remove it; jambonz ignores it.", "wrong": True,
        "time": 0.5,
    }  # fmt: skip
    assert (call.commands, call.wrong, close(call).wrong) == (4, 2, 2)
    assert last(events)["received_audio_bytes"] == 320


def test_answers_are_reported() -> None:
    call, events = new_log()

    call.report_answer(Mark("m", "playout"), 1.5, 0.25049)
    call.report_answer(PlayDone("a", "stopped", None, 480, None), 1.5, None)
    call.report_action_hook("https://app/hook", HookAnswer(None, "no answer"))

    assert [own_fields(event) for event in events.all] == [
        {"name": "m", "result": "playout", "time": 1.5, "round_trip": 0.25},
        {"id": "a", "reason": "stopped", "played_ms": 480, "time": 1.5, "round_trip": None},
        {"url": "https://app/hook", "status": None, "detail": "no answer"},
    ]


@pytest.mark.parametrize(
    ("sample_rate", "losses", "gaps"),
    [
        # Frames 2 and 3 are lost with the head of 4, then 5 and 6 with that of 7; the server got 1 and the rest of 4.
        (8000, (0, 0, 0, 328, 0, 0, 328, 0), [(160, 0.02, 328, 0.041), (312, 0.039, 328, 0.041)]),
        # Frames that are lost one by one are one hole.
        (16_000, (0, 320, 320, 320, 0, 0, 320, 0), [(320, 0.02, 960, 0.06), (960, 0.06, 320, 0.02)]),
    ],
)
def test_a_hole_is_reported_once_and_where_the_server_sees_it(
    sample_rate: int, losses: tuple[int, ...], gaps: list[tuple[int, float, int, float]]
) -> None:
    call, events = new_log(replace(PLAN, verb=ListenVerb(sample_rate=sample_rate)))

    for lost in losses:
        call.add_frame(sample_rate // 50, 0.0, lost)

    found = [(gap["position"], gap["time"], gap["missing"], gap["length"]) for gap in events.of("gap")]
    assert found == gaps
    assert json.dumps(events.all)


@pytest.mark.parametrize(("stalled", "lost"), [(False, 160), (True, 0)])
def test_a_hole_that_lasts_to_the_end_is_reported_at_the_end_and_is_no_loss_if_it_was_requested(
    stalled: bool, lost: int
) -> None:
    # A stall accounts for what is lost while it lasts, not for what the server doesn't take before and after it.
    call, events = new_log(replace(PLAN, faults=(parse_fault("stall"),)))
    call.add_frame(160, 0.0, 0)
    call.add_frame(160, 0.0, 160, stalled=stalled)

    summary = close(call)

    assert [event["event"] for event in events.all] == ["gap", "call-ended"]
    assert (events.all[0]["position"], events.all[0]["missing"]) == (160, 160)
    ended = last(events)
    assert (ended["lost_samples"], ended["stalled_samples"], summary.lost_samples) == (160, 160 - lost, lost)
    assert (ended["samples"], ended["seconds"], ended["frames"], summary.samples) == (160, 0.02, 2, 160)


@pytest.mark.parametrize(("stalled", "lost"), [(False, 80), (True, 0)])
def test_what_a_stall_holds_back_at_the_end_is_no_loss(stalled: bool, lost: int) -> None:
    call, events = new_log()
    call.add_frame(160, 0.0, 0)

    assert close(call, unsent_samples=80, stalled=stalled).lost_samples == lost
    assert (last(events)["lost_samples"], last(events)["stalled_samples"]) == (80, 80 - lost)


def test_the_end_sums_up_the_call() -> None:
    call, events = new_log()
    for lateness in (0.0, 0.001, 0.03):
        call.add_frame(160, lateness, 0)

    summary = close(call, unsent_samples=80)

    ended = last(events)
    lateness_ms = ended.pop("lateness_ms")
    assert ended == {
        "seconds": 0.05, "samples": 400, "frames": 3, "duration": 1.234, "cause": "duration",
        "closed_by": "jambonz", "close_code": 1000,
        "close_reason": "", "detail": "", "lost_samples": 80, "stalled_samples": 0, "commands": 0,
        "received_audio_bytes": 0, "received_audio_messages": 0,
        "wrong": 0,
        "digits": "", "taken": True,
    }  # fmt: skip
    assert (lateness_ms["count"], lateness_ms["p50"], lateness_ms["max"]) == (3, 1.0, 30.0)
    assert summary == SimulatedCallResult(HANG_UP, samples=400, lost_samples=80, wrong=0, taken=True)


@pytest.mark.parametrize(("code", "taken"), [(4001, True), (1011, False)])
def test_a_server_that_fails_has_not_taken_the_call(code: int, taken: bool) -> None:
    call, events = new_log()

    summary = close(call, end=ConnectionEnd("server", code))

    assert summary.taken is taken
    assert last(events)["taken"] is taken
    # No audio was sent.
    assert last(events)["lateness_ms"] is None


def test_a_refused_call_is_reported_with_a_possible_reason() -> None:
    target = replace(PLAN.target, credentials=Credentials("listen", "x" * 100))
    call, events = new_log(replace(PLAN, target=target))

    call.report_refusal("ws://127.0.0.1/: refused with 401 Unauthorized")

    assert [event["event"] for event in events.all] == ["warning", "call-failed"]
    assert "silently sends no authorization" in events.all[0]["detail"]
    assert last(events) == {"url": str(target.address), "detail": "ws://127.0.0.1/: refused with 401 Unauthorized"}
