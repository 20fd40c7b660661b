"""Every command: an imperative request to the one service that owns the aggregate. It may be refused."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import ClassVar

from artdag_common.domain.audit import Refusal
from artdag_common.domain.run import InputBinding


class Command:
    """Base of the commands. ``SERVICE`` names the owner, ``KEY`` the field that names the aggregate it is about."""

    SERVICE: ClassVar[str]
    KEY: ClassVar[str]

    @property
    def key(self) -> str:
        """The aggregate's key, last token of the subject."""
        return str(getattr(self, self.KEY))


COMMANDS: dict[str, type[Command]] = {}
"""Every command class by its name on the bus."""


def command(cls: type[Command]) -> type[Command]:
    """Class decorator: make a command known by its name."""
    COMMANDS[cls.__name__] = cls
    return cls


@command
@dataclass(frozen=True, slots=True)
class StartRun(Command):
    """Render a recipe. ``hold``: analyse and plan only, then wait for ``ExecuteRun``.

    The attributes after it are those of :class:`Run.Requested`.
    """

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "run_id"
    run_id: str
    recipe_cid: str
    owner: str
    inputs: tuple[InputBinding, ...]
    output_name: str = ""
    hold: bool = False
    priority: str = ""
    forced: tuple[str, ...] = ()
    rerun_of: str = ""
    deadline_us: int = 0
    wait_timeout_ms: int = 0
    step_timeout_ms: int = 0


@command
@dataclass(frozen=True, slots=True)
class ImportRun(Command):
    """Show a run that was completed elsewhere as one of its importer's.

    Manifest and events are stored as content before, and so is all that the manifest lists; whoever sends the command
    has made sure that the owner sees all of it.
    """

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "run_id"
    run_id: str
    owner: str
    manifest_cid: str
    events_cid: str


@command
@dataclass(frozen=True, slots=True)
class ExecuteRun(Command):
    """Execute the plan of a held run. ``by``: the user who asks; empty: the system itself."""

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "run_id"
    run_id: str
    by: str = ""


@command
@dataclass(frozen=True, slots=True)
class CancelRun(Command):
    """Stop a run: no further step starts, and what nobody else waits for is broken off.

    Attributes:
        by: the user who asks; empty: the system itself.
        eraser: the operator, who erases that user: then it is not the user who asks.
    """

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "run_id"
    run_id: str
    reason: str = ""
    by: str = ""
    eraser: str = ""


@command
@dataclass(frozen=True, slots=True)
class PauseRun(Command):
    """Start no further step of a run. ``by``: the user who asks; empty: the system itself."""

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "run_id"
    run_id: str
    by: str = ""


@command
@dataclass(frozen=True, slots=True)
class ResumeRun(Command):
    """Go on with a paused run. ``by``: the user who asks; empty: the system itself."""

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "run_id"
    run_id: str
    by: str = ""


@command
@dataclass(frozen=True, slots=True)
class CancelStep(Command):
    """Do without a step of a run, by its index. ``by``: the user who asks; empty: the system itself."""

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "run_id"
    run_id: str
    step: int
    reason: str = ""
    by: str = ""


@command
@dataclass(frozen=True, slots=True)
class DeleteRun(Command):
    """Delete a finished run. ``by``, ``eraser``: see :class:`CancelRun`."""

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "run_id"
    run_id: str
    by: str = ""
    eraser: str = ""


@command
@dataclass(frozen=True, slots=True)
class RegisterRecipe(Command):
    """Make a recipe known. Its canonical form and its source are stored as content before."""

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "recipe_cid"
    recipe_cid: str
    source_cid: str
    name: str
    version: str
    description: str
    owner: str


@command
@dataclass(frozen=True, slots=True)
class DeleteRecipe(Command):
    """Take a recipe off a user's list; others who have it keep it. ``eraser``: see :class:`CancelRun`."""

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "recipe_cid"
    recipe_cid: str
    by: str
    eraser: str = ""


@command
@dataclass(frozen=True, slots=True)
class RegisterEffect(Command):
    """Make an effect known. Its file is stored as content before."""

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "effect_cid"
    effect_cid: str
    owner: str


@command
@dataclass(frozen=True, slots=True)
class DeleteEffect(Command):
    """Take an effect off a user's list; others who have it keep it. ``eraser``: see :class:`CancelRun`."""

    SERVICE: ClassVar[str] = "planner"
    KEY: ClassVar[str] = "effect_cid"
    effect_cid: str
    by: str
    eraser: str = ""


@command
@dataclass(frozen=True, slots=True)
class ImportObject(Command):
    """Take bytes that are on disk under their CID into the books."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "cid"
    cid: str
    size_bytes: int
    media_type: str
    origin: str
    owner: str
    name: str = ""


@command
@dataclass(frozen=True, slots=True)
class DescribeObject(Command):
    """Say what content is, in an owner's words.

    Attributes:
        fields: which of name, description and tags are said anew; the others stay as they are.
        expected: version of the object's stream that the owner has seen; 0: any.
    """

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "cid"
    cid: str
    owner: str
    fields: tuple[str, ...]
    name: str
    description: str
    tags: tuple[str, ...]
    expected: int = 0


@command
@dataclass(frozen=True, slots=True)
class PublishObject(Command):
    """Make content public in an owner's name. The run, recipe and provenance that made it are empty where none did."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "cid"
    cid: str
    owner: str
    name: str
    description: str
    run_id: str
    recipe_cid: str
    provenance_cid: str


@command
@dataclass(frozen=True, slots=True)
class UnpublishObject(Command):
    """Make content public no longer in an owner's name. ``eraser``: see :class:`CancelRun`."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "cid"
    cid: str
    owner: str
    eraser: str = ""


@command
@dataclass(frozen=True, slots=True)
class SettleActivity(Command):
    """Note what the registry decided on an activity after it had answered.

    Attributes:
        words: a link or nothing, where it was taken; else the reason.
    """

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "cid"
    cid: str
    activity_id: str
    taken: bool
    words: str


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """One secret of a storage provider, sealed by the gateway. Empty ``sealed``: it is set no more."""

    field: str
    sealed: bytes


@command
@dataclass(frozen=True, slots=True)
class AddStorage(Command):
    """Copy what is a user's to a place of the user's own. ``settings``: JSON of what is no secret."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "storage_id"
    storage_id: str
    owner: str
    kind: str
    name: str
    settings: str
    secrets: tuple[SealedSecret, ...]
    capacity_bytes: int = 0


@command
@dataclass(frozen=True, slots=True)
class EditStorage(Command):
    """Change a storage provider. Secrets that are not named stay as they are."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "storage_id"
    storage_id: str
    owner: str
    name: str
    settings: str
    secrets: tuple[SealedSecret, ...]
    capacity_bytes: int = 0


@command
@dataclass(frozen=True, slots=True)
class SwitchStorage(Command):
    """Let a storage provider have copies, or no more for now."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "storage_id"
    storage_id: str
    owner: str
    enabled: bool


@command
@dataclass(frozen=True, slots=True)
class RemoveStorage(Command):
    """Forget a storage provider and its secrets. ``purge``: remove our copies there first.

    Attributes:
        by: who asks for it, where it is not the owner.
    """

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "storage_id"
    storage_id: str
    owner: str
    purge: bool = False
    by: str = ""


@command
@dataclass(frozen=True, slots=True)
class CheckStorage(Command):
    """Store something small at a storage provider, read it back and remove it."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "storage_id"
    storage_id: str
    owner: str


@command
@dataclass(frozen=True, slots=True)
class CopyObject(Command):
    """Copy content to a storage provider again where that failed. Empty ``cid``: all that failed there."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "storage_id"
    storage_id: str
    owner: str
    cid: str = ""


@command
@dataclass(frozen=True, slots=True)
class AddWebhook(Command):
    """Tell an address of a user's own how the user's runs end. ``sealed``: the secret, sealed by the gateway."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "webhook_id"
    webhook_id: str
    owner: str
    url: str
    events: tuple[str, ...]
    sealed: bytes


@command
@dataclass(frozen=True, slots=True)
class EditWebhook(Command):
    """Change a webhook. Empty ``sealed``: the secret stays."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "webhook_id"
    webhook_id: str
    owner: str
    url: str
    events: tuple[str, ...]
    sealed: bytes = b""


@command
@dataclass(frozen=True, slots=True)
class SwitchWebhook(Command):
    """Tell a webhook of runs, or nothing for now."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "webhook_id"
    webhook_id: str
    owner: str
    enabled: bool


@command
@dataclass(frozen=True, slots=True)
class RemoveWebhook(Command):
    """Forget a webhook, its secret and what it was still to be told. ``by``: who asks, where it is not the owner."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "webhook_id"
    webhook_id: str
    owner: str
    by: str = ""


@command
@dataclass(frozen=True, slots=True)
class PingWebhook(Command):
    """Send a webhook a message that tells nothing, and say what it answered."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "webhook_id"
    webhook_id: str
    owner: str


@command
@dataclass(frozen=True, slots=True)
class RepeatNotice(Command):
    """Tell a webhook again what it was told, or was to be told, under the same id."""

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "webhook_id"
    webhook_id: str
    owner: str
    notice_id: str


@command
@dataclass(frozen=True, slots=True)
class DeleteObject(Command):
    """Delete content, or no longer keep it for one of several who have it.

    Attributes:
        operator: ``by`` runs this system, and may delete what is nobody's.
        eraser: the operator, who erases ``by``: then it is not that user who asks.
    """

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "cid"
    cid: str
    by: str
    operator: bool = False
    eraser: str = ""


@command
@dataclass(frozen=True, slots=True)
class CollectGarbage(Command):
    """Remove what nobody needs and has not been used for a while.

    Attributes:
        dry_run: remove nothing, and say what would be.
        older_than_s: seconds since it was used last; -1: as configured.
    """

    SERVICE: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "by"
    by: str
    dry_run: bool
    older_than_s: int = -1


@command
@dataclass(frozen=True, slots=True)
class AttachToken(Command):
    """Let a token sign its holder in. ``token_hash`` is the SHA-256 of the token, hexadecimal."""

    SERVICE: ClassVar[str] = "auth"
    KEY: ClassVar[str] = "token_hash"
    token_hash: str
    user: str
    expires_at: int = 0
    kind: str = ""


@command
@dataclass(frozen=True, slots=True)
class RevokeToken(Command):
    """Refuse a token from now on.

    Attributes:
        by: who asks for it: a user id, or ``l2``.
        unseen: also one that was never attached here.
    """

    SERVICE: ClassVar[str] = "auth"
    KEY: ClassVar[str] = "token_hash"
    token_hash: str
    by: str = ""
    reason: str = ""
    unseen: bool = False


@command
@dataclass(frozen=True, slots=True)
class RevokeUser(Command):
    """Refuse all tokens that a user holds. ``by``: who asks for it: a user id, or ``l2``."""

    SERVICE: ClassVar[str] = "auth"
    KEY: ClassVar[str] = "user_id"
    user_id: str
    by: str
    reason: str = ""


@command
@dataclass(frozen=True, slots=True)
class EraseUser(Command):
    """Forget who a user is: no token of theirs counts any more, and their id means nobody. ``by``: who asks."""

    SERVICE: ClassVar[str] = "auth"
    KEY: ClassVar[str] = "user_id"
    user_id: str
    by: str


@command
@dataclass(frozen=True, slots=True)
class NoteRefusals(Command):
    """Keep in the audit trail what a gateway refused. ``hour``: the key of the stream, ``2026-11-22T04`` (UTC)."""

    SERVICE: ClassVar[str] = "auth"
    KEY: ClassVar[str] = "hour"
    hour: str
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class ExecuteStep:
    """Compute a step.

    Attributes:
        version: last version of the step's stream that the planner saw; 0: it was never tried.
        inputs: CIDs in slot order.
        deliver: people get the output.
        forced: what was computed up to ``version`` does not count, even where it is there.
        traceparent: of the run that asks for it; nothing that tells one step from another.
    """

    cache_id: str
    step_type: str
    config: str
    label: str
    inputs: tuple[str, ...]
    version: int = 0
    deliver: bool = False
    forced: bool = False
    traceparent: str = field(default="", compare=False)

    @property
    def what(self) -> str:
        """What of the label may be told to all who share the step: its last part, without the words of one's recipe."""
        return self.label.rpartition(".")[2]


@command
@dataclass(frozen=True, slots=True)
class ExecuteSteps(Command):
    """Compute steps; sent on the work queue, not on the command stream. Each has its own events and its own end."""

    SERVICE: ClassVar[str] = "executor"
    KEY: ClassVar[str] = "name"
    steps: tuple[ExecuteStep, ...]

    @property
    def name(self) -> str:
        """The cache id of a step that travels alone; of several, a hash of theirs."""
        if len(self.steps) == 1:
            return self.steps[0].cache_id
        return hashlib.sha256("".join(step.cache_id for step in self.steps).encode()).hexdigest()
