"""What a run may be asked for besides recipe and inputs: how urgent it is, how long it may take, what is made anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, Field, field_validator, model_validator

from artdag_common.domain.run import EPOCH
from services.gateway.launching import Wishes

LONGEST_SECONDS = 30 * 24 * 3600
FARTHEST_DAYS = 366

Priority = Literal["interactive", "batch"]
NodeName = Annotated[str, Field(min_length=1, max_length=64)]
ParameterName = Annotated[str, Field(min_length=1, max_length=200)]
Nodes = Annotated[list[NodeName], Field(max_length=1000)]
Seconds = Annotated[float, Field(ge=1, le=LONGEST_SECONDS, allow_inf_nan=False)]


class Timing(BaseModel):
    """How urgent a run is, and how long it may take."""

    priority: Priority | None = Field(
        None, description="`interactive` (the default) goes before `batch`, which is never left out for good"
    )
    deadline: AwareDatetime | None = Field(
        None,
        description="When the run has to be over: RFC 3339 with its zone. It fails where it is not.",
        examples=[None],
    )
    timeout: Seconds | None = Field(
        None, description="Instead of a deadline: seconds from now, 1 to 2592000", examples=[None]
    )
    wait_timeout: Seconds | None = Field(
        None, description="Seconds that a step may wait for an executor, 1 to 2592000", examples=[None]
    )
    step_timeout: Seconds | None = Field(
        None, description="Seconds that a step may run, 1 to 2592000; the server's own limit holds too", examples=[None]
    )

    @field_validator("deadline", mode="before")
    @classmethod
    def _written(cls, value: object) -> object:
        if value is not None and not isinstance(value, str):
            raise ValueError("a time is written as in RFC 3339, for example 2026-01-07T12:00:00Z")
        return value

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.deadline is not None and self.timeout is not None:
            raise ValueError("give deadline or timeout, not both: each says when the run has to be over")
        if self.deadline is not None and self.deadline > datetime.now(UTC) + timedelta(days=FARTHEST_DAYS):
            raise ValueError(f"the deadline is more than {FARTHEST_DAYS} days from now; leave it out")
        return self

    def wishes(self, force: list[str] | bool = False) -> Wishes:
        """Return what is asked for. ``force``: nodes whose steps are computed again, or all of them."""
        end = self.deadline
        if self.timeout is not None:
            end = datetime.now(UTC) + timedelta(seconds=self.timeout)
        return Wishes(
            priority=self.priority or "",
            force=force if isinstance(force, bool) else tuple(force),
            deadline_us=(end - EPOCH) // timedelta(microseconds=1) if end else 0,
            wait_timeout_ms=round((self.wait_timeout or 0) * 1000),
            step_timeout_ms=round((self.step_timeout or 0) * 1000),
        )


class Forcing(Timing):
    """That, and what is computed again though it was computed before."""

    force: Nodes | bool = Field(
        False,
        description="Nodes whose steps are computed again, with all that follows them; `true`: all",
        examples=[[]],
    )


class Changing(Forcing):
    """That, and parameters of the recipe's nodes."""

    parameters: dict[NodeName, dict[ParameterName, Any]] = Field(
        default_factory=dict,
        description="Node → parameter → value, instead of the recipe's own; dots name a parameter inside another:"
        " `params.strength`",
    )
