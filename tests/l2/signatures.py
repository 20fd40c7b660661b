"""HTTP message signatures (RFC 9421) with RSA, and digests of bodies (RFC 9530)."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import http_sf
from cryptography.hazmat.primitives.asymmetric import rsa
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    algorithms,
)
from http_message_signatures.resolvers import MappingKeyResolver

COVERED = ("@method", "@target-uri", "content-digest")
TOLERANCE_SECONDS = 900.0


@dataclass(slots=True)
class Message:
    """What is signed of a request, besides its body."""

    method: str
    url: str
    headers: dict[str, str]


def sign(key: rsa.RSAPrivateKey, key_id: str, method: str, url: str, body: bytes, now: float) -> dict[str, str]:
    """Return the headers that sign a request: Content-Digest, Signature-Input, Signature."""
    message = Message(method, url, {})
    keys = MappingKeyResolver(public_keys={}, private_keys={key_id: key})
    HTTPMessageSigner(signature_algorithm=algorithms.RSA_V1_5_SHA256, key_resolver=keys).sign(
        message,
        key_id=key_id,
        created=datetime.datetime.fromtimestamp(now, datetime.UTC),
        nonce=secrets.token_urlsafe(16),
        label="sig1",
        covered_component_ids=COVERED[:2],
        body=body,
    )
    return message.headers


def key_id_of(headers: Mapping[str, str]) -> str:
    """Return the id of the key that a request says it is signed with.

    Raises:
        InvalidSignature: it does not say.
    """
    try:
        members: Any = http_sf.parse(headers.get("signature-input", "").encode(), tltype="dictionary")
        ((_, parameters),) = members.values()
        key_id = parameters["keyid"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidSignature("the request is not signed, or not once: Signature-Input names one key") from error
    if not isinstance(key_id, str):
        raise InvalidSignature("keyid is no text")
    return key_id


def verify(message: Message, body: bytes, key_id: str, key_pem: str, clock: Callable[[], float]) -> None:
    """Return if the request is signed by the key, over method, address and body, within the tolerance of our clock.

    Raises:
        InvalidSignature: it is not.
    """

    class Verifier(HTTPMessageVerifier):
        def validate_created_and_expires(self, sig_input: Any, max_age: object = None) -> None:
            created = sig_input.params.get("created")
            if type(created) is not int or abs(clock() - created) > TOLERANCE_SECONDS:
                raise InvalidSignature(f"created={created!r} is not within {TOLERANCE_SECONDS:g} s of {clock():.0f}")

    keys = MappingKeyResolver(public_keys={key_id: key_pem.encode()}, private_keys={})
    verifier = Verifier(signature_algorithm=algorithms.RSA_V1_5_SHA256, key_resolver=keys)
    verifier.verify(message, max_age=None, require_components=COVERED, body=body)
