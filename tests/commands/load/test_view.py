from collections import Counter
from dataclasses import replace

from listenctl.commands.load.view import load_progress, report_text
from listenctl.load.load_call_outcome import LoadCallEnding
from listenctl.load.load_thresholds import ThresholdResult
from listenctl.load.measure_echo import EchoResult
from listenctl.load.plan import LoadPlan
from listenctl.load.report import LoadReport, summarize_load
from listenctl.load.run_load import LoadSnapshot
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.percentiles import summarize
from listenctl.terminal.printable_text import TextStyle

PLAIN = TextStyle(color=False, unicode=False)
TIMES = summarize([0.001, 0.002, 0.003])
ECHO = EchoResult(
    sent=100, lost=3, missed_at_start=2, out_of_order=1, repeated=0, inverted=4, delay=TIMES, gain=summarize([-6.0])
)


def report(echo: EchoResult | None = None, ignoring_calls: int = 0, ignored_clip_calls: int = 0) -> LoadReport:
    return LoadReport(
        url="ws://127.0.0.1:3000/",
        planned=10,
        seconds=12.34,
        interrupted=False,
        endings=Counter({LoadCallEnding.COMPLETE: 7, LoadCallEnding.EARLY: 1, LoadCallEnding.FAILED: 2}),
        formats=Counter({"8000:mono": 8, "16000:stereo": 2}),
        problems=Counter({"the server closed with 1011 \x1b[2J": 2}),
        close_codes=Counter({"1000": 8, "1011": 2}),
        connected=10,
        frames=5000,
        lost_samples=0,
        ignoring_calls=ignoring_calls,
        ignored_clip_calls=ignored_clip_calls,
        distributions={
            "handshake": TIMES, "first-audio": None, "mark": None, "lateness": TIMES, "unread": summarize([0, 4096]),
        },
        echo=echo,
        outcomes=(ThresholdResult("failed>1%", ok=False, value=20, detail="it was 20.00 %"),),
    )  # fmt: skip


def test_a_report_is_a_table_with_what_failed_and_why() -> None:
    assert report_text(report(), PLAIN) == (
        "Server        ws://127.0.0.1:3000/\n"
        "Calls         10 of 10 placed, 10 connected, 7 complete, 1 ended by the server, 2 failed\n"
        "Formats       2 of 16000:stereo, 8 of 8000:mono\n"
        "Duration      12.3 s, 5000 frames sent\n"
        "Closed        8 with 1000, 2 with 1011\n"
        "\n"
        "                      p50        p95        p99        max\n"
        "Handshake          2.0 ms     3.0 ms     3.0 ms     3.0 ms\n"
        "First audio          none\n"
        "Mark answered        none\n"
        "Our lateness       2.0 ms     3.0 ms     3.0 ms     3.0 ms\n"
        "Unread                0 B     4.1 kB     4.1 kB     4.1 kB\n"
        "Lost          0 samples that the server did not read in time\n"
        "\n"
        "Failed        2 x the server closed with 1011 \ufffd[2J\n"
        "\n"
        "Fail if       failed>1%: FAILED (it was 20.00 %)\n"
    )


def test_an_echo_and_ignored_audio_are_told() -> None:
    text = report_text(report(ECHO, ignoring_calls=2), PLAIN)

    assert "Echo gain         -6.0 dB    -6.0 dB    -6.0 dB    -6.0 dB\n" in text
    assert "3 of 100 blocks of 20 ms lost, 2 of them at the start; 1 out of order, 0 repeated\n" in text
    assert "4 blocks came back inverted\n" in text
    assert "Ignored       streamed audio in 2 calls; use --streaming to play it\n" in text


def test_ignored_clips_are_told() -> None:
    text = report_text(report(ignored_clip_calls=1), PLAIN)

    assert "Ignored       playAudio in 1 call; jambonz does not play clips in a call that streams\n" in text


def test_calls_that_were_cut_short_and_closes_without_a_code_are_told() -> None:
    endings = Counter({LoadCallEnding.COMPLETE: 1, LoadCallEnding.CUT: 2, LoadCallEnding.CANCELLED: 1})
    text = report_text(replace(report(), endings=endings, close_codes=Counter({"none": 3})), PLAIN)

    assert "Calls         4 of 10 placed, 10 connected, 1 complete, 2 cut short, 1 abandoned\n" in text
    assert "Closed        3 without a code\n" in text


def test_figures_of_a_machine_that_is_too_slow_are_not_to_be_trusted() -> None:
    warning = "Too slow      this machine was too slow for this many calls; do not trust these figures\n"
    whole = report()

    for worst, expected in ((0.1, False), (0.101, True)):
        slow = replace(whole, distributions={**whole.distributions, "lateness": summarize([0.001, worst])})

        assert (warning in report_text(slow, PLAIN)) is expected
        assert slow.as_json()["too_slow"] is expected


def test_without_a_connection_there_is_nothing_measured_to_show() -> None:
    plan = LoadPlan(target=CallTarget(address=parse_websocket_url("ws://127.0.0.1:3000/")), calls=1, hold=1)

    text = report_text(summarize_load(plan, [], seconds=0, interrupted=True), PLAIN)

    assert "p50" not in text


def test_progress_is_one_line() -> None:
    snapshot = LoadSnapshot(elapsed=65, planned=500, placed=300, live=290, over=10, failed=2, lost_samples=0)

    assert load_progress(snapshot) == "1:05, 300 of 500 calls placed, 290 live, 10 ended, 2 failed"
