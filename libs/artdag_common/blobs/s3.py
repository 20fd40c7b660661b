"""Content in a bucket of any S3-compatible store: ``<prefix><last two characters>/<cid>``.

An object is there whole or not at all: a single request, or parts that become an object when all have arrived. Each
request carries the MD5 of its bytes, which the store checks (https://docs.aws.amazon.com/AmazonS3/latest/API/).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore import exceptions as boto

from artdag_common.blobs.endpoints import (
    Endpoint,
    Hosts,
    is_forbidden,
    parse_endpoint,
    redacted,
    refusal,
    shown,
    split_credentials,
)
from artdag_common.blobs.http import BUSY, busy
from artdag_common.blobs.remote import Progress, Usage
from artdag_common.blobs.trial import try_out
from artdag_common.cid import parse_cid
from artdag_common.errors import (
    ArtdagError,
    ContentNotFoundError,
    ProviderBusyError,
    ServiceUnavailableError,
    StorageRefusedError,
)
from artdag_common.tasks import end

T = TypeVar("T")

PART_BYTES = 16 * 2**20
MOST_PARTS = 10_000  # of one object, everywhere
PARTS_AT_ONCE = 3
ASKED_AT_ONCE = 16
PIECE_BYTES = 2**20
RESUMPTIONS = 3  # of a download that breaks off
LEAST_BYTES_A_SECOND = 64 * 2**10  # what moves slower hangs
STALE = timedelta(days=1)
MISSING = {"404", "NoSuchKey", "NotFound"}
PASSING = {"RequestTimeout", "InternalError", "OperationAborted", "BadDigest"}
PASSING |= {"XAmzContentSHA256Mismatch", "NoSuchUpload"}
SLOW = {"SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "TooManyRequests"}
ADVICE = {
    "AccessDenied": "give these credentials the rights to list, read, write and delete in the bucket",
    "403": "check access key, secret key and bucket, and the rights of these credentials",
    "InvalidAccessKeyId": "check the access key",
    "SignatureDoesNotMatch": "check the secret key and the region",
    "AuthorizationHeaderMalformed": "check the region",
    "NoSuchBucket": "make the bucket, or name one that exists",
    "404": "make the bucket, or name one that exists",
    "PermanentRedirect": "give the endpoint and the region of this bucket",
    "RequestTimeTooSkewed": "set this machine's clock",
    "QuotaExceeded": "make room, or raise the quota",
    "InsufficientStorage": "make room there",
    "507": "make room there",
    "XMinioStorageFull": "make room there",
}


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Which bucket, and how to get in.

    Attributes:
        endpoint: URL; empty: Amazon's of the region.
        prefix: begins the name of each object, for example ``artdag/``.
        path_style: the bucket in the path, as most servers want it, instead of in the host's name.
    """

    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    endpoint: str = ""
    region: str = "us-east-1"
    prefix: str = ""
    path_style: bool = True

    @classmethod
    def from_url(cls, url: str) -> S3Settings:
        """Read ``s3://KEY:SECRET@host:port/bucket/prefix?tls=false&region=…&style=virtual``.

        Raises:
            StorageRefusedError: the URL is of another form.
        """
        try:
            parts, access_key, secret_key = split_credentials(url)
            bucket, _, prefix = parts.path.strip("/").partition("/")
            if parts.scheme != "s3" or not (parts.hostname and bucket and access_key and secret_key):
                raise ValueError("it has to be s3://KEY:SECRET@host:port/bucket?tls=false")
            options = {
                name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()
            }
            unknown = sorted(options.keys() - {"tls", "region", "style"})
            if unknown:
                raise ValueError(f"{unknown[0]!r} is not one of tls, region, style")
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            scheme = "http" if options.get("tls", "true") == "false" else "https"
            return cls(
                bucket,
                access_key,
                secret_key,
                f"{scheme}://{host}" + (f":{parts.port}" if parts.port else ""),
                options.get("region", "us-east-1"),
                f"{prefix}/" if prefix else "",
                options.get("style", "path") == "path",
            )
        except ValueError as error:
            raise StorageRefusedError(f"S3 address {redacted(url)!r} cannot be used: {error}") from error


class S3Store:
    """A :class:`RemoteStore` in a bucket.

    Args:
        hosts: where the endpoint may be; everywhere, unless told otherwise.
        timeout_seconds: for an answer; transfers get what their size takes at the least rate on top.
    """

    def __init__(self, settings: S3Settings, hosts: Hosts | None = None, *, timeout_seconds: float = 60.0) -> None:
        self._settings = settings
        self._hosts = hosts or Hosts.everywhere()
        self._endpoint = parse_endpoint(settings.endpoint or f"https://s3.{settings.region}.amazonaws.com")
        self._timeout = timeout_seconds
        self._stack = contextlib.AsyncExitStack()
        self._client: Any = None
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"S3Store({self.name!r})"

    @property
    def name(self) -> str:
        """Which place this is, for people."""
        return f"S3 bucket {self._settings.bucket} at {self._endpoint}"

    async def check(self) -> None:
        """See :class:`RemoteStore`. Also removes what uploads left that broke off more than a day ago."""
        await try_out(self, self.name)
        await self._remove_stale_uploads()

    async def present(self, cids: Iterable[str]) -> set[str]:
        """See :class:`RemoteStore`."""
        turn = asyncio.Semaphore(ASKED_AT_ONCE)

        async def one(cid: str) -> str | None:
            async with turn:
                return cid if await self._size(cid) is not None else None

        return {cid for cid in await _all(one(cid) for cid in cids) if cid is not None}

    async def fetch(self, cid: str) -> AsyncIterator[bytes]:
        """See :class:`RemoteStore`. A download that breaks off goes on where it was."""
        key = self._key(cid)
        sent, tag, failures = 0, "", 0
        while True:
            more: dict[str, Any] = {"Range": f"bytes={sent}-", "IfMatch": tag} if sent else {}
            try:
                answer = await self._ask(f"read {key}", "get_object", Key=key, content=cid, **more)
                tag = answer.get("ETag", "")
                async with answer["Body"] as body:
                    while piece := await self._piece(body, key):
                        yield piece
                        sent += len(piece)
                return
            except ServiceUnavailableError as error:
                failures += 1
                if not sent or not tag or failures > RESUMPTIONS or isinstance(error, ProviderBusyError):
                    raise

    async def store(self, path: Path, cid: str, progress: Progress | None = None) -> str:
        """See :class:`RemoteStore`."""
        key, size = self._key(cid), path.stat().st_size
        parts = _Parts(progress or Progress())
        if await self._size(cid) != size:
            if size <= PART_BYTES:
                data = await asyncio.to_thread(path.read_bytes)
                body = _Body(data, parts.of(1))
                await self._ask(f"write {key}", "put_object", size, Key=key, Body=body, ContentMD5=_md5(data))
            else:
                await self._store_in_parts(path, key, size, parts)
            stored = await self._size(cid)
            if stored != size:
                raise ServiceUnavailableError(f"{self.name} took {key} of {size} bytes and shows {stored}")
        return f"s3://{self._settings.bucket}/{key}"

    async def remove(self, cid: str) -> None:
        """See :class:`RemoteStore`."""
        key = self._key(cid)
        with contextlib.suppress(ContentNotFoundError):
            await self._ask(f"delete {key}", "delete_object", Key=key, content=cid)

    async def usage(self) -> Usage:
        """See :class:`RemoteStore`. Lists all objects with the prefix, a thousand a request."""
        objects = used = 0
        token: dict[str, Any] = {}
        while True:
            page = await self._ask("list objects", "list_objects_v2", Prefix=self._settings.prefix, **token)
            objects += len(page.get("Contents", []))
            used += sum(entry["Size"] for entry in page.get("Contents", []))
            if not page.get("IsTruncated"):
                return Usage(objects, used, None)
            token = {"ContinuationToken": page["NextContinuationToken"]}

    async def close(self) -> None:
        """See :class:`RemoteStore`."""
        self._client = None
        await self._stack.aclose()

    async def make_bucket(self) -> None:
        """Make the bucket if there is none; for servers of our own."""
        try:
            await self._ask("make the bucket", "create_bucket")
        except StorageRefusedError as error:
            if error.values.get("code") not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    # --- requests -----------------------------------------------------------------------------------------------------

    def _key(self, cid: str) -> str:
        name = parse_cid(cid)
        return f"{self._settings.prefix}{name[-2:]}/{name}"

    async def _size(self, cid: str) -> int | None:
        """Return how long an object is; None: it is not there."""
        key = self._key(cid)
        try:
            return int((await self._ask(f"look for {key}", "head_object", Key=key, content=cid))["ContentLength"])
        except ContentNotFoundError:
            return None

    async def _store_in_parts(self, path: Path, key: str, size: int, parts: _Parts) -> None:
        upload = (await self._ask(f"write {key}", "create_multipart_upload", Key=key))["UploadId"]
        step = max(PART_BYTES, -(-size // MOST_PARTS))
        turn = asyncio.Semaphore(PARTS_AT_ONCE)

        async def one(number: int) -> dict[str, Any]:
            async with turn:
                data = await asyncio.to_thread(_read, path, (number - 1) * step, step)
                answer = await self._ask(
                    f"write part {number} of {key}",
                    "upload_part",
                    len(data) * PARTS_AT_ONCE,
                    Key=key,
                    UploadId=upload,
                    PartNumber=number,
                    Body=_Body(data, parts.of(number)),
                    ContentMD5=_md5(data),
                )
                return {"ETag": answer["ETag"], "PartNumber": number}

        try:
            done = {"Parts": await _all(one(number) for number in range(1, -(-size // step) + 1))}
            await self._ask(
                f"finish {key}", "complete_multipart_upload", size, Key=key, UploadId=upload, MultipartUpload=done
            )
        except BaseException:
            with contextlib.suppress(ArtdagError):
                await asyncio.shield(self._ask(f"give up {key}", "abort_multipart_upload", Key=key, UploadId=upload))
            raise

    async def _remove_stale_uploads(self) -> None:
        page = await self._ask("list uploads", "list_multipart_uploads", Prefix=self._settings.prefix)
        for upload in page.get("Uploads", []):
            if datetime.now(UTC) - upload["Initiated"] > STALE:
                key = upload["Key"]
                await self._ask(f"give up {key}", "abort_multipart_upload", Key=key, UploadId=upload["UploadId"])

    async def _piece(self, body: Any, key: str) -> bytes:
        async with self._translated(f"read {key}"):
            piece: bytes = await body.content.read(PIECE_BYTES)
        return piece

    async def _ask(self, doing: str, operation: str, size: int = 0, *, content: str = "", **arguments: Any) -> Any:
        """Make one request; ``content``: the CID that a 404 is about. ``size``: bytes that it moves."""
        request = getattr(await self._connected(), operation)
        async with self._translated(doing, size, content):
            return await request(Bucket=self._settings.bucket, **arguments)

    @contextlib.asynccontextmanager
    async def _translated(self, doing: str, size: int = 0, content: str = "") -> AsyncIterator[None]:
        """Bound the time, and turn the client's errors into ours."""
        try:
            async with asyncio.timeout(self._timeout + size / LEAST_BYTES_A_SECOND):
                yield
        except boto.ClientError as error:
            raise self._answered(error, doing, content) from error
        except boto.SSLError as error:
            raise StorageRefusedError(f"{self.name}: its certificate does not fit: {self._shown(error)}") from error
        except TimeoutError as error:
            raise ServiceUnavailableError(f"{self.name} did not answer in time when asked to {doing}") from error
        except (boto.ConnectionError, boto.HTTPClientError, aiohttp.ClientError, OSError) as error:
            if is_forbidden(error):
                raise refusal(self._endpoint) from error
            raise ServiceUnavailableError(
                f"{self.name} cannot be reached to {doing}: {self._shown(error)}; check the endpoint if this lasts"
            ) from error
        except (boto.BotoCoreError, ValueError) as error:
            raise StorageRefusedError(f"{self.name} cannot be asked to {doing}: {self._shown(error)}") from error

    def _answered(self, error: Any, doing: str, content: str) -> ArtdagError:
        """Return what a refusing answer means."""
        said = error.response.get("Error", {})
        code = str(said.get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if content and code in MISSING:
            return ContentNotFoundError(f"{self.name} has no content {content}", cid=content)
        answer = f"{self.name}: asked to {doing}, it answered {self._shown(code)} ({status})"
        if said.get("Message"):
            answer += f": {self._shown(said['Message'])}"
        if status in BUSY or code in SLOW:
            headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            return busy(answer, headers.get("retry-after"), code=code)
        if code in PASSING or (status >= 500 and code not in ADVICE):
            return ServiceUnavailableError(answer, code=code)
        return StorageRefusedError(f"{answer}; {ADVICE.get(code, 'check the settings of this storage')}", code=code)

    def _shown(self, text: object) -> str:
        return shown(text, self._settings.secret_key)

    async def _connected(self) -> Any:
        async with self._opening:
            if self._client is None:
                await self._hosts.permit(self._endpoint)
                session = aioboto3.Session(
                    aws_access_key_id=self._settings.access_key, aws_secret_access_key=self._settings.secret_key
                )
                async with self._translated("connect"):
                    self._client = await self._stack.enter_async_context(
                        session.client(
                            "s3",
                            endpoint_url=self._endpoint.url,
                            region_name=self._settings.region,
                            config=self._configuration(),
                        )
                    )
            return self._client

    def _configuration(self) -> AioConfig:
        return AioConfig(
            signature_version="s3v4",
            s3={"addressing_style": "path" if self._settings.path_style else "virtual"},
            retries={"mode": "standard", "total_max_attempts": 3},
            connect_timeout=min(self._timeout, 5.0),
            read_timeout=self._timeout,
            max_pool_connections=ASKED_AT_ONCE,
            # The checksums that newer clients add to the body are not understood by all servers; MD5 is.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            http_session_cls=_session_class(self._hosts, self._endpoint),
        )


def _session_class(hosts: Hosts, endpoint: Endpoint) -> type[Any]:
    """Return the class of HTTP sessions whose connections are checked when they are made."""

    class Session(AIOHTTPSession):  # type: ignore[misc]
        def __init__(self, *arguments: Any, connector_args: dict[str, Any] | None = None, **more: Any) -> None:
            connector_args = {**(connector_args or {}), "socket_factory": hosts.sockets(endpoint)}
            super().__init__(*arguments, connector_args=connector_args, **more)

        async def send(self, request: Any) -> Any:
            if not isinstance(request.body, _Body):
                return await super().send(request)
            with request.body.sent():
                return await super().send(request)

    return Session


class _Parts:
    """Keeps the progress of a file whose parts are sent at once."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._sent: dict[int, int] = {}

    def of(self, number: int) -> Callable[[int], None]:
        """Return what is told how many bytes of a part were sent; fewer than before where it is sent again."""

        def note(sent: int) -> None:
            self._progress.done_bytes += sent - self._sent.get(number, 0)
            self._sent[number] = sent

        return note


class _Body(io.BytesIO):
    """The bytes of a request, which tell how many of them were read to be sent. The client also reads them to sign."""

    def __init__(self, data: bytes, note: Callable[[int], None]) -> None:
        super().__init__(data)
        self._note = note
        self._sending = False

    @contextlib.contextmanager
    def sent(self) -> Iterator[None]:
        """Have what is read in the block count as sent."""
        self._sending = True
        try:
            yield
        finally:
            self._sending = False
            self._note(self.tell())

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes. Those before them are on their way by now."""
        if self._sending:
            self._note(self.tell())
        return super().read(size)


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do it all at once; where one fails, the others end too."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await end(*tasks)


def _read(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
