"""The process of a worker: the same command with the same options, without what the parent does for all."""

import signal
import sys

from listenctl.commands.serve.command import ServeOptions, serve
from listenctl.commands.serve.record import RecordOptions, record
from listenctl.errors import ListenctlError
from listenctl.server.workers.worker_context import WorkerContext
from listenctl.terminal.log_lines import LogFormat
from listenctl.terminal.stderr_log import problem_writer
from listenctl.terminal.stop_signals import STOP_SIGNALS


def run_worker_process() -> None:
    """Serve until the parent ends us; the first two arguments of this process are its name and the descriptor."""
    # A service manager sends its signals to all processes; the parent tells us what they mean.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    try:
        worker = WorkerContext(int(sys.argv[2]))
    except EOFError:
        return
    options = worker.options
    assert isinstance(options, RecordOptions | ServeOptions)
    try:
        sys.exit(record(options, worker) if isinstance(options, RecordOptions) else serve(options, worker))
    except ListenctlError as exc:
        problem_writer(LogFormat(options.log_format))(str(exc))
        sys.exit(exc.exit_status)
