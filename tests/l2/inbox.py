"""The inbox: what L1 servers publish, checked at its source before anybody sees it here."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from http_message_signatures import HTTPMessageSignaturesException, InvalidSignature

from tests.l2.books import Asset, Books
from tests.l2.calling import ACTIVITY, Caller, CallFailedError
from tests.l2.names import cids_of, is_below
from tests.l2.signatures import Message, key_id_of, verify

LOOKS, LOOK_SECONDS = 6, 0.25
SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,128}")
TYPES = frozenset({"Image", "Video", "Audio", "Document"})


class RefusedError(Exception):
    """The activity is not taken; ``status`` says why: 4xx for good, 503 for now."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Inbox:
    """Takes each activity once."""

    def __init__(self, books: Books, caller: Caller, public_url: str, clock: Callable[[], float]) -> None:
        self._books = books
        self._caller = caller
        self._public_url = public_url
        self._clock = clock
        self._keys: dict[str, tuple[str, str]] = {}  # key id → actor, PEM
        self._taking: dict[str, asyncio.Lock] = {}

    async def take(self, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Return the answer to an activity; to one that came before, the same answer.

        Raises:
            RefusedError: it is not signed by who it says, is not what its source shows, or is none.
        """
        try:
            activity = json.loads(body)
        except ValueError as error:
            raise RefusedError(400, "the body is not JSON") from error
        texts = ("id", "type", "actor")
        if not isinstance(activity, dict) or not all(isinstance(activity.get(each), str) for each in texts):
            raise RefusedError(400, f"an activity has {', '.join(texts)}, all texts")
        renderer = await self._sender(path, headers, body, activity["actor"])
        if not is_below(activity["id"], renderer):
            raise RefusedError(403, f"activity {activity['id']} is not {renderer}'s to send")
        digest = hashlib.sha256(body).hexdigest()
        lock = self._taking.setdefault(activity["id"], asyncio.Lock())
        async with lock:  # two deliveries at once are one
            known = self._books.activity(activity["id"])
            if known is not None:
                if known["digest"] != digest:
                    raise RefusedError(409, f"activity {activity['id']} came before, with other content")
                return dict(json.loads(known["answer"]))
            if activity["type"] == "Create":
                return await self._create(activity, digest, renderer)
            if activity["type"] == "Delete":
                return self._delete(activity, digest, renderer)
            raise RefusedError(422, f"activities of type {activity['type']} are not taken; Create and Delete are")

    async def _sender(self, path: str, headers: Mapping[str, str], body: bytes, actor: str) -> str:
        """Return the L1 server that signed the request."""
        try:
            key_id = key_id_of(headers)
            renderer = next((each for each in self._books.renderers() if is_below(key_id, each)), None)
            if renderer is None:
                raise RefusedError(403, f"key {key_id} is of no L1 server that is listed here")
            message = Message("POST", self._public_url + path, dict(headers))
            for fresh in (False, True):  # its key may have changed
                owner, pem = await self._key(key_id, fresh)
                try:
                    verify(message, body, key_id, pem, self._clock)
                except HTTPMessageSignaturesException:
                    if fresh:
                        raise
                else:
                    break
        except InvalidSignature as error:
            raise RefusedError(401, f"the signature does not hold: {error}") from error
        except HTTPMessageSignaturesException as error:
            raise RefusedError(401, f"the signature cannot be read: {error}") from error
        if actor != owner:
            raise RefusedError(403, f"{owner} may not speak for {actor}")
        return renderer

    async def _key(self, key_id: str, fresh: bool) -> tuple[str, str]:
        """Return who has a key, and the key."""
        if fresh or key_id not in self._keys:
            try:
                document = await self._caller.document(key_id.partition("#")[0], ACTIVITY)
                key = document["publicKey"]
                if key["id"] != key_id or key["owner"] != document["id"]:
                    raise RefusedError(401, f"{key_id} is not the key of {document['id']}")
                self._keys[key_id] = (str(document["id"]), str(key["publicKeyPem"]))
            except CallFailedError as error:
                raise RefusedError(503, f"the sender's key cannot be had: {error}") from error
            except (KeyError, TypeError) as error:
                raise RefusedError(401, f"{key_id.partition('#')[0]} is no actor with a key: {error}") from error
        return self._keys[key_id]

    async def _create(self, activity: dict[str, Any], digest: str, renderer: str) -> dict[str, Any]:
        asset = await self._asset(activity.get("object"), renderer)
        url = f"{self._public_url}/assets/{asset.id}"
        answer = {"id": url, "url": url}
        self._books.take_created(activity, digest, self._clock(), answer, asset)
        return answer

    def _delete(self, activity: dict[str, Any], digest: str, renderer: str) -> dict[str, Any]:
        given = activity.get("object")
        object_id = given.get("id") if isinstance(given, dict) else given
        if not isinstance(object_id, str) or not is_below(object_id, renderer):
            raise RefusedError(403, f"{object_id!r} is not {renderer}'s to delete")
        return {"removed": self._books.take_deleted(activity, digest, self._clock(), object_id)}

    async def _asset(self, given: object, renderer: str) -> Asset:
        """Return what is to be listed, after looking where it comes from."""
        if not isinstance(given, dict):
            raise RefusedError(422, "the activity has no object")
        names = ("id", "type", "name", "attributedTo", "cid")
        texts = {each: given[each] for each in names if isinstance(given.get(each), str) and given[each]}
        if missing := [each for each in names if each not in texts]:
            raise RefusedError(422, f"the object lacks {', '.join(missing)}")
        if not is_below(texts["id"], renderer):
            raise RefusedError(403, f"object {texts['id']} is not {renderer}'s to publish")
        if texts["type"] not in TYPES:
            raise RefusedError(422, f"objects of type {texts['type']} are not listed; {', '.join(sorted(TYPES))} are")
        prefix = f"{self._public_url}/users/"
        person = texts["attributedTo"].removeprefix(prefix)
        if not texts["attributedTo"].startswith(prefix) or renderer not in self._books.attached(person):
            raise RefusedError(403, f"{texts['attributedTo']} has not attached {renderer}")
        said = given.get("provenance") or {}
        if not isinstance(said, dict):
            raise RefusedError(422, "the object's provenance is no object")
        record = await self._looked_at(renderer, texts, said)
        return Asset(
            object=texts["id"],
            renderer=renderer,
            person=person,
            type=texts["type"],
            name=texts["name"],
            cid=texts["cid"],
            url=f"{renderer}/cache/{texts['cid']}",
            run=f"{renderer}/runs/{said['run_id']}" if record else "",
            provenance_cid=str(said["provenance_cid"]) if record else "",
            provenance=record,
        )

    async def _looked_at(self, renderer: str, texts: dict[str, str], said: dict[str, Any]) -> dict[str, Any]:
        """Call back: object, run and provenance record have to say what the activity says; return the record."""
        shown = await self._look(texts["id"], ACTIVITY)
        if shown.get("id") != texts["id"] or shown.get("attributedTo") != texts["attributedTo"]:
            raise RefusedError(422, f"{texts['id']} is not what the activity says")
        if not said:
            return {}
        run, cid = said.get("run_id"), said.get("provenance_cid")
        if (
            not isinstance(run, str)
            or not SEGMENT.fullmatch(run)
            or not isinstance(cid, str)
            or not SEGMENT.fullmatch(cid)
        ):
            raise RefusedError(422, "the object's provenance names no run_id and provenance_cid")
        found = await self._look(f"{renderer}/runs/{run}")
        if found.get("status") != "completed" or found.get("output_cid") != texts["cid"]:
            raise RefusedError(422, f"run {run} did not make {texts['cid']}")
        try:
            data = await self._look_for_bytes(f"{renderer}/cache/{cid}/raw")
            if cid not in cids_of(data):
                raise RefusedError(422, f"the provenance record is not what {cid} names")
            record = json.loads(data)
            if record["output"]["cid"] != texts["cid"] or said["output"]["cid"] != texts["cid"]:
                raise RefusedError(422, f"the provenance record is of {record['output']['cid']}, not of {texts['cid']}")
            if any(record[each] != said[each] for each in ("recipe", "recipe_cid")) or (
                [each["cid"] for each in record["inputs"]] != [each["cid"] for each in said["inputs"]]
            ):
                raise RefusedError(422, "the provenance record has another recipe or other inputs than the activity")
        except (ValueError, KeyError, TypeError) as error:
            raise RefusedError(422, f"{cid} is no provenance record: {error!r}") from error
        return dict(record)

    async def _look(self, url: str, accept: str = "application/json") -> dict[str, Any]:
        try:
            found = json.loads(await self._look_for_bytes(url, accept))
        except ValueError as error:
            raise RefusedError(422, f"GET {url}: not JSON") from error
        if not isinstance(found, dict):
            raise RefusedError(422, f"GET {url}: not a JSON object")
        return found

    async def _look_for_bytes(self, url: str, accept: str = "*/*") -> bytes:
        """Fetch from an L1 server; what it shows may be a moment behind what it sends."""
        for look in range(LOOKS):
            try:
                return await self._caller.get(url, accept)
            except CallFailedError as error:
                last = error
                if look + 1 < LOOKS:
                    await asyncio.sleep(LOOK_SECONDS)
        raise RefusedError(503, f"what was published cannot be looked at: {last}")
