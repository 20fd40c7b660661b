"""ActivityPub documents of the registry and its people."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CONTEXT = ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/v1"]


def registry_actor(public_url: str, domain: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """Return the actor that speaks for the registry itself."""
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    actor = f"{public_url}/actor"
    return {
        "@context": CONTEXT,
        "id": actor,
        "type": "Application",
        "preferredUsername": domain,
        "name": f"Registry {domain}",
        "url": f"{public_url}/",
        "inbox": f"{public_url}/inbox",
        "outbox": f"{actor}/outbox",
        "publicKey": {"id": f"{actor}#main-key", "owner": actor, "publicKeyPem": pem.decode()},
    }


def person_actor(public_url: str, person: str) -> dict[str, Any]:
    """Return a person's actor. People sign nothing themselves, so there is no key."""
    actor = f"{public_url}/users/{person}"
    return {
        "@context": CONTEXT,
        "id": actor,
        "type": "Person",
        "preferredUsername": person,
        "name": person,
        "url": actor,
        "inbox": f"{public_url}/inbox",
        "outbox": f"{actor}/outbox",
        "endpoints": {"sharedInbox": f"{public_url}/inbox"},
    }


def outbox(public_url: str, owner: str, assets: list[sqlite3.Row]) -> dict[str, Any]:
    """Return what somebody published, newest first."""
    return {
        "@context": CONTEXT,
        "id": f"{owner}/outbox",
        "type": "OrderedCollection",
        "totalItems": len(assets),
        "orderedItems": [asset_object(public_url, asset) for asset in assets],
    }


def asset_object(public_url: str, asset: sqlite3.Row) -> dict[str, Any]:
    """Return an asset as the registry lists it."""
    return {
        "id": f"{public_url}/assets/{asset['id']}",
        "type": asset["type"],
        "name": asset["name"],
        "attributedTo": f"{public_url}/users/{asset['person']}",
        "url": asset["url"],
        "cid": asset["cid"],
        "context": asset["object"],
        "provenance": json.loads(asset["provenance"]),
    }


def webfinger(public_url: str, domain: str, person: str) -> dict[str, Any]:
    """Return where a person's actor is (RFC 7033)."""
    actor = f"{public_url}/users/{person}"
    return {
        "subject": f"acct:{person}@{domain}",
        "aliases": [actor],
        "links": [
            {"rel": "self", "type": "application/activity+json", "href": actor},
            {"rel": "http://webfinger.net/rel/profile-page", "type": "text/html", "href": actor},
        ],
    }
