"""
One object store: files are put into it, and count as stored when what it has then is what was sent.

obstore speaks with the stores, in threads of its own, and reads the files in parts: memory is bounded.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import quote
from weakref import WeakValueDictionary

from listenctl.background_task import in_daemon_thread
from listenctl.errors import ListenctlError, UsageError
from listenctl.media.files.new_files import FILE_MODE, make_private_folder

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3CredentialProvider
    from obstore.store import ObjectStore as Store

PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 2
CONNECT_TIMEOUT = 10.0
REQUEST_TIMEOUT = 300.0
"""Seconds for one part on a slow line."""

_DIGEST = "sha256"
"""The name of the metadata in which an object has the SHA-256 of its content."""
_XML_ERROR = re.compile(r"<Code>([^<]*)</Code>.*?<Message>([^<]*)", re.DOTALL)
_NOT_FOR_TAGS = re.compile(r"[^\w +\-=.:/@]", re.ASCII)
_MAX_TAG = 256


class StorageError(ListenctlError):
    """A store doesn't take a file now; it may later."""


@dataclass(frozen=True, slots=True)
class FileDigests:
    """What a file should be in a store; ``etag`` is what S3 calls an object with this content."""

    size: int
    sha256: str
    etag: str

    @classmethod
    def of(cls, path: Path) -> Self:
        whole, parts = hashlib.sha256(), []
        size = 0
        with path.open("rb") as file:
            while part := file.read(PART_BYTES):
                size += len(part)
                whole.update(part)
                parts.append(hashlib.md5(part, usedforsecurity=False))
        if len(parts) == 1:
            etag = parts[0].hexdigest()
        else:
            joined = b"".join(part.digest() for part in parts)
            etag = f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"
        return cls(size, whole.hexdigest(), etag)


class ObjectStore:
    """The store at a URL; raises UsageError if the library is missing or the URL unusable."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # held while a name is used
        self._folder = Path(url.removeprefix("file://")) if url.startswith("file://") else None
        try:
            self._store = _open(url, self._folder)
        except ImportError as exc:
            raise UsageError(
                f"{url}: object storage needs the Python package {exc.name}; install `listenctl[s3]`"
            ) from exc
        except Exception as exc:
            raise UsageError(f"{url}: can't be used: {_reason(exc)}") from exc

    async def find(self, key: str, digests: FileDigests) -> Literal["nothing", "same", "other"]:
        """Return what the store has under a key, compared with a file."""
        import obstore

        try:
            found = await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return "nothing"
        except Exception as exc:
            raise StorageError(f"{self.url}: {_reason(exc)}") from exc
        if found["size"] != digests.size:
            return "other"
        if (found.get("e_tag") or "").strip('"') == digests.etag:
            return "same"
        # Not every store says the MD5 of what it has.
        return "same" if await self._read_digest(key) == digests.sha256 else "other"

    async def put_file(
        self, path: Path, key: str, digests: FileDigests, *, metadata: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        """Store a file, and check that it is stored; raises StorageError, or OSError if the file can't be read."""
        import obstore

        attributes: Attributes = {"Content-Type": _content_type(path)}
        attributes |= {name: quote(value, safe=" +-=.:/@") for name, value in metadata.items()}
        attributes[_DIGEST] = digests.sha256
        if self._folder is not None:
            # The library would create it for everyone.
            await asyncio.to_thread(make_private_folder, (self._folder / key).parent)
        try:
            await obstore.put_async(
                self._store,
                key,
                path,
                attributes=None if self._folder else attributes,
                tags=None if self._folder else _as_tags(tags),
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        except Exception as exc:
            raise StorageError(f"{self.url}: {_reason(exc)}") from exc
        if self._folder is not None:
            (self._folder / key).chmod(FILE_MODE)
        if await self.find(key, digests) != "same":
            raise StorageError(f"{self.url}/{key}: the store has something else than was sent")

    async def lacks_lifecycle_rule(self) -> bool:
        """Return whether parts of uploads that broke off certainly stay in a bucket of S3; False if nobody says."""
        if not self.url.startswith("s3://"):
            return False
        return await in_daemon_thread(partial(_lacks_lifecycle_rule, self.url.removeprefix("s3://")), "lifecycle")

    async def _read_digest(self, key: str) -> str:
        import obstore

        digest = hashlib.sha256()
        try:
            stream = (await obstore.get_async(self._store, key)).stream()
            async for piece in stream:
                digest.update(piece)
        except Exception as exc:
            raise StorageError(f"{self.url}: {_reason(exc)}") from exc
        return digest.hexdigest()


def _open(url: str, folder: Path | None) -> "Store":
    from obstore.store import LocalStore, S3Store, from_url

    if folder is not None:
        make_private_folder(folder)
        if not folder.is_dir():
            raise NotADirectoryError("it is no folder")
        return LocalStore(folder)
    client: ClientConfig = {
        # An http:// endpoint is the user's own choice; credentials sign requests, and are not sent.
        "allow_http": True,
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT),
        "timeout": timedelta(seconds=REQUEST_TIMEOUT),
    }
    # We try again ourselves, for hours.
    retries: RetryConfig = {"max_retries": 1, "retry_timeout": timedelta(seconds=CONNECT_TIMEOUT)}
    if not url.startswith("s3://"):
        return from_url(url, client_options=client, retry_config=retries)
    config, provider = _aws_profile()
    return S3Store.from_url(
        url, config=config, client_options=client, retry_config=retries, credential_provider=provider
    )


def _aws_profile() -> "tuple[S3Config, S3CredentialProvider | None]":
    """Return region and credentials of the profile that the tools of AWS would use; nothing if there is none."""
    config: S3Config = {}
    files = (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config"))
    if "AWS_ACCESS_KEY_ID" in os.environ or not (
        "AWS_PROFILE" in os.environ
        or any(Path(os.environ.get(name, usual)).expanduser().exists() for name, usual in files)
    ):
        return config, None
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = boto3.Session()
    if session.region_name is not None:
        config["region"] = session.region_name
    return config, None if session.get_credentials() is None else Boto3CredentialProvider(session)


def _lacks_lifecycle_rule(bucket: str) -> bool:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    once = Config(connect_timeout=CONNECT_TIMEOUT, read_timeout=CONNECT_TIMEOUT, retries={"max_attempts": 1})
    try:
        client = boto3.client("s3", config=once)
        rules = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except ClientError as exc:
        return bool(exc.response.get("Error", {}).get("Code") == "NoSuchLifecycleConfiguration")
    except (BotoCoreError, ValueError):
        return False
    return not any("AbortIncompleteMultipartUpload" in rule for rule in rules if rule.get("Status") == "Enabled")


def _reason(exc: Exception) -> str:
    """Return why a request failed, in one line; obstore appends its own structures, stores their XML."""
    text = str(exc).partition("\n\nDebug source")[0]
    if answer := _XML_ERROR.search(text):
        return f"{answer[2]} ({answer[1]})"
    return " ".join(text.split())[:500]


def _content_type(path: Path) -> str:
    types = {
        ".wav": "audio/wav",
        ".flac": "audio/flac",
        ".ogg": "audio/ogg",
        ".opus": "audio/ogg",
        ".mp3": "audio/mpeg",
    }
    return types.get(path.suffix, "application/json" if path.suffix == ".json" else "application/octet-stream")


def _as_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: _NOT_FOR_TAGS.sub("_", value)[:_MAX_TAG] for name, value in tags.items()}
