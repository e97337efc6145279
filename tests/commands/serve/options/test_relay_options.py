"""``serve --upstream`` as users run it: processes for jambonz, the relay and the application."""

import socket
from pathlib import Path

import pytest

from listenctl.events import Reporter
from listenctl.simulator.simulated_call import SimulatedCall
from tests.helpers.cli import listenctl, refusal, service
from tests.helpers.server import Events, read_sidecar, recorded_audio
from tests.helpers.simulated_calls import make_noise, plan_for

SERVE = ("serve", "--port", "0", "--no-control", "--json")


async def test_a_call_through_two_processes_is_recorded_alike_by_both(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=8000)
    events = Events()
    async with service(*SERVE, "--record", "app/", home=tmp_path) as application:
        url = (await application.started())["url"]
        async with service(*SERVE, "--record", "tap/", "--upstream", url, home=tmp_path) as tap:
            started = await tap.started()
            summary = await SimulatedCall(plan_for(started["port"], noise), Reporter(events)).run()
            saved = [await one.next("recording-saved") for one in (application, tap)]
            ends = [await one.end() for one in (tap, application)]

    recordings = [
        one | {"path": str(tmp_path / one["path"]), "sidecar": str(tmp_path / one["sidecar"])} for one in saved
    ]
    assert summary.taken
    assert started["upstream"] == url
    assert [recorded_audio(one) for one in recordings] == [noise.fork("mono")] * 2
    assert [read_sidecar(one)["close"]["by"] for one in recordings] == ["jambonz", "jambonz"]
    assert ends == [(0, ""), (0, "")]


def test_other_hosts_may_be_let_in_since_the_application_decides(tmp_path: Path) -> None:
    options = (*SERVE[:-1], "--host", "0.0.0.0", "--upstream", "ws://127.0.0.1:9/", "--timeout", "0")

    run = listenctl(*options, home=tmp_path)

    assert run.returncode == 124
    assert "-> ws://127.0.0.1:9/" in run.stderr


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--upstream", "bot.example.com"], "bot.example.com: must begin with ws://"),
        (["--upstream", "wss://h?x=1"], "jambonz sends a query only after a /"),
        (["--upstream-insecure"], "need --upstream"),
        (["--upstream", "wss://h", "--upstream-ca", "none.pem"], "none.pem: can't be used as CA"),
        (["--upstream", "ws://h", "--echo"], "the application answers the caller"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_status_2(options: list[str], line: str, tmp_path: Path) -> None:
    assert line in refusal(*SERVE, "--timeout", "0", *options, home=tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_server_isnt_relayed_to_itself(host: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

    options = ("--port", port, "--no-control", "--timeout", "0", "--host", "0.0.0.0")
    said = refusal("serve", *options, "--upstream", f"ws://{host}:{port}/", home=tmp_path)

    assert f"ws://{host}:{port}/: --upstream leads back to this server" in said
