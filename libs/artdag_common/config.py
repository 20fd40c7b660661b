"""Every setting and its environment name, once."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from artdag_common.errors import ConfigurationError


class Settings(BaseModel):
    """Settings of a service, read from the environment once, in its ``__main__``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", alias="HOST", description="Address that the gateway listens on")
    port: int = Field(8000, alias="PORT", ge=0, le=65535, description="Port that the gateway listens on")
    nats_url: str = Field("nats://127.0.0.1:4222", alias="NATS_URL", description="NATS server with JetStream")
    database_url: str = Field(
        "postgresql://artdag:artdag@localhost:5432/artdag", alias="DATABASE_URL", description="Postgres database"
    )
    redis_url: str = Field("redis://localhost:6379/5", alias="REDIS_URL", description="Redis database")
    cache_dir: Path = Field(
        Path("~/.artdag/cache"), alias="CACHE_DIR", description="Folder of content, by CID; shared by the services"
    )
    public_url: str = Field(
        "http://localhost:8100", alias="L1_PUBLIC_URL", description="Address at which people reach the gateway"
    )
    cluster_key: str = Field("", alias="ARTDAG_CLUSTER_KEY", description="Trust domain: same key, same cache ids")
    l2_domain: str = Field("", alias="L2_DOMAIN", description="Domain in the handle of those who render")
    owner_token_hash: str = Field(
        "", alias="ARTDAG_OWNER_TOKEN_HASH", description="SHA-256 of the local owner's token, hexadecimal"
    )
    slots: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        alias="ARTDAG_SLOTS",
        ge=1,
        description="Media steps that an executor runs at once",
    )
    step_timeout: float = Field(
        3600.0, alias="ARTDAG_STEP_TIMEOUT", gt=0, description="Seconds after which a media step is stopped"
    )
    max_upload_bytes: int = Field(
        20 * 2**30, alias="ARTDAG_MAX_UPLOAD_BYTES", gt=0, description="Largest file that an upload may hold"
    )
    log_format: str = Field(
        "auto", alias="ARTDAG_LOG_FORMAT", pattern="^(auto|pretty|json)$", description="auto: pretty on a terminal"
    )
    log_level: str = Field(
        "info", alias="ARTDAG_LOG_LEVEL", pattern="^(debug|info|warning|error)$", description="Least level logged"
    )

    @field_validator("cache_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @classmethod
    def read(cls) -> Settings:
        """Read the environment.

        Raises:
            ConfigurationError: names every variable that is wrong.
        """
        try:
            return cls.model_validate(dict(os.environ))
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors()]
            raise ConfigurationError("; ".join(lines)) from error
