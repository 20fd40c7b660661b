"""What the server answers, as types. They are plain dictionaries: a newer server may put more into them.

A test compares each with the server's OpenAPI document. Times are RFC 3339 in UTC, sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

Links = dict[str, str | None]
RunStatus = Literal["requested", "analyzing", "planned", "running", "paused", "completed", "failed", "cancelled"]
Priority = Literal["interactive", "batch"]
Reference = str
"""A CID, or the name of content."""

Inputs = Sequence[Reference | Sequence[Reference]] | Mapping[str, Reference | Sequence[Reference]]
"""In the order of the recipe's inputs, or by their names."""

Parameters = Mapping[str, Mapping[str, Any]]
"""Node → parameter → value; dots name a parameter inside another: ``params.strength``."""


class Deleted(TypedDict):
    """What is gone. Further members name it."""

    deleted: bool


# --- runs -----------------------------------------------------------------------------------------------------------


class Binding(TypedDict):
    """An input of a run."""

    name: str
    cids: list[str]


class Progress(TypedDict):
    """How far a run is; ``fraction``: 0 to 1."""

    total: int
    cached: int
    completed: int
    done: int
    fraction: float


class Attempt(TypedDict):
    """One attempt at a step."""

    attempt: int
    began_at: str | None
    ended_at: str | None
    status: str
    code: str | None
    kind: str | None
    reason: str | None
    retry_at: str | None


class RunError(TypedDict):
    """Why a run gave no output, and what to do."""

    code: str
    kind: str
    reason: str
    advice: str
    step: int | None
    node: str | None
    links: Links
    type: NotRequired[str | None]
    label: NotRequired[str | None]
    attempts: NotRequired[list[Attempt]]


class Run(TypedDict):
    """One rendering of a recipe."""

    run_id: str
    status: RunStatus
    owner: str
    recipe: str
    recipe_cid: str
    inputs: list[Binding]
    output_name: str
    output_cid: str | None
    output_url: str | None
    provenance_cid: str | None
    provenance_url: str | None
    plan_id: str | None
    plan_cid: str | None
    priority: Priority
    on_failure: str
    forced: Any
    rerun_of: str | None
    deadline: str | None
    wait_timeout: float | None
    step_timeout: float | None
    error: RunError | None
    progress: Progress
    created_at: str
    updated_at: str
    duration_ms: int
    links: Links


class RunPage(TypedDict):
    """A page of runs; ``next``: the cursor of the following one."""

    runs: list[Run]
    total: int
    next: str | None


class Activity(TypedDict):
    """What was told to the registry, and what became of it."""

    id: str
    state: str
    attempts: int
    last_error: str | None
    next_attempt_at: str | None
    link: str | None


class Publication(TypedDict):
    """Under what content is public in somebody's name."""

    owner: str
    name: str
    description: str
    published_at: str
    run_id: str | None
    recipe_cid: str | None
    provenance_cid: str | None
    object: str | None
    activity: Activity


class StepPlace(TypedDict):
    """Which step of a run."""

    step: int
    node: str
    type: str
    label: str


class Frames(TypedDict):
    """How far a step is."""

    done: int
    total: int


class RunningStep(StepPlace):
    """A step that is being computed."""

    attempt: int
    started_at: str
    frames: Frames | None


class WaitingStep(StepPlace):
    """A step between two attempts."""

    reason: str
    attempts: list[Attempt]
    retry_at: str | None


class FailedStep(StepPlace):
    """A step that failed, why, and what to do."""

    code: str
    kind: str
    reason: str
    advice: str
    attempts: list[Attempt]
    links: Links


class StepSummary(TypedDict):
    """A run's steps: how many are in which state, and those that something is to be said of."""

    by_status: dict[str, int]
    running: list[RunningStep]
    waiting: list[WaitingStep]
    failed: list[FailedStep]


class Artifact(StepPlace):
    """What a step of a run without an output gave all the same."""

    cid: str
    url: str


class RunDetail(Run):
    """A run, with its steps and its publication."""

    published: Publication | None
    steps: StepSummary
    artifacts: list[Artifact]


class AnotherRun(Run):
    """A run that repeats another; ``differs``: in what."""

    differs: dict[str, Any]


class PlanStep(TypedDict):
    """A step of a plan, with how it stands."""

    index: int
    node: str
    type: str
    label: str
    level: int
    cache_id: str
    config: dict[str, Any]
    inputs: list[int]
    forced: bool
    status: str
    output_cid: str | None
    output_url: str | None
    attempt: int
    attempts: list[Attempt]
    started_at: str | None
    retry_at: str | None
    duration_ms: int | None
    error: str | None
    error_code: str | None
    kind: str | None
    advice: str | None
    links: Links


class Plan(TypedDict):
    """A run's plan; ``levels``: indices of the steps, level by level."""

    run_id: str
    status: RunStatus
    plan_id: str | None
    plan_cid: str | None
    plan_url: str | None
    recipe: str
    recipe_cid: str
    output: int | None
    levels: list[list[int]]
    steps: list[PlanStep]


class RunWithStep(Run):
    """A run, and a step of it."""

    step: PlanStep


class Analysis(TypedDict):
    """What was found out about an input."""

    node: str
    input_cid: str
    cid: str
    url: str
    result: dict[str, Any]


class Analyses(TypedDict):
    """The analyses that shaped a plan."""

    run_id: str
    status: RunStatus
    analyses: list[Analysis]


class LogAttempt(TypedDict):
    """An attempt that has a log."""

    attempt: int
    executor: str
    began_at: str
    ended_at: str | None
    truncated: bool
    url: str


class StepLog(TypedDict):
    """What an attempt at a step said; ``note``: why there is nothing."""

    run_id: str
    step: int
    node: str
    type: str
    cache_id: str
    status: str
    attempt: int | None
    text: str
    truncated: bool
    note: str
    attempts: list[LogAttempt]


# --- recipes and effects --------------------------------------------------------------------------------------------


class Recipe(TypedDict):
    """A reusable DAG with named inputs."""

    recipe_id: str
    name: str
    version: str
    description: str
    owner: str
    source_cid: str
    source_url: str
    created_at: str
    links: Links


class RecipePage(TypedDict):
    """A page of recipes."""

    recipes: list[Recipe]
    total: int
    next: str | None


class RecipeInput(TypedDict):
    """What a recipe is to be given; ``list``: several."""

    name: str
    node: str
    type: str
    description: str
    default: str | None
    list: bool


class RecipeNode(TypedDict):
    """A node of a recipe."""

    id: str
    type: str
    config: dict[str, Any]
    inputs: list[Any]


class RecipeDetail(Recipe):
    """A recipe, with its inputs and nodes."""

    inputs: list[RecipeInput]
    nodes: list[RecipeNode]
    output: str
    on_failure: str


class RecipeDeleted(Deleted):
    """Which recipe is gone."""

    recipe_id: str
    name: str


class RecipeProblem(TypedDict):
    """What is wrong with a recipe, and where."""

    line: int | None
    column: int | None
    field: str
    problem: str


class CheckedRecipe(TypedDict):
    """What was found in a recipe; ``graph``: None where there are problems."""

    name: str | None
    version: str | None
    problems: list[RecipeProblem]
    inputs: list[RecipeInput]
    graph: dict[str, Any] | None


class Effect(TypedDict):
    """What an EFFECT step applies; ``kind``: ``frame`` or ``media``."""

    cid: str
    name: str
    version: str
    author: str
    description: str
    kind: str
    builtin: bool
    owner: str | None
    created_at: str | None
    links: Links


class EffectPage(TypedDict):
    """A page of effects."""

    effects: list[Effect]
    total: int
    next: str | None


class EffectDetail(Effect):
    """An effect, with its parameters as a JSON schema."""

    dependencies: list[str]
    params: dict[str, Any]


class EffectDeleted(Deleted):
    """Which effect is gone."""

    cid: str
    name: str


# --- content --------------------------------------------------------------------------------------------------------


class Name(TypedDict):
    """What somebody calls content."""

    owner: str
    name: str


class Description(TypedDict):
    """What somebody says of content."""

    owner: str
    description: str
    tags: list[str]


class Meta(TypedDict):
    """What content is, and what is said of it. ``name``, ``description``, ``tags``: by you."""

    cid: str
    size_bytes: int
    media_type: str
    origin: str
    names: list[Name]
    stored_at: str
    links: Links
    name: str | None
    title: str | None
    description: str
    tags: list[str]
    descriptions: list[Description]
    published: list[Publication]


class ContentPage(TypedDict):
    """A page of content."""

    objects: list[Meta]
    total: int
    next: str | None


class Copied(TypedDict):
    """How it stands with content at a storage provider."""

    storage_id: str
    name: str
    kind: str
    state: str
    location: str | None
    reason: str | None
    updated_at: str
    links: Links


class Used(TypedDict):
    """Which runs and recipes use content."""

    runs: list[dict[str, Any]]
    recipes: list[dict[str, Any]]


class Content(Meta):
    """All that is known of content; ``facts``: what media holds, with ``status``."""

    facts: dict[str, Any] | None
    preview: dict[str, Any]
    used: Used
    copies: list[Copied]


class Media(Meta):
    """Content that can be seen or heard."""

    kind: str
    facts: dict[str, Any] | None
    preview: dict[str, Any]


class MediaPage(TypedDict):
    """A page of the gallery."""

    media: list[Media]
    total: int
    next: str | None


class Asset(TypedDict):
    """Content by a name that recipes and runs may use."""

    name: str
    owner: str
    cid: str
    size_bytes: int
    media_type: str
    origin: str
    stored_at: str
    links: Links


class AssetPage(TypedDict):
    """A page of names."""

    assets: list[Asset]
    total: int
    next: str | None


class ContentDeleted(Deleted):
    """Which content is gone, and how much room that made."""

    cid: str
    freed_bytes: int


class Published(TypedDict):
    """What was published."""

    cid: str
    published: Publication


class Standing(TypedDict):
    """How a publication stands: none, local, pending, delivered, refused, unpublished."""

    cid: str
    state: str
    published: Publication | None
    activities: list[dict[str, Any]]


class Amount(TypedDict):
    """So many, of so many bytes."""

    objects: int
    bytes: int


class Usage(TypedDict):
    """What a user's content takes; None: no limit."""

    owner: str
    used_bytes: int
    quota_bytes: int | None
    free_bytes: int | None
    objects: int
    uploads: Amount
    outputs: Amount


# --- storage, webhooks, tokens --------------------------------------------------------------------------------------


class StorageUsage(TypedDict):
    """Copies at a provider by how they stand."""

    made: dict[str, int]
    waiting: dict[str, int]
    failed: dict[str, int]
    fraction: float


class Storage(TypedDict):
    """A place of yours that gets copies; ``status``: ready, refused, away, or not known yet."""

    storage_id: str
    type: str
    name: str
    status: str
    code: str | None
    reason: str | None
    enabled: bool
    settings: dict[str, Any]
    secrets: dict[str, Any]
    capacity_bytes: int | None
    usage: StorageUsage
    checked_at: str | None
    created_at: str
    updated_at: str
    links: Links


class StoragePage(TypedDict):
    """A page of providers."""

    storage: list[Storage]
    total: int
    next: str | None


class StorageDetail(Storage):
    """A provider, with what is being copied now: CID → bytes done and in all."""

    copying: dict[str, Any]


class StorageTest(TypedDict):
    """Whether a place works, and if not, why."""

    storage_id: str
    ok: bool
    status: str | None
    code: str | None
    reason: str | None


class StorageDeleted(Deleted):
    """Which provider is forgotten."""

    storage_id: str
    name: str
    purge: bool


class StorageForm(TypedDict):
    """What a kind of provider has to be told."""

    type: str
    label: str
    description: str
    fields: list[dict[str, Any]]


class Copy(TypedDict):
    """A copy at a provider: made, waiting or failed."""

    cid: str
    state: str
    location: str | None
    size_bytes: int | None
    attempt: int
    code: str | None
    reason: str | None
    progress: dict[str, int] | None
    requested_at: str
    updated_at: str
    links: Links


class CopyPage(TypedDict):
    """A page of copies."""

    copies: list[Copy]
    total: int
    next: str | None


class Webhook(TypedDict):
    """An address that is told how your runs end; ``reason``: why the server disabled it."""

    webhook_id: str
    url: str
    events: list[str]
    enabled: bool
    reason: str | None
    secret_set_at: str
    created_at: str
    updated_at: str
    links: Links


class NewWebhook(Webhook):
    """A webhook with its secret, which is shown this once."""

    secret: str


class Delivery(TypedDict):
    """What a webhook was told, and what came of it."""

    delivery_id: str
    event: str
    run_id: str
    state: str
    attempts: int
    status: int | None
    reason: str | None
    next_attempt_at: str | None
    requested_at: str
    updated_at: str
    links: Links


class WebhookDetail(Webhook):
    """A webhook, with a page of what it was told."""

    deliveries: list[Delivery]
    total: int
    next: str | None


class WebhookDeleted(Deleted):
    """Which webhook is forgotten."""

    webhook_id: str


class WebhookTest(TypedDict):
    """What a ping came to; ``status`` 0: nothing came back."""

    webhook_id: str
    ok: bool
    status: int
    reason: str | None
    duration_ms: int


class Who(TypedDict):
    """Who is signed in; ``expires_at``: unix seconds."""

    signed_in: bool
    user: str | None
    handle: str | None
    expires_at: int | None
    asking: str | None
    l2_server: str | None


class Codes(TypedDict):
    """How a person signs a program in: by confirming ``user_code`` at ``verification_uri``."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class Grant(TypedDict):
    """A program that waits to be signed in."""

    client: str
    state: str
    begun_at: str


class Token(TypedDict):
    """A token that signs you in somewhere, never the token itself. ``kind``: device, l2, or empty: the operator's."""

    token_id: str
    kind: str
    attached_at: str
    expires_at: str | None
    current: bool


class TokenPage(TypedDict):
    """Your tokens."""

    tokens: list[Token]
    total: int


class TokenRevoked(TypedDict):
    """Whether a token counts no more."""

    token_id: str
    revoked: bool


# --- the server, and for the operator -------------------------------------------------------------------------------


class Info(TypedDict):
    """What a server is."""

    name: str
    version: str
    links: Links


class Readiness(TypedDict):
    """Whether every part can do work."""

    ready: bool
    parts: dict[str, bool]


class CommandOutcome(TypedDict):
    """What became of a command: pending, accepted or refused."""

    command_id: str
    status: str
    values: NotRequired[dict[str, Any]]
    code: NotRequired[str]
    detail: NotRequired[str]


class Finding(TypedDict):
    """Something that is wrong, or as somebody wants it, and how to mend it."""

    check: str
    wrong: bool
    what: str
    how: str


class Report(TypedDict):
    """What is wrong with a system, and what it mended by itself."""

    well: bool
    checked: list[str]
    findings: list[Finding]
    repairs: dict[str, Any]


class Garbage(TypedDict):
    """What nobody needs, and why."""

    dry_run: bool
    count: int
    bytes: int
    why: dict[str, Any]
    items: list[dict[str, Any]]
    truncated: bool


class AuditEntry(TypedDict):
    """Something that somebody did, or was refused."""

    id: int
    at: str
    kind: str
    event: str
    code: str | None
    by: dict[str, Any] | None
    user: dict[str, Any] | None
    what: str | None
    address: str | None
    count: int
    first_at: str
    last_at: str


class AuditPage(TypedDict):
    """A page of the audit trail."""

    entries: list[AuditEntry]
    next: str | None


class Person(TypedDict):
    """Somebody who uses the system."""

    user_id: str
    handle: str
    joined_at: str
    signed_in_at: str | None
    sign_ins: int
    revoked_at: str | None
    erased_at: str | None
    links: Links


class PersonPage(TypedDict):
    """A page of people."""

    users: list[Person]
    total: int
    next: str | None


class PersonDetail(Person):
    """Somebody, with what is theirs, and what of it is public."""

    theirs: dict[str, int]
    public: list[dict[str, Any]]


class Erased(TypedDict):
    """What erasing somebody came to; ``next``: there is more to do."""

    user_id: str
    erased: bool
    removed: dict[str, int]
    freed_bytes: int
    kept: list[dict[str, Any]]
    public: list[dict[str, Any]]
    next: str | None


class Letter(TypedDict):
    """A message that gave up."""

    id: int
    service: str
    name: str
    subject: str
    key: str
    reason: str
    at: str
    since: str
    tried: int
    tries: list[dict[str, Any]]
    headers: dict[str, Any]
    retry: dict[str, Any]
    links: Links


class LetterPage(TypedDict):
    """A page of dead letters."""

    letters: list[Letter]
    total: int
    next: str | None


class LetterDetail(Letter):
    """A dead letter with its payload."""

    payload: dict[str, Any]


class LetterSent(TypedDict):
    """A dead letter that went back."""

    id: int
    retried: bool
    subject: str
