"""The limit on the number of plotted calls."""

from listenctl.inspection.call_report import CallReport
from listenctl.inspection.plot.plotted_call import PlotObserver
from tests.helpers.inspected import MadeUp, new_session


def test_further_calls_are_only_counted() -> None:
    ended: list[CallReport] = []
    observer = PlotObserver(lambda _, report: ended.append(report), max_calls=2)
    for number in range(1, 5):
        session = new_session(number=number)
        observer.on_session_opened(session)
        call = MadeUp(observers=[observer], session=session)
        call.listen(0.0, 1.0)
        call.close(2.0)

    assert [report.session.number for report in ended] == [1, 2]
    assert observer.omitted == 2
