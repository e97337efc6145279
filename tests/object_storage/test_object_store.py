"""Stores against a real S3 server over HTTP, and a folder."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.object_storage.object_store import PART_BYTES, FileDigests, ObjectStore, StorageError
from tests.helpers.object_storage import S3Server, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["s3", "folder"])
def store(request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    return ObjectStore("s3://calls" if request.param == "s3" else f"file://{tmp_path}/stored")


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 7])
async def test_a_file_of_any_size_is_stored_and_found_again(store: ObjectStore, tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    digests = FileDigests.of(path)
    key = f"of size/{size}/ä+b.wav"

    before = await store.find(key, digests)
    await store.put_file(path, key, digests, metadata={"from": "+49 ü"}, tags={"callSid": "a&b"})

    assert before == "nothing"
    assert await store.find(key, digests) == "same"


async def test_what_is_stored_under_a_name_is_told_from_other_content(store: ObjectStore, tmp_path: Path) -> None:
    path, other = tmp_path / "a.wav", tmp_path / "b.wav"
    path.write_bytes(b"ab")
    other.write_bytes(b"ba")
    await store.put_file(path, "told/x", FileDigests.of(path), metadata={}, tags={})

    assert await store.find("told/x", FileDigests.of(other)) == "other"


async def test_an_object_has_metadata_tags_and_type(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "a.flac"
    path.write_bytes(b"ab")

    await ObjectStore("s3://calls").put_file(
        path, "described", FileDigests.of(path), metadata={"callSid": "CS"}, tags={"accountSid": "AC/1 <x>"}
    )

    found = s3.client.head_object(Bucket="calls", Key="described")
    tags = s3.client.get_object_tagging(Bucket="calls", Key="described")["TagSet"]
    assert found["Metadata"]["callsid"] == "CS"
    assert found["ContentType"] == "audio/flac"
    assert tags == [{"Key": "accountSid", "Value": "AC/1 _x_"}]


async def test_what_the_server_says_is_told_in_one_line(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "a.wav"
    path.write_bytes(b"ab")

    with pytest.raises(StorageError) as failed:
        await ObjectStore("s3://missing").put_file(path, "x", FileDigests.of(path), metadata={}, tags={})

    assert str(failed.value) == "s3://missing: The specified bucket does not exist (NoSuchBucket)"


async def test_a_server_that_is_not_there_is_a_failure_that_may_pass(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {**s3.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "a.wav"
    path.write_bytes(b"ab")

    with pytest.raises(StorageError) as failed:
        await ObjectStore("s3://calls").find("x", FileDigests.of(path))

    assert "\n" not in str(failed.value)
    assert "secret-value" not in str(failed.value)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="file: can't be used: it is no folder"):
        ObjectStore(f"file://{tmp_path}/file")


async def test_a_folder_as_a_store_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"ab")

    await ObjectStore(f"file://{tmp_path}/above/stored").put_file(
        path, "x/y.wav", FileDigests.of(path), metadata={}, tags={}
    )

    modes = [
        stat.S_IMODE((tmp_path / "above" / name).stat().st_mode)
        for name in (".", "stored", "stored/x", "stored/x/y.wav")
    ]
    assert modes == [0o700, 0o700, 0o700, 0o600]


def test_without_the_library_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)

    with pytest.raises(UsageError, match=r"needs the Python package obstore.*install `listenctl\[s3\]`"):
        ObjectStore("s3://calls")


async def test_a_bucket_that_keeps_parts_of_uploads_is_known(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    store = ObjectStore("s3://calls")
    rule = {"ID": "a", "Status": "Enabled", "Prefix": "", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}

    before = await store.lacks_lifecycle_rule()
    s3.client.put_bucket_lifecycle_configuration(Bucket="calls", LifecycleConfiguration={"Rules": [rule]})
    after = await store.lacks_lifecycle_rule()
    s3.client.delete_bucket_lifecycle(Bucket="calls")

    assert (before, after) == (True, False)
    assert not await ObjectStore("s3://missing").lacks_lifecycle_rule()
