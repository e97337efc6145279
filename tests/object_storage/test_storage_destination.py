from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from listenctl.errors import UsageError
from listenctl.object_storage.storage_destination import StorageDestination, is_storage_url
from tests.helpers.object_storage import make_recording


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("url", "store", "key"),
    [
        ("s3://calls", "s3://calls", "CS-1"),
        ("s3://calls/", "s3://calls", "CS-1"),
        ("s3://calls/archive", "s3://calls", "archive/CS-1"),
        ("s3://calls/{year}/{month}/{day}/{callSid}.wav", "s3://calls", "2001/09/09/CS-1"),
        ("S3://calls/{end.year}-{hour}/{from}.flac", "s3://calls", "2001-01/+1555"),
        ("gs://calls/{accountSid}/", "gs://calls", "AC-1/CS-1"),
        ("az://account/container/x/{callSid}.wav", "az://account/container", "x/CS-1"),
        ("file:///srv/calls/{date}/{callSid}.wav", "file:///srv/calls", "2001-09-09/CS-1"),
        ("file:///srv/calls/", "file:///srv/calls", "CS-1"),
    ],
)
def test_a_url_names_the_store_and_the_key_of_each_call(tmp_path: Path, url: str, store: str, key: str) -> None:
    destination = StorageDestination.parse(url)

    assert destination.store_url == store
    assert destination.keys(make_recording(tmp_path).sidecar) == [key]
    assert destination.url_of(f"{key}.wav") == f"{store}/{key}.wav"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://host/x", "object storage is s3://BUCKET/, gs://BUCKET/"),
        ("s3://", "name the store as in s3://BUCKET/"),
        ("s3:///x", "name the store as in s3://BUCKET/"),
        ("s3://{year}/x", "name the store as in s3://BUCKET/"),
        ("s3://key:secret@bucket/x", "name the store as in s3://BUCKET/, without credentials"),
        ("az://account", "name the store as in az://ACCOUNT/CONTAINER/"),
        ("file://relative/x", "name the store as in file:///FOLDER/"),
        ("s3://calls/{callSid}.aac", "can't record to .aac files"),
        ("s3://calls/{nonsense", "stands alone"),
    ],
)
def test_what_names_no_store_is_refused_without_its_secrets(url: str, complaint: str) -> None:
    assert is_storage_url(url)
    with pytest.raises(UsageError) as refused:
        StorageDestination.parse(url)

    assert complaint in str(refused.value)
    assert "secret" not in str(refused.value)


def test_dates_are_those_of_the_time_zone_and_of_start_or_end(tmp_path: Path) -> None:
    recording = make_recording(tmp_path, started=at("2026-03-01T22:30"), ended=at("2026-03-01T23:30"))
    destination = StorageDestination.parse("s3://c/{date}/{end.date}/{hour}", zone=ZoneInfo("Europe/Berlin"))

    assert destination.keys(recording.sidecar) == ["2026-03-01/2026-03-02/23"]


def test_a_name_of_the_end_is_refused_where_files_are_named_at_the_start() -> None:
    from listenctl.media.files.recording_names import RecordingDestination

    with pytest.raises(UsageError, match=r"there is no \{end.day\}; use \{day\}, or record to object storage"):
        RecordingDestination.parse("calls/{end.day}/{callSid}.wav")


def test_a_recording_that_was_cut_by_a_crash_has_the_day_of_its_start(tmp_path: Path) -> None:
    recording = make_recording(tmp_path, started=at("2026-03-01T22:30"), ended=None)

    assert StorageDestination.parse("s3://c/{end.date}/x").keys(recording.sidecar) == ["2026-03-01/x"]


def portal_key(call_sid: str, hung_up: float, zone: str, kind: str = "wav") -> str:
    """
    Return the object that the API server reads: the SBC writes the day of the hang-up, in its own time, into the path
    of the recording (listenctl-protocol(7) 9), and the API server reads the object of that day.
    """
    day = datetime.fromtimestamp(hung_up, ZoneInfo(zone))
    return f"{day:%Y/%m/%d}/{call_sid}.{kind}"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize(
    "ended", ["2026-03-01T12:00:00", "2026-03-01T23:59:58", "2026-03-02T00:00:01", "2026-03-02T05:00:00"]
)
@pytest.mark.parametrize("apart", [-3.0, 0.0, 3.0])
def test_the_portal_finds_each_recording_also_around_midnight(
    tmp_path: Path, zone: str, ended: str, apart: float
) -> None:
    recording = make_recording(tmp_path, started=at(ended) - 7200, ended=at(ended))
    destination = StorageDestination.parse("s3://calls", zone=ZoneInfo(zone), for_portal=True)

    stored = {f"{key}.wav" for key in destination.keys(recording.sidecar)}

    assert portal_key("CS-1", at(ended) + apart, zone) in stored


def test_the_portal_has_one_name_for_a_call_that_ends_in_the_middle_of_a_day(tmp_path: Path) -> None:
    recording = make_recording(tmp_path, started=at("2026-03-01T23:50"), ended=at("2026-03-02T00:10"))
    destination = StorageDestination.parse("s3://calls/site/", for_portal=True)

    assert destination.keys(recording.sidecar) == ["site/2026/03/02/CS-1"]


def test_the_layout_of_the_portal_takes_no_template() -> None:
    with pytest.raises(UsageError, match="leave out the name template"):
        StorageDestination.parse("s3://calls/{callSid}", for_portal=True)
