"""Secrets at rest: AES-256-GCM (NIST SP 800-38D), each bound to the place that it opens."""

from __future__ import annotations

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from artdag_common.errors import ConfigurationError

KEY_BYTES = 32
NONCE_BYTES = 12
VERSION = b"\x01"
NAME = "ARTDAG_SECRET_KEY"


class Sealer:
    """Seals and opens secrets with the operator's key.

    What is sealed is a version byte, a random nonce of 12 bytes, and the ciphertext with its tag. The storage id and
    the name of the field are associated data: what was sealed for one place opens no other.
    """

    def __init__(self, keys: str) -> None:
        """``keys``: 64 hexadecimal digits each, separated by commas. The first seals; every one opens.

        Raises:
            ConfigurationError: not such digits. The message does not show them.
        """
        self._keys = []
        self._first = b""
        for number, text in enumerate(filter(None, keys.split(",")), 1):
            try:
                key = bytes.fromhex(text.strip())
            except ValueError:
                key = b""
            if len(key) != KEY_BYTES:
                raise ConfigurationError(f"{NAME}: key {number} is not {2 * KEY_BYTES} hexadecimal digits")
            self._keys.append(AESGCM(key))
            self._first = self._first or key

    @property
    def able(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def fingerprint(self, data: bytes) -> bytes:
        """Return a hash by which the same data is known again, and that tells nothing of it without the key."""
        return hmac.digest(self._first, b"artdag/fingerprint" + data, "sha256")

    def seal(self, storage_id: str, field: str, secret: str) -> bytes:
        """Return a secret as it may be stored.

        Raises:
            ConfigurationError: there is no key.
        """
        if not self._keys:
            raise ConfigurationError(f"this server keeps no secrets: its operator has to set {NAME}")
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._keys[0].encrypt(nonce, secret.encode(), _bound_to(storage_id, field))

    def open(self, storage_id: str, field: str, sealed: bytes) -> str:
        """Return a sealed secret.

        Raises:
            ConfigurationError: none of the keys opens it.
        """
        nonce, data = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        for key in self._keys if sealed[:1] == VERSION and len(nonce) == NONCE_BYTES else ():
            try:
                return key.decrypt(nonce, data, _bound_to(storage_id, field)).decode()
            except InvalidTag:
                continue
        raise ConfigurationError(
            f"{field} of storage provider {storage_id} was sealed with another key than {NAME} holds; set it again"
        )


def _bound_to(storage_id: str, field: str) -> bytes:
    return f"artdag/storage/{storage_id}/{field}".encode()
