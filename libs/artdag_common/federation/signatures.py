"""HTTP message signatures (RFC 9421) as L1 and L2 use them: RSA over method, address and digest of the body.

Pure: keys, times and headers come in, headers or a refusal come out. Whether a signature was used before is the
caller's to know (:attr:`Signed.digest`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier
from http_message_signatures.algorithms import RSA_V1_5_SHA256
from http_message_signatures.exceptions import HTTPMessageSignaturesException
from http_message_signatures.resolvers import MappingKeyResolver

from artdag_common.errors import ConfigurationError, SignatureError

COVERED = ("@method", "@target-uri", "@authority", "content-digest", "content-type")
REQUIRED = ("@method", "@target-uri", "content-digest")
ALGORITHM = RSA_V1_5_SHA256.algorithm_id
LABEL = "sig1"
TOLERANCE_SECONDS = 15 * 60
KEY_BITS = 2048
LARGEST_KEY_BITS = 8192
"""Beyond it checking a signature costs more than a request is worth."""
FIELD_CHARACTERS = 4096
SINGLE = frozenset({"signature", "signature-input", "content-digest", "content-type", "host", "date"})
"""Header fields that a signed request has once: of several lines, not everybody reads the same one."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that holds.

    Attributes:
        key_id: URL of the key.
        created: unix seconds.
        digest: SHA-256 of the signature, hexadecimal: the same for the same signature, however it is written.
    """

    key_id: str
    created: int
    digest: str


@dataclass(slots=True)
class _Request:
    method: str
    url: str
    headers: Any


def read_key(given: str) -> rsa.RSAPrivateKey:
    """Return the key of the setting ``ARTDAG_ACTOR_KEY``: a PEM, or a path to one.

    Raises:
        ConfigurationError: it is neither, or no RSA key of 2048 bits or more.
    """
    if given.startswith("-----BEGIN"):
        return private_key(given.replace("\\n", "\n").encode())
    try:
        return private_key(Path(given).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"ARTDAG_ACTOR_KEY is neither a PEM nor a path to one: {getattr(error, 'strerror', None) or 'no file'}"
        ) from None


def private_key(pem: bytes) -> rsa.RSAPrivateKey:
    """Return the key that a PEM holds.

    Raises:
        ConfigurationError: it holds no RSA key of 2048 bits or more, or one that needs a password.
    """
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError("ARTDAG_ACTOR_KEY holds no PEM of a private key without a password") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < KEY_BITS:
        raise ConfigurationError(f"ARTDAG_ACTOR_KEY has to be an RSA key of at least {KEY_BITS} bits")
    return key


def new_key() -> bytes:
    """Return the PEM of a new private key, RSA 2048."""
    key = rsa.generate_private_key(65537, KEY_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """Return the PEM of a key's public half."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form).decode()


def public_key(pem: str) -> rsa.RSAPublicKey:
    """Return the key that a PEM holds.

    Raises:
        SignatureError: it holds no RSA key of 2048 to 8192 bits.
    """
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SignatureError("the signer's publicKeyPem cannot be read") from None
    if not isinstance(key, rsa.RSAPublicKey) or not KEY_BITS <= key.key_size <= LARGEST_KEY_BITS:
        raise SignatureError(f"the signer's key has to be RSA, {KEY_BITS} to {LARGEST_KEY_BITS} bits")
    return key


def sign(
    key: rsa.RSAPrivateKey, key_id: str, method: str, url: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> dict[str, str]:
    """Return the headers of a request, signed.

    Args:
        key_id: URL under which the public half can be fetched.
        url: absolute, as it will be asked for.
        headers: those to send; ``content-type`` has to be among them. They come back, with three more.
    """
    fields = dict(headers)
    signer = HTTPMessageSigner(
        signature_algorithm=RSA_V1_5_SHA256,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={key_id: key}),
    )
    signer.sign(
        _Request(method, url, fields),
        key_id=key_id,
        created=now,
        nonce=secrets.token_urlsafe(16),
        label=LABEL,
        covered_component_ids=COVERED,
        body=body,
    )
    return fields


def verify(
    public_keys: Mapping[str, rsa.RSAPublicKey], method: str, url: str, headers: Headers, body: bytes, now: datetime
) -> Signed:
    """Check a request's one signature.

    Args:
        public_keys: those that count, by key id.
        url: absolute, as the signer asked for it.
        headers: all lines, in order.

    Raises:
        SignatureError: there is none, or more than one; it does not cover method, address and body; it is older or
            newer than 15 minutes; its key is not one of those; or something that it covers was changed.
    """
    lines = _checked(headers)
    try:
        results = _Verifier(public_keys, now).verify(
            _Request(method, url, _Lines(lines)), max_age=None, require_components=REQUIRED, body=body
        )
    except HTTPMessageSignaturesException as error:
        raise SignatureError(f"the request's signature does not hold: {_said(error)}") from error
    (result,) = results
    value = dict(_Verifier.values(lines))[result.label]
    created = result.parameters["created"]
    assert isinstance(created, int)
    return Signed(str(result.parameters["keyid"]), created, hashlib.sha256(value).hexdigest())


def key_id_of(headers: Headers) -> str:
    """Return the key that a request says it was signed with; nothing is checked.

    Raises:
        SignatureError: it is not signed, or more than once, or its signature cannot be read.
    """
    try:
        return _Verifier.key_id(_checked(headers))
    except HTTPMessageSignaturesException as error:
        raise SignatureError(f"the request's signature cannot be read: {_said(error)}") from error


def _said(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


def _checked(headers: Headers) -> list[tuple[str, str]]:
    """Return the lines of headers in which nobody can find something else than we do."""
    lines = [(n.lower(), v) for n, v in (headers.items() if isinstance(headers, Mapping) else headers)]
    for field in ("signature-input", "signature"):
        values = [value for name, value in lines if name == field]
        if not values:
            raise SignatureError(f"the request is not signed: it has no header {field.title()} (RFC 9421)")
        if len(values[0]) > FIELD_CHARACTERS:
            raise SignatureError(f"header {field.title()} has more than {FIELD_CHARACTERS} characters")
    names = [name for name, _ in lines]
    if twice := sorted(name for name in SINGLE if names.count(name) > 1):
        raise SignatureError(f"header {twice[0].title()} appears more than once")
    return lines


class _Lines:
    """Header lines as the library reads them."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self._lines = lines

    def items(self) -> list[tuple[str, str]]:
        return self._lines


class _Verifier(HTTPMessageVerifier):
    """Takes the time as an argument, and the same tolerance into the past and the future."""

    def __init__(self, public_keys: Mapping[str, rsa.RSAPublicKey], now: datetime) -> None:
        super().__init__(
            signature_algorithm=RSA_V1_5_SHA256,
            key_resolver=MappingKeyResolver(public_keys=dict(public_keys), private_keys={}),
        )
        self._now = now.timestamp()

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        created, expires = sig_input.params.get("created"), sig_input.params.get("expires")
        if type(created) is not int:
            raise SignatureError("the request's signature does not say when it was created")
        if abs(self._now - created) > TOLERANCE_SECONDS:
            at = f"{_time(created)}, and it is {_time(self._now)} here"
            raise SignatureError(
                f"the request was signed at {at}; {TOLERANCE_SECONDS // 60} minutes apart is the most: check the clocks"
            )
        if expires is not None and (type(expires) is not int or expires < self._now - TOLERANCE_SECONDS):
            raise SignatureError("the request's signature has expired")

    @classmethod
    def values(cls, lines: list[tuple[str, str]]) -> list[tuple[str, bytes]]:
        """Return the signatures by label."""
        (text,) = [value for name, value in lines if name == "signature"]
        return [(label, bytes(node.value)) for label, node in cls._parse_signature_dictionary(text).items()]

    @classmethod
    def key_id(cls, lines: list[tuple[str, str]]) -> str:
        """Return the key of the one signature."""
        (text,) = [value for name, value in lines if name == "signature-input"]
        try:
            parsed = cls._parse_signature_dictionary(text)
        except ValueError as error:  # what the parser of structured fields says
            raise HTTPMessageSignaturesException(f"malformed Signature-Input: {error}") from error
        if len(parsed) != 1:
            raise HTTPMessageSignaturesException(f"{len(parsed)} signatures, where one is expected")
        (node,) = parsed.values()
        key_id = getattr(node, "params", {}).get("keyid")
        if not isinstance(key_id, str):
            raise HTTPMessageSignaturesException("no keyid")
        return key_id


def _time(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"
