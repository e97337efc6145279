"""
Inspect captures and print the results: summaries, a table, a timeline of each call, JSON or CSV.

Modules that only some options need are imported where they are used: they take longer than a small capture.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from listenctl.commands.inspect.captured_sessions import (
    describe_files_without_calls,
    describe_other_sessions,
    files_not_read,
    is_call,
    join_names,
)
from listenctl.commands.inspect.inspect_results import ResultLayout, ResultPrinter, TimelineForm
from listenctl.commands.inspect.read_captures import STDIN, Captures
from listenctl.errors import CheckFailedError, ListenctlError, NotFoundError, UsageError, signal_status
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.jambonz_model.rule_catalogue import Severity
from listenctl.terminal.printable_text import TextStyle, count_noun, printable
from listenctl.terminal.screen import terminal_size
from listenctl.terminal.standard_streams import write_line, write_message

if TYPE_CHECKING:
    from listenctl.commands.inspect.timeline_items import TimelineObserver
    from listenctl.commands.inspect.timeline_view import TimelinePrinter
    from listenctl.inspection.extract_audio.audio_extractor import AudioExtractor
    from listenctl.inspection.plot.plot_figure import PlotWriter
    from listenctl.inspection.plot.plotted_call import PlotObserver, PlottedCall
    from listenctl.media.files.recording_names import RecordingDestination

ON_TERMINAL = Path("-")
"""The value of ``--plot`` that prints text plots on stdout."""
MAX_PLOTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectPlan:
    """The files to inspect and the output to produce."""

    files: Sequence[str]
    settings: InspectionSettings
    keylog: Path | None = None
    layout: ResultLayout = ResultLayout.PEOPLE
    timeline: TimelineForm | None = None  # print the timeline of each call instead of its results
    calls: Sequence[str] = ()  # names of the calls to inspect; empty means all
    fail_on: Severity | None = None  # the lowest severity of a broken rule that fails the command
    extract: "RecordingDestination | None" = None
    plot: Path | None = None
    split: Path | None = None

    @property
    def chooses_first(self) -> bool:
        """Whether the calls must be chosen before the files are read."""
        return bool(self.timeline or self.extract or self.plot or self.split)


def run_inspect(plan: InspectPlan, out: TextIO) -> int:
    """
    Inspect all files and print the results; return the exit status: 0 unless a signal ended the reading.

    Raises:
        UsageError: options contradict each other, or the name of a call is ambiguous.
        NotFoundError: there is no such call.
        CheckFailedError: a rule of severity ``fail_on`` or worse was broken.
        ListenctlError: a file can't be read or written.
    """
    # Set before numpy is imported: OpenBLAS would start a thread per core, which nothing here needs.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    captures = Captures(plan.files, plan.keylog)
    _check(plan, captures)
    chosen = _choose_first(plan, captures) if plan.calls and plan.chooses_first else None
    inspection = _Inspection(plan, captures, out, chosen)
    inspection.run()
    return inspection.conclude()


def _check(plan: InspectPlan, captures: Captures) -> None:
    if plan.plot == ON_TERMINAL and (plan.timeline or plan.layout is not ResultLayout.PEOPLE):
        raise UsageError("--plot - draws on stdout, which has other output; give a file name")
    if not captures.live:
        return
    if plan.files.count(STDIN) > 1:
        raise UsageError("-: stdin can be read only once")
    if plan.split:
        raise UsageError("--split reads a capture twice; save it to a file first, for example with tcpdump -w FILE")
    if plan.calls and plan.chooses_first:
        raise UsageError("--call needs all calls before the first is printed; save the capture to a file first")


def _choose_first(plan: InspectPlan, captures: Captures) -> set[int]:
    """Return the numbers of the chosen sessions; this reads all files an additional time."""
    inspector = CaptureInspector(plan.settings)
    for event in captures.read(quiet=True):
        inspector.feed_event(event)
    return {report.session.number for report in _chosen_calls(inspector.finish_calls(), plan.calls, captures)}


def _chosen_calls(reports: Sequence[CallReport], wanted: Sequence[str], captures: Captures) -> list[CallReport]:
    from listenctl.inspection.choose_calls import choose_calls

    try:
        return choose_calls([report for report in reports if is_call(report)], wanted)
    except NotFoundError as exc:
        # The call may be in a file that can't be read.
        if failures := captures.failures:
            raise ListenctlError("; ".join([*failures, str(exc)])) from exc
        raise


class _Inspection:
    """One pass over all files, with all observers."""

    def __init__(self, plan: InspectPlan, captures: Captures, out: TextIO, chosen: set[int] | None) -> None:
        self._plan = plan
        self._captures = captures
        self._out = out
        style = TextStyle.of_stream(out, os.environ)
        columns = terminal_size(out)[0] if out.isatty() else None
        self._extractor: AudioExtractor | None = None
        self._plotter: PlotWriter | None = None
        self._plot_observer: PlotObserver | None = None
        from listenctl.inspection.sound_checks.call_sound import SoundChecksObserver

        timeline = self._make_timeline(style, columns)
        self._timeline = timeline[0] if timeline else None
        # First, because it adds violations to the reports that the others use.
        sound_checks = SoundChecksObserver(timeline[0].on_violation) if timeline else SoundChecksObserver()
        observers = [sound_checks, *(timeline or ()), *self._make_extractor(), *self._make_plot(style, columns)]
        self._inspector = CaptureInspector(plan.settings, observers, observed=chosen)
        # Chosen calls are printed in full, regardless of their number.
        self._results = ResultPrinter(
            self._write, plan.layout, style, columns=columns, sounds=sound_checks.reports, each=bool(plan.calls)
        )
        self._reports: list[CallReport] = []

    def _make_timeline(
        self, style: TextStyle, columns: int | None
    ) -> "tuple[TimelineObserver, TimelinePrinter] | None":
        if not self._plan.timeline:
            return None
        from listenctl.commands.inspect.timeline_items import TimelineObserver
        from listenctl.commands.inspect.timeline_view import TimelinePrinter

        printer = TimelinePrinter(self._write, self._plan.timeline, style, columns=columns, live=self._captures.live)
        return TimelineObserver(printer.add_item), printer

    def _make_extractor(self) -> Iterator[CallObserver]:
        if self._plan.extract:
            from listenctl.inspection.extract_audio.audio_extractor import AudioExtractor

            self._extractor = AudioExtractor(self._plan.extract)
            yield self._extractor

    def _make_plot(self, style: TextStyle, columns: int | None) -> Iterator[CallObserver]:
        plot = self._plan.plot
        if not plot:
            return
        from listenctl.commands.inspect.text_plot_view import print_text_plot
        from listenctl.inspection.plot.plot_figure import PlotWriter
        from listenctl.inspection.plot.plotted_call import PlotObserver

        draw: Callable[[PlottedCall, CallReport], None]
        if plot == ON_TERMINAL:
            draw = partial(print_text_plot, write=self._write, style=style, columns=columns)
        else:
            self._plotter = PlotWriter(plot)
            draw = self._plotter.plot_call
        self._plot_observer = PlotObserver(draw, max_calls=MAX_PLOTS, with_spectrum=bool(self._plotter))
        yield self._plot_observer

    def run(self) -> None:
        """Read all files and print the results."""
        at_once = self._captures.live and not self._plan.calls and not self._plan.timeline
        try:
            for event in self._captures.read(join_audio=self._timeline is None):
                if self._timeline:
                    self._timeline.add_event(event)
                report = self._inspector.feed_event(event)
                if report and at_once:
                    self._results.print_one(report)
            self._reports = self._inspector.finish_calls()
        finally:
            if self._extractor:
                self._extractor.abandon()
        if self._plan.calls:
            self._reports = _chosen_calls(self._reports, self._plan.calls, self._captures)
        if not self._plan.timeline:
            self._results.print_all(self._reports, at_once=at_once)

    def conclude(self) -> int:
        """Write the files, describe other sessions, and return the exit status."""
        interrupted = self._captures.interrupted
        self._describe_other_sessions()
        if omitted := self._inspector.omitted:
            sessions = count_noun(omitted, "more session")
            write_message(f"{sessions} not listed: the memory for reports is full; split the capture")
        for path in self._make_files():
            write_message(f"wrote {printable(str(path))}")
        if failures := self._captures.failures:
            raise ListenctlError("; ".join(failures))
        self._check_fail_on()
        self._check_all_read()
        return signal_status(interrupted) if interrupted else 0

    def _make_files(self) -> Iterator[Path]:
        for extracted in self._extractor.made if self._extractor else ():
            for warning in extracted.warnings:
                write_message(printable(warning))
            yield from extracted.paths
        if self._plotter:
            yield from self._plotter.made
        if self._plot_observer and self._plot_observer.omitted:
            write_message(f"--plot draws only the first {MAX_PLOTS} calls; choose others with --call")
        if self._plan.split and not self._captures.interrupted:
            from listenctl.inspection.split_capture.split_capture import split_captures

            numbers = {report.session.number for report in self._calls}
            yield from split_captures(
                self._plan.files, self._inspector.finish_calls(), numbers, self._plan.split, write_message
            )

    @property
    def _calls(self) -> list[CallReport]:
        return [report for report in self._reports if is_call(report)]

    def _describe_other_sessions(self) -> None:
        lines = [] if self._plan.calls else describe_other_sessions(self._reports)
        if not self._reports and self._captures.failures:
            return
        if not self._calls and not self._captures.interrupted:
            lines = [*describe_files_without_calls(self._captures.files, self._reports), *lines]
        for line in lines:
            if self._plan.layout is ResultLayout.PEOPLE and not self._plan.timeline:
                self._write(line)
            else:
                write_message(line)

    def _check_fail_on(self) -> None:
        limit = self._plan.fail_on
        if limit is None:
            return
        if not self._calls:
            raise CheckFailedError("--fail-on: no call to check")
        if omitted := self._inspector.omitted:
            raise CheckFailedError(f"--fail-on: {count_noun(omitted, 'session')} not checked")
        bad = [report for report in self._calls if report.worst and report.worst.rank <= limit.rank]
        if bad:
            names = join_names([printable(report.call) for report in bad])
            raise CheckFailedError(
                f"{len(bad)} of {len(self._calls)} calls broke a rule of severity {limit} or worse: {names}"
            )

    def _check_all_read(self) -> None:
        if self._plan.keylog and any(report.session.unreadable for report in self._inspector.finish_calls()):
            from listenctl.capture.tls.record_ciphers import check_ciphers

            check_ciphers()
        if not self._plan.calls and (files := files_not_read(self._reports, self._captures.incomplete)):
            raise ListenctlError(f"{join_names([printable(path) for path in files])}: no call could be read")

    def _write(self, line: str) -> None:
        write_line(self._out, line)
        if self._captures.live:
            self._out.flush()
