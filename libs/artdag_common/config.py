"""Every setting and its environment name, once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from artdag_common import config_rules
from artdag_common.addresses import LOOPBACK, Network
from artdag_common.environment import BY_FILE, Problem, misspelt, with_secrets

SECRETS = (
    "ARTDAG_ACTOR_KEY",
    "ARTDAG_CLUSTER_KEY",
    "ARTDAG_NATS_SEED",
    "ARTDAG_OWNER_TOKEN_HASH",
    "ARTDAG_RELAY_DATABASE_URL",
    "ARTDAG_RELAY_NATS_SEED",
    "ARTDAG_S3_URL",
    "ARTDAG_SECRET_KEY",
    "DATABASE_URL",
    "NATS_URL",
    "REDIS_URL",
)
"""Settings that are secret, or may hold a password: no process that a service starts inherits them. Each may be given
as ``NAME_FILE``, a path to a file with it, instead."""

ELSEWHERE = ("ARTDAG_SERVER", "ARTDAG_STATE", "ARTDAG_TOKEN")
"""Variables of the command line whose names begin like those of services. All are told in docs/configuration.md."""

EMPTY = ("ARTDAG_METRICS_FROM", "IPFS_GATEWAY_URL")
"""Settings to which an empty value means something; any other that is empty is as if it were not set."""

SCHEMES = {
    "NATS_URL": ("nats", "tls"),
    "DATABASE_URL": ("postgresql", "postgres"),
    "ARTDAG_RELAY_DATABASE_URL": ("postgresql", "postgres"),
    "REDIS_URL": ("redis", "rediss", "unix"),
    "L1_PUBLIC_URL": ("https", "http"),
}


WorkClass = Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,31}$")]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0.01, le=1000)]


class Settings(BaseModel):
    """Settings of a service, read from the environment once, in its ``__main__``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", alias="HOST", description="Address that the gateway listens on")
    port: int = Field(
        8000,
        alias="PORT",
        ge=0,
        le=65535,
        description="Port that the gateway listens on; artdag up has --port instead (8100)",
    )
    nats_url: str = Field(
        "nats://127.0.0.1:4222",
        alias="NATS_URL",
        description="NATS server with JetStream, or several of one cluster, with commas between them",
    )
    nats_replicas: int = Field(
        1,
        alias="ARTDAG_NATS_REPLICAS",
        examples=["3"],
        description="Servers of the NATS cluster that each stream is kept on: 1, 3 or 5; auth service only",
    )
    database_url: str = Field(
        "postgresql://artdag:artdag@localhost:5432/artdag", alias="DATABASE_URL", description="Postgres database"
    )
    nats_seed: str = Field(
        "",
        alias="ARTDAG_NATS_SEED",
        repr=False,
        description="Seed (nkey) of the service's own account on NATS, or a path to it; empty: as NATS_URL says",
    )
    relay_nats_seed: str = Field(
        "", alias="ARTDAG_RELAY_NATS_SEED", repr=False, description="Seed of the relay's account; auth service only"
    )
    relay_database_url: str = Field(
        "",
        alias="ARTDAG_RELAY_DATABASE_URL",
        repr=False,
        description="Postgres database under the relay's role; auth service only; empty: DATABASE_URL",
    )
    redis_url: str = Field("redis://localhost:6379/5", alias="REDIS_URL", description="Redis database")
    cache_dir: Path = Field(
        Path("~/.artdag/cache"), alias="CACHE_DIR", description="Folder of content, by CID; shared by the services"
    )
    public_url: str = Field(
        "http://localhost:8100", alias="L1_PUBLIC_URL", description="Address at which people reach the gateway"
    )
    cluster_key: str = Field("", alias="ARTDAG_CLUSTER_KEY", description="Trust domain: same key, same cache ids")
    l2_server: str = Field(
        "",
        alias="L2_SERVER",
        pattern="^(https?://[^/?#@]+/?)?$",
        examples=["https://l2.example.org"],
        description="ActivityPub registry that people sign in with and publish to; empty: a personal server",
    )
    l2_domain: str = Field("", alias="L2_DOMAIN", description="Domain in the handle of those who render")
    actor_key: str = Field(
        "",
        alias="ARTDAG_ACTOR_KEY",
        repr=False,
        description="RSA key (PEM, or a path to one) that signs what goes to the registry; only for the cache service",
    )
    owner_token_hash: str = Field(
        "",
        alias="ARTDAG_OWNER_TOKEN_HASH",
        repr=False,
        pattern="^([0-9a-f]{64})?$",
        examples=["64 hexadecimal digits in lower case"],
        description="SHA-256 of the local owner's token, hexadecimal",
    )
    slots: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        alias="ARTDAG_SLOTS",
        ge=1,
        description="Media steps that an executor runs at once",
    )
    work_classes: str = Field(
        "",
        alias="ARTDAG_WORK_CLASSES",
        pattern=r"^(|[a-z][a-z0-9-]{0,31}(:[1-9][0-9]{0,3})?(,[a-z][a-z0-9-]{0,31}(:[1-9][0-9]{0,3})?)*)$",
        examples=["cpu:2,highmem:1"],
        description="Classes of steps that an executor runs, and how many of each at once: cpu:2,highmem:1;"
        " without a number as many as ARTDAG_SLOTS; empty: cpu",
    )
    step_timeout: float = Field(
        3600.0,
        alias="ARTDAG_STEP_TIMEOUT",
        gt=0,
        allow_inf_nan=False,
        description="Seconds after which a media step is stopped",
    )
    max_upload_bytes: int = Field(
        20 * 2**30, alias="ARTDAG_MAX_UPLOAD_BYTES", gt=0, description="Largest file that an upload may hold"
    )
    import_dirs: tuple[Path, ...] = Field(
        (),
        alias="ARTDAG_IMPORT_DIRS",
        description="Folders that files may be imported from, separated by colons; none: no import",
    )
    ipfs_gateway_url: str = Field(
        "https://ipfs.io/ipfs",
        alias="IPFS_GATEWAY_URL",
        pattern="^(https?://[^/?#]+.*)?$",
        examples=["https://ipfs.example.org/ipfs"],
        description="Public IPFS gateway that /ipfs/{cid} leads to; empty: this server itself",
    )
    secret_key: str = Field(
        "",
        alias="ARTDAG_SECRET_KEY",
        repr=False,
        description="Seals secrets of storage and webhooks: 64 hex digits; of several, by commas, the first seals",
    )
    storage_hosts: str = Field(
        "",
        alias="ARTDAG_STORAGE_HOSTS",
        description="Hosts and networks besides public ones that users may have storage on, separated by commas",
    )
    storage_dirs: tuple[Path, ...] = Field(
        (),
        alias="ARTDAG_STORAGE_DIRS",
        description="Folders in which users may have storage of kind local, separated by colons; none: no such storage",
    )
    webhook_hosts: str = Field(
        "",
        alias="ARTDAG_WEBHOOK_HOSTS",
        description="Hosts and networks besides public ones that webhooks may be on, and that need no TLS; by commas",
    )
    quota_bytes: int = Field(
        0, alias="ARTDAG_QUOTA_BYTES", ge=0, description="What a user's uploads and outputs may take; 0: no limit"
    )
    max_user_runs: int = Field(
        1000, alias="ARTDAG_MAX_USER_RUNS", ge=0, description="Runs that a user may have going on at once; 0: no limit"
    )
    max_runs: int = Field(
        20_000,
        alias="ARTDAG_MAX_RUNS",
        ge=0,
        description="Runs that may go on at once, all users' together; 0: no limit",
    )
    class_limits: dict[WorkClass, Count] = Field(
        {},
        alias="ARTDAG_CLASS_LIMITS",
        description="Steps of a class that may be with executors at once, in the whole system: cpu=8,gpu=1; planner",
    )
    user_limits: dict[WorkClass, Count] = Field(
        {}, alias="ARTDAG_USER_LIMITS", description="The same for each user: cpu=2; planner only"
    )
    user_weights: dict[str, Weight] = Field(
        {},
        alias="ARTDAG_USER_WEIGHTS",
        description="Turns of a user for each turn of another, by user id: owner=4; 1 for who is not named; planner",
    )
    step_classes: dict[str, WorkClass] = Field(
        {},
        alias="ARTDAG_STEP_CLASSES",
        description="Class of executors for a step type or an effect: LAYER=highmem,EFFECT:glitch=gpu; planner only",
    )
    rate_read: int = Field(
        3000, alias="ARTDAG_RATE_READ", ge=0, description="Requests a minute that a user may read with; 0: no limit"
    )
    rate_write: int = Field(
        600, alias="ARTDAG_RATE_WRITE", ge=0, description="Requests a minute that a user may write with; 0: no limit"
    )
    rate_publish: int = Field(
        60, alias="ARTDAG_RATE_PUBLISH", ge=0, description="Times a minute that a user may publish; 0: no limit"
    )
    rate_sign_in: int = Field(
        60, alias="ARTDAG_RATE_SIGN_IN", ge=1, description="Attempts to sign in, a minute, from one address"
    )
    trusted_proxies: tuple[Network, ...] = Field(
        (),
        alias="ARTDAG_TRUSTED_PROXIES",
        description="Networks whose X-Forwarded-For tells the client's address, by commas; none: nobody's",
    )
    metrics_from: tuple[Network, ...] = Field(
        LOOPBACK,
        alias="ARTDAG_METRICS_FROM",
        description="Networks that may read /metrics without a token, by commas; empty: none, the operator's token",
    )
    retention_days: float = Field(
        30.0,
        alias="ARTDAG_RETENTION_DAYS",
        ge=0,
        le=36_500,
        description="Days after their last use that intermediates are kept; 0: for ever",
    )
    content_host: str = Field(
        "127.0.0.1", alias="ARTDAG_CONTENT_HOST", description="Address on which content is served to the other nodes"
    )
    content_port: int = Field(0, alias="ARTDAG_CONTENT_PORT", ge=0, le=65535, description="Port of it; 0: any free one")
    content_url: str = Field(
        "",
        alias="ARTDAG_CONTENT_URL",
        pattern="^(https?://[^/?#@]+)?$",
        examples=["http://node-a:8200"],
        description="Address at which other nodes reach it; empty: made of the two above",
    )
    s3_url: str = Field(
        "",
        alias="ARTDAG_S3_URL",
        repr=False,
        description="Bucket that gets all content: s3://KEY:SECRET@host:port/bucket?tls=false; empty: none",
    )
    ipfs_api: str = Field(
        "",
        alias="IPFS_API",
        description="IPFS node to read from: /dns/localhost/tcp/5001 or a URL; empty: none, with IPFS_PRIMARY that one",
    )
    ipfs_primary: bool = Field(
        False, alias="IPFS_PRIMARY", description="Content is on IPFS, and pinned, before anything names it"
    )
    cache_limit: int = Field(
        0, alias="ARTDAG_CACHE_LIMIT", ge=0, description="Bytes that the local content may take; 0: no limit"
    )
    cache_duties: str = Field(
        "all",
        alias="ARTDAG_CACHE_DUTIES",
        pattern="^(all|node)$",
        description="node: a cache service does only what concerns the content of its own node; the books, users'"
        " storage, webhooks and the registry are done by others, which have all duties",
    )
    drain_seconds: float = Field(
        0.0,
        alias="ARTDAG_DRAIN_SECONDS",
        ge=0,
        allow_inf_nan=False,
        description="Seconds for which a cache service that is told to stop goes on copying to S3 or the primary IPFS"
        " node what only its own node has",
    )
    probe_host: str = Field(
        "127.0.0.1", alias="ARTDAG_PROBE_HOST", description="Address on which the process answers probes"
    )
    probe_port: int = Field(
        0,
        alias="ARTDAG_PROBE_PORT",
        ge=0,
        le=65535,
        description="Port for /health, /ready and /metrics of the process itself; 0: none, and nothing is counted",
    )
    log_format: str = Field(
        "auto", alias="ARTDAG_LOG_FORMAT", pattern="^(auto|pretty|json)$", description="auto: pretty on a terminal"
    )
    log_level: str = Field(
        "info", alias="ARTDAG_LOG_LEVEL", pattern="^(debug|info|warning|error)$", description="Least level logged"
    )

    @model_validator(mode="before")
    @classmethod
    def _unset(cls, values: object) -> object:
        """Leave out what is empty: whoever hands variables on without having them hands on nothing.

        White space around a value is no part of it: lines of files that set variables may end in it unseen.
        """
        if not isinstance(values, Mapping):
            return values
        plain = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in plain.items() if value != "" or name in EMPTY}

    @field_validator("nats_url", "database_url", "relay_database_url", "redis_url", "public_url")
    @classmethod
    def _addressed(cls, value: str, info: ValidationInfo) -> str:
        name = cls.model_fields[str(info.field_name)].alias or ""
        scheme, separator, rest = value.partition("://")
        if value and (separator or name != "NATS_URL") and (scheme.lower() not in SCHEMES[name] or not rest):
            raise ValueError(
                f"has to begin with {' or '.join(f'{each}://' for each in SCHEMES[name])}, and name a host"
            )
        try:
            _ = "," in value or urlsplit(value).port  # with commas it names several servers
        except ValueError:  # which would show a part of the value, perhaps of its password
            raise ValueError(
                "its port is no number from 0 to 65535; write / ? # @ in a password as %2F %3F %23 %40"
            ) from None
        return value

    @field_validator("nats_replicas")
    @classmethod
    def _outvotable(cls, value: int) -> int:
        if value not in (1, 3, 5):
            raise ValueError("has to be 1, 3 or 5: of an even number no more may fail than of the one below")
        return value

    @field_validator("cache_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("trusted_proxies", "metrics_from", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [each.strip() for each in value.split(",") if each.strip()]

    @field_validator("nats_seed", "relay_nats_seed")
    @classmethod
    def _read_seed(cls, value: str) -> str:
        if not value.startswith("/"):
            return value
        try:
            return Path(value).read_text().strip()
        except OSError as error:
            raise ValueError(f"the file cannot be read: {error.strerror}") from error

    @field_validator("class_limits", "user_limits", "user_weights", "step_classes", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [each.strip().partition("=") for each in value.split(",") if each.strip()]
        if wrong := [name for name, sign, _ in pairs if not sign or not name]:
            raise ValueError(f"every entry is name=value, with commas between them; not so: {', '.join(wrong)}")
        names = [name.strip() for name, _, _ in pairs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"every name has one value; more often: {', '.join(twice)}")
        return dict(zip(names, (each.strip() for _, _, each in pairs), strict=True))

    @field_validator("class_limits", "user_limits")
    @classmethod
    def _limitable(cls, value: dict[str, int]) -> dict[str, int]:
        if "inline" in value:
            raise ValueError("inline, what takes no time, has no limit: leave it out")
        return value

    @field_validator("work_classes")
    @classmethod
    def _each_once(cls, value: str) -> str:
        names = [each.partition(":")[0] for each in value.split(",")]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"every class is named once; more often: {', '.join(twice)}")
        if "inline" in names:
            raise ValueError("inline, what takes no time, is on every executor: leave it out")
        return value

    @field_validator("import_dirs", "storage_dirs", mode="before")
    @classmethod
    def _folders(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [Path(each).expanduser() for each in value.split(os.pathsep) if each]

    @field_validator("import_dirs", "storage_dirs")
    @classmethod
    def _rooted(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        if wrong := [str(each) for each in value if not each.is_absolute()]:
            raise ValueError(f"every folder has to be an absolute path; not so: {', '.join(wrong)}")
        return value

    @property
    def hands(self) -> dict[str, int]:
        """How many steps of each class of work an executor runs at once."""
        asked = [each.partition(":") for each in (self.work_classes or "cpu").split(",")]
        return {name: int(count or self.slots) for name, _, count in asked}

    @property
    def classes(self) -> set[str]:
        """The classes of executors that these settings name."""
        return {*self.hands, *self.step_classes.values(), *self.class_limits, *self.user_limits}

    @property
    def shared(self) -> bool:
        """Whether several people use this server, so that those who are not signed in see only what is published."""
        return bool(self.l2_server)

    @classmethod
    def read(cls, service: str = "") -> Settings:
        """Read the environment, for a service or for what belongs to none.

        Raises:
            ConfigurationError: names every variable that is wrong.
        """
        settings, problems = cls.examine(os.environ, service)
        config_rules.refuse(problems)
        return settings

    @classmethod
    def examine(cls, environment: Mapping[str, str], service: str = "") -> tuple[Settings, list[Problem]]:
        """Return the settings of a service with all that is to be told of them; a value that cannot be is left out."""
        given, problems = with_secrets(environment, SECRETS)
        problems += misspelt(environment, known())
        problems += config_rules.mistaken(environment, known())
        shown = config_rules.shown(given, SECRETS)
        wrong: dict[str, dict[str, Problem]] = {}
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            fields = {field.alias: field for field in cls.model_fields.values()}
            for each in error.errors():
                name = str(each["loc"][0])
                problem = config_rules.explain(each, fields[name], shown.get(name))
                wrong.setdefault(name, {})[str(problem)] = problem
            settings = cls.model_validate({name: value for name, value in given.items() if name not in wrong})
        problems += [problem for told in wrong.values() for problem in told.values()]
        doubtful = {name.removesuffix(BY_FILE) for problem in problems for name in problem.names}
        return settings, problems + config_rules.broken(settings, service, doubtful)


def known() -> list[str]:
    """Return the names of all variables that begin like ours, or that a service reads."""
    aliases = [field.alias for field in Settings.model_fields.values() if field.alias]
    return [*aliases, *(name + BY_FILE for name in SECRETS), *ELSEWHERE]
