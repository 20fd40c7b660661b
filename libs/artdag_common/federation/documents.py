"""What this server says of itself and of what is published here, as ActivityPub (JSON-LD); pure."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

ACTIVITY_JSON = "application/activity+json"
LD_JSON = "application/ld+json"
ACTIVITY_STREAMS = "https://www.w3.org/ns/activitystreams"
SECURITY = "https://w3id.org/security/v1"
PUBLIC = f"{ACTIVITY_STREAMS}#Public"
NODEINFO = "http://nodeinfo.diaspora.software/ns/schema/2.1"
TERMS: dict[str, Any] = {
    "artdag": "urn:artdag:ns:",
    "cid": "artdag:cid",
    "provenance": "artdag:provenance",
    "run_id": "artdag:run_id",
    "inputs": {"@id": "artdag:inputs", "@container": "@list"},
    "output": "artdag:output",
    "recipe": "artdag:recipe",
    "recipe_cid": "artdag:recipe_cid",
    "provenance_cid": "artdag:provenance_cid",
}
"""What ActivityStreams has no words for."""

NAME = "artdag"
"""Of this server's actor, as in ``acct:artdag@…``."""

TYPES = {"image": "Image", "video": "Video", "audio": "Audio"}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """Content that a person made public.

    Attributes:
        activity_id: of the activity that said so; the object has the same.
        person: URL of the person's actor; empty: it is this server's own to say.
        record: the provenance record of the run that gave it; empty where none did.
    """

    activity_id: str
    cid: str
    media_type: str
    name: str
    description: str
    published_at: datetime
    person: str = ""
    run_id: str = ""
    recipe_cid: str = ""
    provenance_cid: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unpublished:
    """Content that was public. ``object_id``: the activity that had published it."""

    activity_id: str
    object_id: str
    media_type: str
    unpublished_at: datetime


def encode(document: Document) -> bytes:
    """Return a document as it is sent and served."""
    return orjson.dumps(document)


def in_context(document: Document) -> Document:
    """Return a document by itself: with the meaning of its words before it."""
    return {"@context": [ACTIVITY_STREAMS, TERMS], **document}


class Documents:
    """Documents under the address of one server."""

    def __init__(self, own_url: str) -> None:
        """``own_url``: ``L1_PUBLIC_URL``."""
        self.url = own_url.rstrip("/")
        self.actor_id = f"{self.url}/actor"
        self.key_id = f"{self.actor_id}#main-key"
        self.inbox = f"{self.actor_id}/inbox"
        self.outbox = f"{self.actor_id}/outbox"
        self.account = f"acct:{NAME}@{urlsplit(self.url).netloc}"

    def activity_url(self, activity_id: str) -> str:
        """Return the id of an activity as others know it."""
        return f"{self.url}/activities/{activity_id}"

    def object_url(self, object_id: str) -> str:
        """Return the id of an object as others know it."""
        return f"{self.url}/objects/{object_id}"

    def actor(self, public_key_pem: str) -> Document:
        """Return this server's actor. ``public_key_pem``: empty: it cannot sign."""
        document: Document = {
            "@context": [ACTIVITY_STREAMS, SECURITY],
            "id": self.actor_id,
            "type": "Application",
            "preferredUsername": NAME,
            "name": "Art DAG L1",
            "summary": "Renders recipes of media, and publishes what people make with them.",
            "url": self.url,
            "inbox": self.inbox,
            "outbox": self.outbox,
            "endpoints": {"sharedInbox": self.inbox},
        }
        if public_key_pem:
            document["publicKey"] = {"id": self.key_id, "owner": self.actor_id, "publicKeyPem": public_key_pem}
        return document

    def object(self, what: Published) -> Document:
        """Return what is published, as an object."""
        document: Document = {
            "id": self.object_url(what.activity_id),
            "type": object_type(what.media_type),
            "name": what.name,
            "content": html.escape(what.description).replace("\n", "<br>"),
            "attributedTo": what.person or self.actor_id,
            "generator": self.actor_id,
            "published": time(what.published_at),
            "to": [PUBLIC],
            "url": [{"type": "Link", "href": f"{self.url}/cache/{what.cid}/raw", "mediaType": what.media_type}],
            "cid": what.cid,
        }
        if what.provenance_cid:
            document["provenance"] = {
                "run_id": what.run_id,
                "inputs": [_named(each) for each in what.record.get("inputs", [])],
                "output": _named(what.record.get("output", {"cid": what.cid})),
                "recipe": what.record.get("recipe", ""),
                "recipe_cid": what.recipe_cid,
                "provenance_cid": what.provenance_cid,
            }
        return document

    def create(self, what: Published) -> Document:
        """Return the activity that says that something is published."""
        return {
            "id": self.activity_url(what.activity_id),
            "type": "Create",
            "actor": self.actor_id,
            "published": time(what.published_at),
            "to": [PUBLIC],
            "object": self.object(what),
        }

    def delete(self, what: Unpublished) -> Document:
        """Return the activity that says that something is published no longer."""
        return {
            "id": self.activity_url(what.activity_id),
            "type": "Delete",
            "actor": self.actor_id,
            "published": time(what.unpublished_at),
            "to": [PUBLIC],
            "object": self.tombstone(what),
        }

    def tombstone(self, what: Unpublished) -> Document:
        """Return what is left of an object."""
        return {
            "id": self.object_url(what.object_id),
            "type": "Tombstone",
            "formerType": object_type(what.media_type),
            "deleted": time(what.unpublished_at),
        }

    def withdrawn(self, what: Unpublished) -> Document:
        """Return what is left of the activity that made an object."""
        return {
            "id": self.activity_url(what.object_id),
            "type": "Tombstone",
            "formerType": "Create",
            "deleted": time(what.unpublished_at),
        }

    def outbox_head(self, total: int) -> Document:
        """Return the collection of all activities."""
        return {
            "id": self.outbox,
            "type": "OrderedCollection",
            "totalItems": total,
            "first": f"{self.outbox}?page=0",
        }

    def outbox_page(self, page: str, items: Sequence[Document], total: int, following: str | None) -> Document:
        """Return one page of it, newest first. ``following``: the page with older ones."""
        document: Document = {
            "id": f"{self.outbox}?page={page}",
            "type": "OrderedCollectionPage",
            "partOf": self.outbox,
            "totalItems": total,
            "orderedItems": list(items),
        }
        if following is not None:
            document["next"] = f"{self.outbox}?page={following}"
        return document

    def webfinger(self) -> Document:
        """Return where this server's actor is found (RFC 7033)."""
        return {
            "subject": self.account,
            "aliases": [self.actor_id],
            "links": [{"rel": "self", "type": ACTIVITY_JSON, "href": self.actor_id}],
        }

    def nodeinfo_links(self) -> Document:
        """Return where the description of this server is found."""
        return {"links": [{"rel": NODEINFO, "href": f"{self.url}/nodeinfo/2.1"}]}

    def nodeinfo(self, version: str, published: int) -> Document:
        """Return the description of this server. ``published``: how much is public here."""
        return {
            "version": "2.1",
            "software": {"name": NAME, "version": version},
            "protocols": ["activitypub"],
            "services": {"inbound": [], "outbound": []},
            "openRegistrations": False,
            "usage": {"users": {}, "localPosts": published},
            "metadata": {},
        }


def object_type(media_type: str) -> str:
    """Return the kind of object that content of a media type is."""
    return TYPES.get(media_type.partition("/")[0], "Document")


def time(moment: datetime) -> str:
    """Return a time as ActivityStreams writes it, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _named(given: Mapping[str, Any]) -> Document:
    return {name: given[name] for name in ("name", "cid") if name in given}


RANGE = re.compile(r"\s*([a-z0-9.+*-]+/[a-z0-9.+*-]+)\s*((?:;[^,;]*)*)\s*", re.IGNORECASE)


def prefers_activity(accept: str) -> str:
    """Return the media type in which a client wants ActivityPub; empty: it does not prefer that.

    Args:
        accept: header ``Accept`` (RFC 9110, section 12.5.1). ``*/*`` and HTML want something else.
    """
    best, chosen = 0.0, ""
    for part in _parts(accept):
        match = RANGE.fullmatch(part)
        if match is None:
            continue
        name, parameters = match[1].lower(), _parameters(match[2])
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            continue
        if quality > best:
            best = quality
            profile = parameters.get("profile", "").split()
            ours = name == ACTIVITY_JSON or (name == LD_JSON and ACTIVITY_STREAMS in profile)
            chosen = (f'{LD_JSON}; profile="{ACTIVITY_STREAMS}"' if name == LD_JSON else name) if ours else ""
    return chosen


def _parts(accept: str) -> list[str]:
    """Split at commas that are in no quotes."""
    return re.findall(r'(?:[^,"]|"[^"]*")+', accept)


def _parameters(text: str) -> dict[str, str]:
    pairs = (each.partition("=") for each in text.split(";") if each.strip())
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
