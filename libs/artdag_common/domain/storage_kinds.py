"""Kinds of storage providers: the settings of each, once, for validation, forms and documentation."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from artdag_common.errors import InvalidRequestError

SHOWN_CHARACTERS = 80
IN_ADDRESS = re.compile(r"(?<=//)[^/]*(?=@)|[?#].*")
"""What may be a user name, a password or a token in an address."""


def secret(label: str, description: str, default: Any = ..., *, example: str = "") -> Any:
    """Return a field that is sealed before it leaves the gateway, and never shown again."""
    extra: dict[str, Any] = {"secret": True, "label": label}
    return Field(default, description=description, max_length=4096, json_schema_extra=extra, examples=[example])


def setting(
    label: str,
    description: str,
    default: Any = ...,
    *,
    example: str = "",
    address: bool = False,
    max_length: int = 1024,
) -> Any:
    """Return a field that everybody may see who sees the provider. ``address``: it says where secrets are sent."""
    extra: dict[str, Any] = {"secret": False, "label": label, "address": address}
    examples = [example] if example else []
    return Field(default, description=description, max_length=max_length, json_schema_extra=extra, examples=examples)


class StorageSettings(BaseModel):
    """What a kind of provider needs to know. Unknown settings are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


def _web_address(value: str) -> str:
    """Return an http or https address without what comes after its path, or raise ``ValueError``."""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  (raises for what is not a port)
    except ValueError as error:
        raise ValueError(f"not an address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address that begins with https:// or http://")
    if parts.username or parts.password:
        raise ValueError("an address without a user or password in it: there are fields for secrets")
    if parts.query or parts.fragment:
        raise ValueError("an address without ? and #")
    return value.rstrip("/")


class LocalSettings(StorageSettings):
    """A folder on the server's own disks, inside one that its operator allows (`ARTDAG_STORAGE_DIRS`)."""

    path: str = setting(
        "Folder",
        "Absolute path; your copies go into a subfolder with your name",
        example="/mnt/backup",
        address=True,
    )

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/") or ".." in value.split("/") or not value.isprintable():
            raise ValueError("an absolute path without ..")
        return value.rstrip("/") or "/"


class S3Settings(StorageSettings):
    """A bucket of Amazon S3 or of anything that speaks its protocol: MinIO, SeaweedFS, Ceph, R2, Backblaze B2 …"""

    endpoint: str = setting(
        "Endpoint",
        "Where the store answers",
        "https://s3.amazonaws.com",
        example="https://s3.eu-central-1.amazonaws.com",
        address=True,
    )
    bucket: str = setting("Bucket", "An existing bucket", example="my-art", max_length=255)
    region: str = setting("Region", "Region of the bucket", "us-east-1", example="eu-central-1", max_length=64)
    prefix: str = setting("Prefix", "Put before the name of each object; may end in /", "", example="artdag/")
    access_key_id: str = setting("Access key id", "Who we are there", example="AKIAIOSFODNN7EXAMPLE", max_length=255)
    secret_access_key: str = secret("Secret access key", "Proves that we are that", example="wJalr…EXAMPLEKEY")

    style: Literal["path", "virtual"] = Field(
        "path",
        description="Where the bucket's name goes: in the path, as most stores want it, or in the host's name",
        json_schema_extra={"secret": False, "label": "Addressing"},
    )

    _endpoint = field_validator("endpoint")(_web_address)

    @field_validator("bucket")
    @classmethod
    def _bucket_name(cls, value: str) -> str:
        if not value or not all(c.isascii() and (c.isalnum() or c in "-._") for c in value):
            raise ValueError("the name of a bucket: letters, digits, - . _")
        return value

    @field_validator("prefix")
    @classmethod
    def _printable(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/") or not value.isprintable():
            raise ValueError("printable, without .. and not beginning with /")
        return value


class IpfsSettings(StorageSettings):
    """An IPFS node: content is added and pinned there through its RPC API (Kubo and compatible)."""

    endpoint: str = setting(
        "API address",
        "The node's RPC API, as an address or as a multiaddr (/dns/ipfs.example.org/tcp/5001)",
        example="https://ipfs.example.org:5001",
        address=True,
    )
    token: str = secret("Token", "Sent as `Authorization: Bearer`, where the API asks for it", "")

    @field_validator("endpoint")
    @classmethod
    def _api_address(cls, value: str) -> str:
        return value if value.startswith("/") else _web_address(value)


class PinningSettings(StorageSettings):
    """A pinning service (IPFS Pinning Service API): it fetches content from IPFS and keeps it."""

    endpoint: str = setting("Endpoint", "The service's API", example="https://api.pinata.cloud/psa", address=True)
    gateway: str = setting(
        "Gateway",
        "An IPFS gateway to read from what our node does not find; may stay empty",
        "",
        example="https://gateway.pinata.cloud",
        address=True,
    )
    token: str = secret("Access token", "From the service's settings page", example="eyJhb…")

    _endpoint = field_validator("endpoint")(_web_address)

    @field_validator("gateway")
    @classmethod
    def _web_gateway(cls, value: str) -> str:
        return _web_address(value) if value else ""


@dataclass(frozen=True, slots=True)
class StorageKind:
    """A kind of provider."""

    name: str
    label: str
    model: type[StorageSettings]

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the fields that are secret."""
        return tuple(name for name, field in self.model.model_fields.items() if _extra(field)["secret"])

    @property
    def description(self) -> str:
        """What it is, for people."""
        return (self.model.__doc__ or "").strip()

    def fields(self) -> list[dict[str, Any]]:
        """Return what a form has to ask for, in order."""
        found = []
        for name, field in self.model.model_fields.items():
            extra = _extra(field)
            needed = field.is_required()
            choices = [str(each) for each in get_args(field.annotation)]
            found.append(
                {
                    "name": name,
                    "label": extra["label"],
                    "help": field.description,
                    "input": _input(name, extra["secret"], choices),
                    "choices": choices,
                    "secret": extra["secret"],
                    "required": needed,
                    "default": None if needed or extra["secret"] else field.default,
                    "example": next(iter(field.examples or ()), None) or None,
                }
            )
        return found


KINDS: dict[str, StorageKind] = {
    kind.name: kind
    for kind in (
        StorageKind("local", "Local folder", LocalSettings),
        StorageKind("s3", "S3", S3Settings),
        StorageKind("ipfs", "IPFS node", IpfsSettings),
        StorageKind("pinning", "IPFS pinning service", PinningSettings),
    )
}


def kind_named(name: str) -> StorageKind:
    """Return a kind by name.

    Raises:
        InvalidRequestError: there is none; the message names the nearest.
    """
    if name in KINDS:
        return KINDS[name]
    near = difflib.get_close_matches(name[:40], KINDS, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(KINDS)}"
    raise InvalidRequestError(
        f"type: {name[:40]!r} is no kind of storage; {meant}",
        problems=[{"field": "type", "value": name[:40], "problem": f"one of {', '.join(KINDS)}"}],
    )


def read_settings(
    kind: StorageKind, given: Mapping[str, Any], kept: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what is no secret, complete with defaults, and the secrets that were given.

    Args:
        kept: secrets that are set already and need not be given.

    Raises:
        InvalidRequestError: names every setting that breaks a rule. It never shows the value of a secret.
    """
    blanks = {name: "kept" for name in kept if name not in given}
    try:
        model = kind.model.model_validate({**blanks, **given})
    except ValidationError as error:
        problems = [_problem(kind, each) for each in error.errors(include_url=False)]
        said = [f"{p['field']}: {p['problem']}" + (f" (given: {p['value']})" if p["value"] else "") for p in problems]
        raise InvalidRequestError("; ".join(said), problems=problems) from None  # the cause holds the values
    values = model.model_dump()
    secrets = {name: values.pop(name) for name in kind.secrets}
    required = [name for name in kind.secrets if kind.model.model_fields[name].is_required()]
    empty = [name for name in required if not secrets[name]]
    if empty:
        raise InvalidRequestError(
            f"{', '.join(empty)}: may not be empty",
            problems=[{"field": name, "value": "", "problem": "may not be empty"} for name in empty],
        )
    return values, {name: value for name, value in secrets.items() if name in given}


def _problem(kind: StorageKind, error: Any) -> dict[str, str]:
    name = ".".join(map(str, error["loc"]))
    rule = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, kind.model.model_fields, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(kind.model.model_fields)}"
        return {"field": f"settings.{name}"[:SHOWN_CHARACTERS], "value": "", "problem": f"no such setting; {meant}"}
    hidden = name in kind.secrets or error["type"] == "missing"
    value = "" if hidden else IN_ADDRESS.sub("…", repr(error.get("input")))[:SHOWN_CHARACTERS]
    return {"field": f"settings.{name}", "value": value, "problem": rule}


def canonical_settings(values: Mapping[str, Any]) -> str:
    """Return settings as the JSON that events hold: the same settings, the same text."""
    return orjson.dumps(dict(values), option=orjson.OPT_SORT_KEYS).decode()


def address_of(kind: str, values: Mapping[str, Any]) -> str:
    """Return where secrets are sent, of stored settings."""
    fields = KINDS[kind].model.model_fields if kind in KINDS else {}
    return " ".join(str(values.get(name, "")) for name, field in fields.items() if _extra(field).get("address"))


def _input(name: str, hidden: bool, choices: list[str]) -> str:
    """Return what kind of input a form has for a field."""
    if choices:
        return "select"
    return "password" if hidden else "url" if name in ("endpoint", "gateway") else "text"


def _extra(field: Any) -> dict[str, Any]:
    extra: dict[str, Any] = field.json_schema_extra
    return extra
