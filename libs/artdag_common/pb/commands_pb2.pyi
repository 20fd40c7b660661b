from artdag_common.pb import events_pb2 as _events_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StartRun(_message.Message):
    __slots__ = ("run_id", "recipe_cid", "owner", "inputs", "output_name", "hold", "priority", "forced", "rerun_of", "deadline_us", "wait_timeout_ms", "step_timeout_ms")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RECIPE_CID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_NAME_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    RERUN_OF_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_US_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    STEP_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    recipe_cid: str
    owner: str
    inputs: _containers.RepeatedCompositeFieldContainer[_events_pb2.InputBinding]
    output_name: str
    hold: bool
    priority: str
    forced: _containers.RepeatedScalarFieldContainer[str]
    rerun_of: str
    deadline_us: int
    wait_timeout_ms: int
    step_timeout_ms: int
    def __init__(self, run_id: _Optional[str] = ..., recipe_cid: _Optional[str] = ..., owner: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_events_pb2.InputBinding, _Mapping]]] = ..., output_name: _Optional[str] = ..., hold: _Optional[bool] = ..., priority: _Optional[str] = ..., forced: _Optional[_Iterable[str]] = ..., rerun_of: _Optional[str] = ..., deadline_us: _Optional[int] = ..., wait_timeout_ms: _Optional[int] = ..., step_timeout_ms: _Optional[int] = ...) -> None: ...

class ImportRun(_message.Message):
    __slots__ = ("run_id", "owner", "manifest_cid", "events_cid")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_CID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_CID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    owner: str
    manifest_cid: str
    events_cid: str
    def __init__(self, run_id: _Optional[str] = ..., owner: _Optional[str] = ..., manifest_cid: _Optional[str] = ..., events_cid: _Optional[str] = ...) -> None: ...

class ExecuteRun(_message.Message):
    __slots__ = ("run_id", "by")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    by: str
    def __init__(self, run_id: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class PauseRun(_message.Message):
    __slots__ = ("run_id", "by")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    by: str
    def __init__(self, run_id: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class ResumeRun(_message.Message):
    __slots__ = ("run_id", "by")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    by: str
    def __init__(self, run_id: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class CancelStep(_message.Message):
    __slots__ = ("run_id", "step", "reason", "by")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    step: int
    reason: str
    by: str
    def __init__(self, run_id: _Optional[str] = ..., step: _Optional[int] = ..., reason: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class CancelRun(_message.Message):
    __slots__ = ("run_id", "reason", "by", "eraser")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    ERASER_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    reason: str
    by: str
    eraser: str
    def __init__(self, run_id: _Optional[str] = ..., reason: _Optional[str] = ..., by: _Optional[str] = ..., eraser: _Optional[str] = ...) -> None: ...

class DeleteRun(_message.Message):
    __slots__ = ("run_id", "by", "eraser")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    ERASER_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    by: str
    eraser: str
    def __init__(self, run_id: _Optional[str] = ..., by: _Optional[str] = ..., eraser: _Optional[str] = ...) -> None: ...

class RegisterRecipe(_message.Message):
    __slots__ = ("recipe_cid", "source_cid", "name", "version", "description", "owner")
    RECIPE_CID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_CID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    recipe_cid: str
    source_cid: str
    name: str
    version: str
    description: str
    owner: str
    def __init__(self, recipe_cid: _Optional[str] = ..., source_cid: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[str] = ..., description: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class DeleteRecipe(_message.Message):
    __slots__ = ("recipe_cid", "by", "eraser")
    RECIPE_CID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    ERASER_FIELD_NUMBER: _ClassVar[int]
    recipe_cid: str
    by: str
    eraser: str
    def __init__(self, recipe_cid: _Optional[str] = ..., by: _Optional[str] = ..., eraser: _Optional[str] = ...) -> None: ...

class RegisterEffect(_message.Message):
    __slots__ = ("effect_cid", "owner")
    EFFECT_CID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    effect_cid: str
    owner: str
    def __init__(self, effect_cid: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class DeleteEffect(_message.Message):
    __slots__ = ("effect_cid", "by", "eraser")
    EFFECT_CID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    ERASER_FIELD_NUMBER: _ClassVar[int]
    effect_cid: str
    by: str
    eraser: str
    def __init__(self, effect_cid: _Optional[str] = ..., by: _Optional[str] = ..., eraser: _Optional[str] = ...) -> None: ...

class ImportObject(_message.Message):
    __slots__ = ("cid", "size_bytes", "media_type", "origin", "owner", "name")
    CID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    cid: str
    size_bytes: int
    media_type: str
    origin: str
    owner: str
    name: str
    def __init__(self, cid: _Optional[str] = ..., size_bytes: _Optional[int] = ..., media_type: _Optional[str] = ..., origin: _Optional[str] = ..., owner: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class DescribeObject(_message.Message):
    __slots__ = ("cid", "owner", "fields", "name", "description", "tags", "expected")
    CID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    cid: str
    owner: str
    fields: _containers.RepeatedScalarFieldContainer[str]
    name: str
    description: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    expected: int
    def __init__(self, cid: _Optional[str] = ..., owner: _Optional[str] = ..., fields: _Optional[_Iterable[str]] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., expected: _Optional[int] = ...) -> None: ...

class PublishObject(_message.Message):
    __slots__ = ("cid", "owner", "name", "description", "run_id", "recipe_cid", "provenance_cid")
    CID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RECIPE_CID_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_CID_FIELD_NUMBER: _ClassVar[int]
    cid: str
    owner: str
    name: str
    description: str
    run_id: str
    recipe_cid: str
    provenance_cid: str
    def __init__(self, cid: _Optional[str] = ..., owner: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., run_id: _Optional[str] = ..., recipe_cid: _Optional[str] = ..., provenance_cid: _Optional[str] = ...) -> None: ...

class UnpublishObject(_message.Message):
    __slots__ = ("cid", "owner", "eraser")
    CID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ERASER_FIELD_NUMBER: _ClassVar[int]
    cid: str
    owner: str
    eraser: str
    def __init__(self, cid: _Optional[str] = ..., owner: _Optional[str] = ..., eraser: _Optional[str] = ...) -> None: ...

class SettleActivity(_message.Message):
    __slots__ = ("cid", "activity_id", "taken", "words")
    CID_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    cid: str
    activity_id: str
    taken: bool
    words: str
    def __init__(self, cid: _Optional[str] = ..., activity_id: _Optional[str] = ..., taken: _Optional[bool] = ..., words: _Optional[str] = ...) -> None: ...

class SealedSecret(_message.Message):
    __slots__ = ("field", "sealed")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    field: str
    sealed: bytes
    def __init__(self, field: _Optional[str] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class AddStorage(_message.Message):
    __slots__ = ("storage_id", "owner", "kind", "name", "settings", "secrets", "capacity_bytes")
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    storage_id: str
    owner: str
    kind: str
    name: str
    settings: str
    secrets: _containers.RepeatedCompositeFieldContainer[SealedSecret]
    capacity_bytes: int
    def __init__(self, storage_id: _Optional[str] = ..., owner: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., settings: _Optional[str] = ..., secrets: _Optional[_Iterable[_Union[SealedSecret, _Mapping]]] = ..., capacity_bytes: _Optional[int] = ...) -> None: ...

class EditStorage(_message.Message):
    __slots__ = ("storage_id", "owner", "name", "settings", "secrets", "capacity_bytes")
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    storage_id: str
    owner: str
    name: str
    settings: str
    secrets: _containers.RepeatedCompositeFieldContainer[SealedSecret]
    capacity_bytes: int
    def __init__(self, storage_id: _Optional[str] = ..., owner: _Optional[str] = ..., name: _Optional[str] = ..., settings: _Optional[str] = ..., secrets: _Optional[_Iterable[_Union[SealedSecret, _Mapping]]] = ..., capacity_bytes: _Optional[int] = ...) -> None: ...

class SwitchStorage(_message.Message):
    __slots__ = ("storage_id", "owner", "enabled")
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    storage_id: str
    owner: str
    enabled: bool
    def __init__(self, storage_id: _Optional[str] = ..., owner: _Optional[str] = ..., enabled: _Optional[bool] = ...) -> None: ...

class RemoveStorage(_message.Message):
    __slots__ = ("storage_id", "owner", "purge", "by")
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PURGE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    storage_id: str
    owner: str
    purge: bool
    by: str
    def __init__(self, storage_id: _Optional[str] = ..., owner: _Optional[str] = ..., purge: _Optional[bool] = ..., by: _Optional[str] = ...) -> None: ...

class CheckStorage(_message.Message):
    __slots__ = ("storage_id", "owner")
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    storage_id: str
    owner: str
    def __init__(self, storage_id: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class CopyObject(_message.Message):
    __slots__ = ("storage_id", "owner", "cid")
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CID_FIELD_NUMBER: _ClassVar[int]
    storage_id: str
    owner: str
    cid: str
    def __init__(self, storage_id: _Optional[str] = ..., owner: _Optional[str] = ..., cid: _Optional[str] = ...) -> None: ...

class AddWebhook(_message.Message):
    __slots__ = ("webhook_id", "owner", "url", "events", "sealed")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    owner: str
    url: str
    events: _containers.RepeatedScalarFieldContainer[str]
    sealed: bytes
    def __init__(self, webhook_id: _Optional[str] = ..., owner: _Optional[str] = ..., url: _Optional[str] = ..., events: _Optional[_Iterable[str]] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class EditWebhook(_message.Message):
    __slots__ = ("webhook_id", "owner", "url", "events", "sealed")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    owner: str
    url: str
    events: _containers.RepeatedScalarFieldContainer[str]
    sealed: bytes
    def __init__(self, webhook_id: _Optional[str] = ..., owner: _Optional[str] = ..., url: _Optional[str] = ..., events: _Optional[_Iterable[str]] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class SwitchWebhook(_message.Message):
    __slots__ = ("webhook_id", "owner", "enabled")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    owner: str
    enabled: bool
    def __init__(self, webhook_id: _Optional[str] = ..., owner: _Optional[str] = ..., enabled: _Optional[bool] = ...) -> None: ...

class RemoveWebhook(_message.Message):
    __slots__ = ("webhook_id", "owner", "by")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    owner: str
    by: str
    def __init__(self, webhook_id: _Optional[str] = ..., owner: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class PingWebhook(_message.Message):
    __slots__ = ("webhook_id", "owner")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    owner: str
    def __init__(self, webhook_id: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class RepeatNotice(_message.Message):
    __slots__ = ("webhook_id", "owner", "notice_id")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NOTICE_ID_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    owner: str
    notice_id: str
    def __init__(self, webhook_id: _Optional[str] = ..., owner: _Optional[str] = ..., notice_id: _Optional[str] = ...) -> None: ...

class DeleteObject(_message.Message):
    __slots__ = ("cid", "by", "operator", "eraser")
    CID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    ERASER_FIELD_NUMBER: _ClassVar[int]
    cid: str
    by: str
    operator: bool
    eraser: str
    def __init__(self, cid: _Optional[str] = ..., by: _Optional[str] = ..., operator: _Optional[bool] = ..., eraser: _Optional[str] = ...) -> None: ...

class CollectGarbage(_message.Message):
    __slots__ = ("by", "dry_run", "older_than_s")
    BY_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    OLDER_THAN_S_FIELD_NUMBER: _ClassVar[int]
    by: str
    dry_run: bool
    older_than_s: int
    def __init__(self, by: _Optional[str] = ..., dry_run: _Optional[bool] = ..., older_than_s: _Optional[int] = ...) -> None: ...

class AttachToken(_message.Message):
    __slots__ = ("token_hash", "user", "expires_at", "kind")
    TOKEN_HASH_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    token_hash: str
    user: str
    expires_at: int
    kind: str
    def __init__(self, token_hash: _Optional[str] = ..., user: _Optional[str] = ..., expires_at: _Optional[int] = ..., kind: _Optional[str] = ...) -> None: ...

class RevokeToken(_message.Message):
    __slots__ = ("token_hash", "by", "reason", "unseen")
    TOKEN_HASH_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_FIELD_NUMBER: _ClassVar[int]
    token_hash: str
    by: str
    reason: str
    unseen: bool
    def __init__(self, token_hash: _Optional[str] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ..., unseen: _Optional[bool] = ...) -> None: ...

class RevokeUser(_message.Message):
    __slots__ = ("user_id", "by", "reason")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    by: str
    reason: str
    def __init__(self, user_id: _Optional[str] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class EraseUser(_message.Message):
    __slots__ = ("user_id", "by")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    by: str
    def __init__(self, user_id: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class NoteRefusals(_message.Message):
    __slots__ = ("hour", "refusals")
    HOUR_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    hour: str
    refusals: _containers.RepeatedCompositeFieldContainer[_events_pb2.Refusal]
    def __init__(self, hour: _Optional[str] = ..., refusals: _Optional[_Iterable[_Union[_events_pb2.Refusal, _Mapping]]] = ...) -> None: ...

class ExecuteStep(_message.Message):
    __slots__ = ("cache_id", "step_type", "config", "label", "inputs", "version", "deliver", "forced", "traceparent")
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    cache_id: str
    step_type: str
    config: str
    label: str
    inputs: _containers.RepeatedScalarFieldContainer[str]
    version: int
    deliver: bool
    forced: bool
    traceparent: str
    def __init__(self, cache_id: _Optional[str] = ..., step_type: _Optional[str] = ..., config: _Optional[str] = ..., label: _Optional[str] = ..., inputs: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ..., deliver: _Optional[bool] = ..., forced: _Optional[bool] = ..., traceparent: _Optional[str] = ...) -> None: ...

class ExecuteSteps(_message.Message):
    __slots__ = ("steps",)
    STEPS_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[ExecuteStep]
    def __init__(self, steps: _Optional[_Iterable[_Union[ExecuteStep, _Mapping]]] = ...) -> None: ...

class CommandOutcome(_message.Message):
    __slots__ = ("accepted", "code", "message", "values")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    code: str
    message: str
    values: str
    def __init__(self, accepted: _Optional[bool] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., values: _Optional[str] = ...) -> None: ...

class CopyTick(_message.Message):
    __slots__ = ("storage_id", "cid", "done", "total", "status")
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CID_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    storage_id: str
    cid: str
    done: int
    total: int
    status: str
    def __init__(self, storage_id: _Optional[str] = ..., cid: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., status: _Optional[str] = ...) -> None: ...

class StepTick(_message.Message):
    __slots__ = ("cache_id", "done", "total")
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    cache_id: str
    done: int
    total: int
    def __init__(self, cache_id: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class StepLogText(_message.Message):
    __slots__ = ("cache_id", "attempt", "offset", "text", "ended")
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    cache_id: str
    attempt: int
    offset: int
    text: str
    ended: bool
    def __init__(self, cache_id: _Optional[str] = ..., attempt: _Optional[int] = ..., offset: _Optional[int] = ..., text: _Optional[str] = ..., ended: _Optional[bool] = ...) -> None: ...

class ExecutorPresence(_message.Message):
    __slots__ = ("executor", "held", "leaving")
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    executor: str
    held: _containers.RepeatedCompositeFieldContainer[HeldWork]
    leaving: bool
    def __init__(self, executor: _Optional[str] = ..., held: _Optional[_Iterable[_Union[HeldWork, _Mapping]]] = ..., leaving: _Optional[bool] = ...) -> None: ...

class HeldWork(_message.Message):
    __slots__ = ("subject", "sequence")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    sequence: int
    def __init__(self, subject: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class InstancePresence(_message.Message):
    __slots__ = ("host", "pid", "version", "since_us", "told_us", "node", "disk_free_bytes", "disk_total_bytes", "hands", "duties", "leaving")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    TOLD_US_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    HANDS_FIELD_NUMBER: _ClassVar[int]
    DUTIES_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    host: str
    pid: int
    version: str
    since_us: int
    told_us: int
    node: str
    disk_free_bytes: int
    disk_total_bytes: int
    hands: _containers.RepeatedCompositeFieldContainer[ClassHands]
    duties: _containers.RepeatedScalarFieldContainer[str]
    leaving: bool
    def __init__(self, host: _Optional[str] = ..., pid: _Optional[int] = ..., version: _Optional[str] = ..., since_us: _Optional[int] = ..., told_us: _Optional[int] = ..., node: _Optional[str] = ..., disk_free_bytes: _Optional[int] = ..., disk_total_bytes: _Optional[int] = ..., hands: _Optional[_Iterable[_Union[ClassHands, _Mapping]]] = ..., duties: _Optional[_Iterable[str]] = ..., leaving: _Optional[bool] = ...) -> None: ...

class ClassHands(_message.Message):
    __slots__ = ("work_class", "hands")
    WORK_CLASS_FIELD_NUMBER: _ClassVar[int]
    HANDS_FIELD_NUMBER: _ClassVar[int]
    work_class: str
    hands: int
    def __init__(self, work_class: _Optional[str] = ..., hands: _Optional[int] = ...) -> None: ...

class TokenQuestion(_message.Message):
    __slots__ = ("token", "attach")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    token: str
    attach: bool
    def __init__(self, token: _Optional[str] = ..., attach: _Optional[bool] = ...) -> None: ...

class NameQuestion(_message.Message):
    __slots__ = ("username",)
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    username: str
    def __init__(self, username: _Optional[str] = ...) -> None: ...

class GrantBeginning(_message.Message):
    __slots__ = ("client",)
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    client: str
    def __init__(self, client: _Optional[str] = ...) -> None: ...

class GrantQuestion(_message.Message):
    __slots__ = ("user_code", "user_id", "decision")
    USER_CODE_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    user_code: str
    user_id: str
    decision: str
    def __init__(self, user_code: _Optional[str] = ..., user_id: _Optional[str] = ..., decision: _Optional[str] = ...) -> None: ...

class GrantPoll(_message.Message):
    __slots__ = ("device_code",)
    DEVICE_CODE_FIELD_NUMBER: _ClassVar[int]
    device_code: str
    def __init__(self, device_code: _Optional[str] = ...) -> None: ...

class LetterQuestion(_message.Message):
    __slots__ = ("id", "raw", "service", "name", "after", "limit")
    ID_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    id: int
    raw: bool
    service: str
    name: str
    after: int
    limit: int
    def __init__(self, id: _Optional[int] = ..., raw: _Optional[bool] = ..., service: _Optional[str] = ..., name: _Optional[str] = ..., after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class LetterSettling(_message.Message):
    __slots__ = ("id", "by", "dropped", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: int
    by: str
    dropped: bool
    reason: str
    def __init__(self, id: _Optional[int] = ..., by: _Optional[str] = ..., dropped: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class StandingQuestion(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ContentQuestion(_message.Message):
    __slots__ = ("node", "cids")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CIDS_FIELD_NUMBER: _ClassVar[int]
    node: str
    cids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node: _Optional[str] = ..., cids: _Optional[_Iterable[str]] = ...) -> None: ...

class ContentAnswer(_message.Message):
    __slots__ = ("node", "url", "cids", "stamps", "others", "unheard_ms")
    NODE_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    CIDS_FIELD_NUMBER: _ClassVar[int]
    STAMPS_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    UNHEARD_MS_FIELD_NUMBER: _ClassVar[int]
    node: str
    url: str
    cids: _containers.RepeatedScalarFieldContainer[str]
    stamps: _containers.RepeatedScalarFieldContainer[int]
    others: _containers.RepeatedScalarFieldContainer[str]
    unheard_ms: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, node: _Optional[str] = ..., url: _Optional[str] = ..., cids: _Optional[_Iterable[str]] = ..., stamps: _Optional[_Iterable[int]] = ..., others: _Optional[_Iterable[str]] = ..., unheard_ms: _Optional[_Iterable[int]] = ...) -> None: ...
