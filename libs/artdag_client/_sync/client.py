# Made of _async/client.py by artdag_client.make_sync. Change that one.
"""The client itself."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from artdag_client._sync.connection import Connection
from artdag_client._sync.content import Contents
from artdag_client._sync.operator import Operator
from artdag_client._sync.places import Storages, Webhooks
from artdag_client._sync.recipes import Effects, Recipes
from artdag_client._sync.runs import Runs
from artdag_client._sync.tokens import Tokens
from artdag_client.asking import Progress, Wishes, nothing, part
from artdag_client.errors import BusyError
from artdag_client.repeating import PATIENT, Patience
from artdag_client.saving import check_place
from artdag_client.shapes import CommandOutcome, Info, Readiness, RunDetail


class Client:
    """An Art DAG server, as a program uses it. To be closed after use: it is a context manager.

    Requests that were not answered are sent again for some seconds; a write has a key, so that it is done once.

    Attributes:
        content: bytes by their CID, in and out, and what is said of them.
        recipes, effects: what runs are made of.
        runs: renderings of recipes.
        storage: places of yours that get copies.
        webhooks: addresses that are told how your runs end.
        tokens: who is signed in.
        operator: what only the operator of the system may see and do.
    """

    def __init__(self, url: str, token: str = "", *, timeout: float = 600.0, patience: Patience = PATIENT) -> None:
        """Connect to a server.

        Args:
            url: scheme, host and port. It is reached by the proxy that ``HTTPS_PROXY`` or ``HTTP_PROXY`` names.
            token: signs you in; empty: you see what is published.
            timeout: seconds without a byte of an answer.
            patience: how long to try again.

        Raises:
            AddressError: ``url`` is no address of a server.
        """
        self._connection = Connection(url, token, patience, timeout)
        self.content = Contents(self._connection)
        self.recipes = Recipes(self._connection)
        self.effects = Effects(self._connection)
        self.runs = Runs(self._connection, self.content)
        self.storage = Storages(self._connection)
        self.webhooks = Webhooks(self._connection)
        self.tokens = Tokens(self._connection)
        self.operator = Operator(self._connection)

    @property
    def url(self) -> str:
        """The server's address."""
        return self._connection.url

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def upload(self, path: str | Path, name: str = "", progress: Progress = nothing) -> str:
        """Upload a file and return its CID: ``content.upload``."""
        return self.content.upload(path, name, progress)

    def download(self, cid: str, target: str | Path, progress: Progress = nothing, *, replace: bool = False) -> Path:
        """Save content to a file, checked against its CID: ``content.download``."""
        return self.content.download(cid, target, progress, replace=replace)

    def render(
        self,
        recipe: str,
        *inputs: str | Path,
        save: str | Path | None = None,
        output_name: str = "",
        parameters: dict[str, dict[str, Any]] | None = None,
        **wishes: Unpack[Wishes],
    ) -> RunDetail:
        """Render inputs through a recipe or an effect, wait for the end, and return the run.

        Args:
            inputs: in the order of the recipe's inputs: paths (``pathlib.Path``) are uploaded, texts are CIDs or names.
            save: where to save the output; a file that is there is written over.

        Raises:
            RunFailedError: it gave nothing.
            OSError: nothing can be saved there; nothing is begun then.
        """
        if save is not None and not Path(save).is_dir():
            check_place(Path(save), replace=True)
        bound = [self.upload(each) if isinstance(each, Path) else each for each in inputs]
        begun = self.runs.start(recipe, bound, output_name=output_name, parameters=parameters, **wishes)
        run = self.runs.result(begun["run_id"])
        if save is not None and run["output_cid"]:
            self.download(run["output_cid"], save, replace=True)
        return run

    def info(self) -> Info:
        """Return what the server is."""
        found: Info = self._connection.ask("GET", "/", headers={"Accept": "application/json"})
        return found

    def ready(self) -> Readiness:
        """Return whether every part of the system can do work, part by part."""
        try:
            found: Readiness = self._connection.ask("GET", "/ready")
        except BusyError as error:
            if "ready" not in error.values:
                raise
            found = {"ready": False, "parts": error.values["parts"]}
        return found

    def command(self, command_id: str) -> CommandOutcome:
        """Return what became of a command that a server kept for later (:class:`StillPendingError`)."""
        found: CommandOutcome = self._connection.ask("GET", f"/api/commands/{part(command_id)}")
        return found

    def ask(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the JSON answer to any request of the API, which is repeated as all others are.

        Args:
            arguments: as httpx takes them: ``params``, ``json``, ``content``, ``headers`` …
        """
        return self._connection.ask(method, path, **arguments)
