"""Parameters that hold an entry for each input, and whether there are as many entries as the inputs allow."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from artdag_common.errors import StepConfigError
from artdag_common.steps.base import StepParams, StepType


class EntryParams(StepParams):
    """Base of parameters one of which is a list with entries for the inputs, in their order.

    Attributes:
        entries: its name.
    """

    entries: ClassVar[str]

    @abstractmethod
    def misfit(self, inputs: int) -> str:
        """Return why the entries do not fit so many inputs, and what to do about it; empty: they do."""

    def check(self, inputs: int) -> None:
        """Check that the entries fit the number of inputs.

        Raises:
            StepConfigError: there are too many, or too few; ``field`` names the parameter.
        """
        if misfit := self.misfit(inputs):
            raise StepConfigError(f"{self.entries}: {misfit}", field=self.entries)


def check_entries(kind: StepType, config: str, inputs: int) -> None:
    """Check that a step's plain parameters fit the number of its inputs; see :meth:`EntryParams.check`."""
    if issubclass(kind.params, EntryParams):
        kind.params.model_validate_json(config).check(inputs)
