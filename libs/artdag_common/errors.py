"""Every error of the system, one tree. The docstring says when it happens and what the caller can do.

``retryable`` tells a consumer whether the same message can succeed later; ``momentary``, that it answers with this
refusal and forgets it, so that whoever sends the same message again is not told the same for ever. ``code`` is the
stable name that travels in replies, events and problem responses.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar


class ArtdagError(Exception):
    """Base of all errors that Art DAG raises on purpose."""

    retryable: ClassVar[bool] = False
    momentary: ClassVar[bool] = False

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.message = message
        self.values = values

    @property
    def code(self) -> str:
        """Kebab-case name without the ``Error`` suffix, for example ``run-not-found``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(self).__name__.removesuffix("Error")).lower()


# --- content --------------------------------------------------------------------------------------------------------


class InvalidCidError(ArtdagError):
    """A string is not a CID. Give the ``bafk…``/``bafy…``/``Qm…`` form that an upload or ``ipfs add`` printed."""


class CidMismatchError(ArtdagError):
    """Bytes do not hash to the CID they were asked for by. They are never served; fetch them from another source."""


class MalformedBlockError(ArtdagError):
    """A block, a CAR file or the folder in it is not what its format says, or breaks a limit. Get it from elsewhere."""


class FolderTooLargeError(ArtdagError):
    """A folder has more entries than one block holds. Spread them over folders below it."""


class ContentNotFoundError(ArtdagError):
    """No content with this CID or name is stored here. Upload it, or check the name in the media list."""


class NothingToShowError(ContentNotFoundError):
    """Content has no picture of the kind asked for: sound has no frames, a silent film no waveform, text neither."""


class ContentTooLargeError(ArtdagError):
    """An upload is larger than this server accepts."""


class ContentInUseError(ArtdagError):
    """Content cannot be deleted: it is published, or an input or output of a run. Delete those first."""


class NotYoursError(ArtdagError):
    """The content is somebody else's: only who uploaded or named it, or the operator, may delete it."""


class QuotaExceededError(ArtdagError):
    """It would take more than your quota (ARTDAG_QUOTA_BYTES). Delete what you no longer need; nothing was kept."""


class UploadNotFoundError(ArtdagError):
    """No upload of yours has this id, or it is over. Begin another with ``POST /cache/uploads``."""


class UploadExpiredError(UploadNotFoundError):
    """The upload was abandoned for so long that it was removed. Begin another with ``POST /cache/uploads``."""


class UploadOffsetError(ArtdagError):
    """An upload does not go on where it stands. Ask with ``HEAD`` how far it is, and send what follows."""


class UploadBusyError(ArtdagError):
    """Somebody else writes to this upload now. Wait until they are done, then ask with ``HEAD`` how far it is."""


class ChecksumMismatchError(ArtdagError):
    """What arrived is not what was sent: its checksum differs. Nothing of it was kept; send it again."""


class NotPublishedError(ArtdagError):
    """Nothing of this kind is public here: it never was, or it was unpublished."""


class StorageFullError(ArtdagError):
    """The disk is full. Free space or raise the quota; nothing was stored."""

    retryable = True


class StorageRefusedError(ArtdagError):
    """A storage provider says no: wrong credentials, no such bucket, no room. Change its settings, or make room."""


class StorageNotFoundError(ArtdagError):
    """No storage provider of yours has this id, or it was removed. List yours with ``GET /storage``."""


# --- webhooks -------------------------------------------------------------------------------------------------------


class WebhookRefusedError(ArtdagError):
    """A webhook's address cannot be used, or may not be named here: the message says why. Name another."""


class WebhookNotFoundError(ArtdagError):
    """No webhook of yours has this id, or it was removed. List yours with ``GET /webhooks``."""


class WebhookDisabledError(ArtdagError):
    """The webhook is disabled, by you or since it was silent for days. ``PATCH`` it with ``enabled: true`` first."""


class DeliveryNotFoundError(ArtdagError):
    """Your webhook was told nothing under this id. ``GET /webhooks/{id}`` lists what it was told."""


# --- recipes --------------------------------------------------------------------------------------------------------


class InvalidRecipeError(ArtdagError):
    """A recipe has problems; ``problems`` lists every one with line, field and the rule it breaks."""

    def __init__(self, problems: list[dict[str, Any]]) -> None:
        count = len(problems)
        super().__init__(f"the recipe has {count} problem{'' if count == 1 else 's'}", problems=problems)
        self.problems = problems


class RecipeNotFoundError(ArtdagError):
    """No recipe has this name or id. List them with ``GET /recipes``, or upload one."""


class InvalidInputsError(ArtdagError):
    """A run's inputs do not fit its recipe: one is missing, unknown, or not stored here."""


class UnknownStepTypeError(ArtdagError):
    """No step type has this name; the message names the nearest one."""


class UnknownEffectError(ArtdagError):
    """No effect has this name or CID; the message names the nearest one."""


class EffectNotFoundError(ArtdagError):
    """No effect has this CID or name. List them with ``GET /effects``, or upload one."""


class InvalidEffectError(ArtdagError):
    """An effect's file has problems; ``problems`` lists every one with its line, field and the rule it breaks."""

    def __init__(self, problems: list[dict[str, Any]]) -> None:
        count = len(problems)
        super().__init__(f"the effect has {count} problem{'' if count == 1 else 's'}", problems=problems)
        self.problems = problems


# --- runs -----------------------------------------------------------------------------------------------------------


class RunNotFoundError(ArtdagError):
    """No run has this id, or it was deleted."""


class RunAlreadyFinishedError(ArtdagError):
    """The run is completed, failed or cancelled: nothing can be added to it."""


class RunActiveError(ArtdagError):
    """The run is still going on. Cancel it first."""


class RunNotPlannedError(ArtdagError):
    """The run has no plan that waits for execution."""


class NothingToRetryError(ArtdagError):
    """The run neither failed nor was cancelled; the message says what to do instead."""


class RunNotPausedError(ArtdagError):
    """The run cannot be paused, or is not, as the message says. Look at its status with ``GET /runs/{id}``."""


class StepNotFoundError(ArtdagError):
    """The run has no step with this number. ``GET /api/run/{id}/plan`` lists its steps."""


class StepNotActiveError(ArtdagError):
    """The step is over: completed, failed, or skipped since another failed. There is nothing to cancel."""


class QueueFullError(ArtdagError):
    """You have as many runs going on as one person may (ARTDAG_MAX_USER_RUNS). Wait for one to end, or cancel one."""

    momentary = True


class SystemBusyError(ArtdagError):
    """All runs that this server takes at once (ARTDAG_MAX_RUNS) are taken. Nothing was kept; try again later."""

    momentary = True


class NothingToPublishError(ArtdagError):
    """The run has no output: it is not over, or it gave none. Publish what a completed run gave."""


class BrokenHistoryError(ArtdagError):
    """A run's file does not prove what it states: events changed or missing, or another outcome. Export it again."""


class OutputPublishedError(ArtdagError):
    """A completed run cannot be deleted while one of its outputs is published."""


# --- steps ----------------------------------------------------------------------------------------------------------


class StepError(ArtdagError):
    """A step could not do what it says."""


class StepInputError(StepError):
    """A step's input cannot be used: unreadable, of the wrong kind, or shorter than the step needs."""


class StepConfigError(StepError):
    """A step's configuration breaks a rule that only shows while it runs."""


class StepTimeoutError(StepError):
    """A step took longer than its time-out."""


class EffectFailedError(StepError):
    """An uploaded effect failed, gave back something else than it has to, or broke a limit of its isolation."""


class IsolationUnavailableError(StepError):
    """This machine cannot isolate uploaded effects, so it does not run them; the message says what is missing."""


class StepOutOfMemoryError(StepError):
    """A step needed more memory than it may have. It is tried once more, and then fails."""


class StepBrokenError(StepError):
    """A step broke in a way that nobody thought of: a defect of the server. The step's log says where."""


class StepLogNotFoundError(ArtdagError):
    """The step was not attempted so often, or the attempt's log is not kept any more (ARTDAG_RETENTION_DAYS)."""


class MediaWorkerLostError(StepError):
    """The process that rendered a step died. The step is tried again."""

    retryable = True


class UnplayableOutputError(StepError):
    """A step wrote a file that does not probe as what it should be."""


class AnalysisError(StepError):
    """A feature cannot be analysed, for example the beats of silence or of less than two seconds of sound."""


# --- access ---------------------------------------------------------------------------------------------------------


class UnauthenticatedError(ArtdagError):
    """The request carries no valid token. On a local system ``artdag token`` prints it."""


class TokenRevokedError(ArtdagError):
    """The token was revoked. Sign in again."""


class TokenExpiredError(ArtdagError):
    """The token's time is over. Sign in again."""


class TokenNotFoundError(ArtdagError):
    """No token of yours has this id, or it counts no more. List yours with ``GET /auth/tokens``."""


class GrantNotFoundError(ArtdagError):
    """No program waits with this code: mistyped, over after ten minutes, or used. Look at the program's screen."""


class TooManyGuessesError(ArtdagError):
    """You gave too many codes that no program waits with. Try again in ten minutes."""


class WrongScopeError(ArtdagError):
    """The token was made for another server. Attach this one on your registry's page of renderers."""


class L2RefusedError(ArtdagError):
    """The registry (L2_SERVER) does not vouch for the token. Sign in there, and attach this server again."""


class UserNotFoundError(ArtdagError):
    """Nobody here has this id or handle, or they were erased. List people with ``artdag user list``."""


class SignatureError(ArtdagError):
    """A request is not signed as it has to be (RFC 9421): by the registry's actor, recently, over this very body."""


class ForeignOriginError(ArtdagError):
    """The request names a Host or Origin that is not this server."""


# --- requests -------------------------------------------------------------------------------------------------------


class InvalidRequestError(ArtdagError):
    """A request breaks a rule; ``problems`` names each field, its value and the rule."""


class IdempotencyConflictError(ArtdagError):
    """An ``Idempotency-Key`` was used before with a different request. Use a new key."""


class IdempotencyBusyError(ArtdagError):
    """A request with this ``Idempotency-Key`` is still being handled. Repeat it as it is, a second later."""

    retryable = True


class PreconditionFailedError(ArtdagError):
    """What a request depends on no longer holds: ``If-Match`` names an older state. Read it, then decide again."""


class UnsupportedContentTypeError(ArtdagError):
    """A request's body is of a kind that its route does not take; the message names those that it does."""


class RateLimitedError(ArtdagError):
    """Too many requests of one kind came from you or your address. Wait as long as ``Retry-After`` says."""

    retryable = True


class RangeNotSatisfiableError(ArtdagError):
    """A ``Range`` header asks for bytes behind the content's end. Ask for less, or for all of it."""


# --- machinery ------------------------------------------------------------------------------------------------------


class AppendRefusedError(ArtdagError):
    """What belongs to an append cannot be written with it, so nothing was. ``rule``: gone, quota, changed or queue."""


class VersionConflictError(ArtdagError):
    """Someone else appended to the stream first. Reload, decide again."""

    retryable = True


class UnknownEventTypeError(ArtdagError):
    """A stored or received message has a type that this version does not know. It was written by a newer one."""


class MalformedMessageError(ArtdagError):
    """A message cannot be decoded; it goes to the dead letters."""


class ServiceUnavailableError(ArtdagError):
    """A backing server or service does not answer. What was accepted is kept; try again shortly."""

    retryable = True


class ProviderBusyError(ServiceUnavailableError):
    """Who has content, or is to have it, says that it is busy. Try again, not before it asks us to."""


class ExecutorStoppingError(ServiceUnavailableError):
    """An executor is being stopped. What it worked on goes to another, at once."""


class L2UnavailableError(ServiceUnavailableError):
    """The registry (L2_SERVER) does not answer, or not in a way that can be understood. Try again shortly."""


class LetterNotFoundError(ArtdagError):
    """No dead letter has this id: it was sent again or dropped, or it is older than 90 days."""


class LetterNotResendableError(ArtdagError):
    """This dead letter cannot be sent again from here; the message says who tries again, or what to do instead."""


class ConfigurationError(ArtdagError):
    """An environment variable or option has a value that cannot work; the message names all of them."""


class SchemaVersionError(ArtdagError):
    """The database is of a newer version than the service, or of an older one that the service may not change. Upgrade
    the service, or bring the database up to date; the message says which."""


class BackingServerError(ArtdagError):
    """A backing server (NATS, Postgres, Redis, S3, IPFS) did not start; the message shows the end of its log."""
