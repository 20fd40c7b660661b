from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InputBinding(_message.Message):
    __slots__ = ("name", "cids")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CIDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    cids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., cids: _Optional[_Iterable[str]] = ...) -> None: ...

class AnalysisResult(_message.Message):
    __slots__ = ("node", "input_cid", "cid")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INPUT_CID_FIELD_NUMBER: _ClassVar[int]
    CID_FIELD_NUMBER: _ClassVar[int]
    node: str
    input_cid: str
    cid: str
    def __init__(self, node: _Optional[str] = ..., input_cid: _Optional[str] = ..., cid: _Optional[str] = ...) -> None: ...

class PlannedStep(_message.Message):
    __slots__ = ("node", "type", "cache_id", "config", "inputs", "label", "level", "output_cid", "deliver", "forced")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_CID_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    node: str
    type: str
    cache_id: str
    config: str
    inputs: _containers.RepeatedScalarFieldContainer[int]
    label: str
    level: int
    output_cid: str
    deliver: bool
    forced: bool
    def __init__(self, node: _Optional[str] = ..., type: _Optional[str] = ..., cache_id: _Optional[str] = ..., config: _Optional[str] = ..., inputs: _Optional[_Iterable[int]] = ..., label: _Optional[str] = ..., level: _Optional[int] = ..., output_cid: _Optional[str] = ..., deliver: _Optional[bool] = ..., forced: _Optional[bool] = ...) -> None: ...

class RunRequested(_message.Message):
    __slots__ = ("at_us", "recipe_cid", "recipe_name", "owner", "inputs", "output_name", "hold", "priority", "on_failure", "forced", "rerun_of", "deadline_us", "wait_timeout_ms", "step_timeout_ms", "traceparent", "imported_from", "imported_events", "imported_run")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    RECIPE_CID_FIELD_NUMBER: _ClassVar[int]
    RECIPE_NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_NAME_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    RERUN_OF_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_US_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    STEP_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_FROM_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_RUN_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    recipe_cid: str
    recipe_name: str
    owner: str
    inputs: _containers.RepeatedCompositeFieldContainer[InputBinding]
    output_name: str
    hold: bool
    priority: str
    on_failure: str
    forced: _containers.RepeatedScalarFieldContainer[str]
    rerun_of: str
    deadline_us: int
    wait_timeout_ms: int
    step_timeout_ms: int
    traceparent: str
    imported_from: str
    imported_events: str
    imported_run: str
    def __init__(self, at_us: _Optional[int] = ..., recipe_cid: _Optional[str] = ..., recipe_name: _Optional[str] = ..., owner: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[InputBinding, _Mapping]]] = ..., output_name: _Optional[str] = ..., hold: _Optional[bool] = ..., priority: _Optional[str] = ..., on_failure: _Optional[str] = ..., forced: _Optional[_Iterable[str]] = ..., rerun_of: _Optional[str] = ..., deadline_us: _Optional[int] = ..., wait_timeout_ms: _Optional[int] = ..., step_timeout_ms: _Optional[int] = ..., traceparent: _Optional[str] = ..., imported_from: _Optional[str] = ..., imported_events: _Optional[str] = ..., imported_run: _Optional[str] = ...) -> None: ...

class RunStepsPlanned(_message.Message):
    __slots__ = ("at_us", "steps")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    steps: _containers.RepeatedCompositeFieldContainer[PlannedStep]
    def __init__(self, at_us: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[PlannedStep, _Mapping]]] = ...) -> None: ...

class RunInputsAnalyzed(_message.Message):
    __slots__ = ("at_us", "analyses")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ANALYSES_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    analyses: _containers.RepeatedCompositeFieldContainer[AnalysisResult]
    def __init__(self, at_us: _Optional[int] = ..., analyses: _Optional[_Iterable[_Union[AnalysisResult, _Mapping]]] = ...) -> None: ...

class RunPlanned(_message.Message):
    __slots__ = ("at_us", "plan_cid", "plan_id", "output", "total", "cached")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    PLAN_CID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    plan_cid: str
    plan_id: str
    output: int
    total: int
    cached: int
    def __init__(self, at_us: _Optional[int] = ..., plan_cid: _Optional[str] = ..., plan_id: _Optional[str] = ..., output: _Optional[int] = ..., total: _Optional[int] = ..., cached: _Optional[int] = ...) -> None: ...

class RunReleased(_message.Message):
    __slots__ = ("at_us",)
    AT_US_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    def __init__(self, at_us: _Optional[int] = ...) -> None: ...

class ScheduledStep(_message.Message):
    __slots__ = ("step", "node", "cache_id", "after")
    STEP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    step: int
    node: str
    cache_id: str
    after: int
    def __init__(self, step: _Optional[int] = ..., node: _Optional[str] = ..., cache_id: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class SatisfiedStep(_message.Message):
    __slots__ = ("step", "node", "output_cid")
    STEP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_CID_FIELD_NUMBER: _ClassVar[int]
    step: int
    node: str
    output_cid: str
    def __init__(self, step: _Optional[int] = ..., node: _Optional[str] = ..., output_cid: _Optional[str] = ...) -> None: ...

class RunStepsScheduled(_message.Message):
    __slots__ = ("at_us", "steps")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    steps: _containers.RepeatedCompositeFieldContainer[ScheduledStep]
    def __init__(self, at_us: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[ScheduledStep, _Mapping]]] = ...) -> None: ...

class RunStepsSatisfied(_message.Message):
    __slots__ = ("at_us", "steps")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    steps: _containers.RepeatedCompositeFieldContainer[SatisfiedStep]
    def __init__(self, at_us: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[SatisfiedStep, _Mapping]]] = ...) -> None: ...

class FailedStep(_message.Message):
    __slots__ = ("step", "node", "error", "reason")
    STEP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    step: int
    node: str
    error: str
    reason: str
    def __init__(self, step: _Optional[int] = ..., node: _Optional[str] = ..., error: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RunStepsFailed(_message.Message):
    __slots__ = ("at_us", "steps")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    steps: _containers.RepeatedCompositeFieldContainer[FailedStep]
    def __init__(self, at_us: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[FailedStep, _Mapping]]] = ...) -> None: ...

class RunPaused(_message.Message):
    __slots__ = ("at_us", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    by: str
    def __init__(self, at_us: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class RunResumed(_message.Message):
    __slots__ = ("at_us", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    by: str
    def __init__(self, at_us: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class RunCompleted(_message.Message):
    __slots__ = ("at_us", "output_cid", "provenance_cid", "computed", "cached")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_CID_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_CID_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    output_cid: str
    provenance_cid: str
    computed: int
    cached: int
    def __init__(self, at_us: _Optional[int] = ..., output_cid: _Optional[str] = ..., provenance_cid: _Optional[str] = ..., computed: _Optional[int] = ..., cached: _Optional[int] = ...) -> None: ...

class RunFailed(_message.Message):
    __slots__ = ("at_us", "step", "node", "error", "reason")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    step: int
    node: str
    error: str
    reason: str
    def __init__(self, at_us: _Optional[int] = ..., step: _Optional[int] = ..., node: _Optional[str] = ..., error: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RunCancelled(_message.Message):
    __slots__ = ("at_us", "reason", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    reason: str
    by: str
    def __init__(self, at_us: _Optional[int] = ..., reason: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class RunDeleted(_message.Message):
    __slots__ = ("at_us", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    by: str
    def __init__(self, at_us: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class StepStarted(_message.Message):
    __slots__ = ("at_us", "attempt", "executor", "step_type", "label")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    STEP_TYPE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    attempt: int
    executor: str
    step_type: str
    label: str
    def __init__(self, at_us: _Optional[int] = ..., attempt: _Optional[int] = ..., executor: _Optional[str] = ..., step_type: _Optional[str] = ..., label: _Optional[str] = ...) -> None: ...

class StepCompleted(_message.Message):
    __slots__ = ("at_us", "attempt", "output_cid", "size_bytes", "media_type", "duration_ms")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_CID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    attempt: int
    output_cid: str
    size_bytes: int
    media_type: str
    duration_ms: int
    def __init__(self, at_us: _Optional[int] = ..., attempt: _Optional[int] = ..., output_cid: _Optional[str] = ..., size_bytes: _Optional[int] = ..., media_type: _Optional[str] = ..., duration_ms: _Optional[int] = ...) -> None: ...

class StepAttemptFailed(_message.Message):
    __slots__ = ("at_us", "attempt", "error", "reason", "kind", "retry_ms")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RETRY_MS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    attempt: int
    error: str
    reason: str
    kind: str
    retry_ms: int
    def __init__(self, at_us: _Optional[int] = ..., attempt: _Optional[int] = ..., error: _Optional[str] = ..., reason: _Optional[str] = ..., kind: _Optional[str] = ..., retry_ms: _Optional[int] = ...) -> None: ...

class StepFailed(_message.Message):
    __slots__ = ("at_us", "attempt", "error", "reason", "kind")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    attempt: int
    error: str
    reason: str
    kind: str
    def __init__(self, at_us: _Optional[int] = ..., attempt: _Optional[int] = ..., error: _Optional[str] = ..., reason: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class StepCancelled(_message.Message):
    __slots__ = ("at_us", "attempt")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    attempt: int
    def __init__(self, at_us: _Optional[int] = ..., attempt: _Optional[int] = ...) -> None: ...

class ObjectStored(_message.Message):
    __slots__ = ("at_us", "size_bytes", "media_type", "origin")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    size_bytes: int
    media_type: str
    origin: str
    def __init__(self, at_us: _Optional[int] = ..., size_bytes: _Optional[int] = ..., media_type: _Optional[str] = ..., origin: _Optional[str] = ...) -> None: ...

class ObjectNamed(_message.Message):
    __slots__ = ("at_us", "owner", "name")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    name: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class ObjectDescribed(_message.Message):
    __slots__ = ("at_us", "owner", "description", "tags")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    description: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., description: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class ObjectPublished(_message.Message):
    __slots__ = ("at_us", "owner", "name", "description", "run_id", "recipe_cid", "provenance_cid", "activity_id", "deliver")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RECIPE_CID_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_CID_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    name: str
    description: str
    run_id: str
    recipe_cid: str
    provenance_cid: str
    activity_id: str
    deliver: bool
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., run_id: _Optional[str] = ..., recipe_cid: _Optional[str] = ..., provenance_cid: _Optional[str] = ..., activity_id: _Optional[str] = ..., deliver: _Optional[bool] = ...) -> None: ...

class ObjectUnpublished(_message.Message):
    __slots__ = ("at_us", "owner", "object_id", "activity_id", "deliver", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    object_id: str
    activity_id: str
    deliver: bool
    by: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., object_id: _Optional[str] = ..., activity_id: _Optional[str] = ..., deliver: _Optional[bool] = ..., by: _Optional[str] = ...) -> None: ...

class ObjectDelivered(_message.Message):
    __slots__ = ("at_us", "owner", "activity_id", "url", "attempts")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    activity_id: str
    url: str
    attempts: int
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., activity_id: _Optional[str] = ..., url: _Optional[str] = ..., attempts: _Optional[int] = ...) -> None: ...

class ObjectRefused(_message.Message):
    __slots__ = ("at_us", "owner", "activity_id", "reason", "attempts")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    activity_id: str
    reason: str
    attempts: int
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., activity_id: _Optional[str] = ..., reason: _Optional[str] = ..., attempts: _Optional[int] = ...) -> None: ...

class ObjectClaimed(_message.Message):
    __slots__ = ("at_us", "owner")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ...) -> None: ...

class ObjectDisowned(_message.Message):
    __slots__ = ("at_us", "owner", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    by: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class ObjectEvicted(_message.Message):
    __slots__ = ("at_us", "by", "reason", "owner")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    by: str
    reason: str
    owner: str
    def __init__(self, at_us: _Optional[int] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class ObjectRestored(_message.Message):
    __slots__ = ("at_us", "size_bytes", "media_type", "origin")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    size_bytes: int
    media_type: str
    origin: str
    def __init__(self, at_us: _Optional[int] = ..., size_bytes: _Optional[int] = ..., media_type: _Optional[str] = ..., origin: _Optional[str] = ...) -> None: ...

class RecipeRegistered(_message.Message):
    __slots__ = ("at_us", "name", "recipe_version", "description", "owner", "source_cid")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RECIPE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_CID_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    name: str
    recipe_version: str
    description: str
    owner: str
    source_cid: str
    def __init__(self, at_us: _Optional[int] = ..., name: _Optional[str] = ..., recipe_version: _Optional[str] = ..., description: _Optional[str] = ..., owner: _Optional[str] = ..., source_cid: _Optional[str] = ...) -> None: ...

class RecipeRestored(_message.Message):
    __slots__ = ("at_us", "owner", "source_cid")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_CID_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    source_cid: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., source_cid: _Optional[str] = ...) -> None: ...

class RecipeClaimed(_message.Message):
    __slots__ = ("at_us", "owner", "source_cid")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_CID_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    source_cid: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., source_cid: _Optional[str] = ...) -> None: ...

class RecipeDisowned(_message.Message):
    __slots__ = ("at_us", "owner", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    by: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class RecipeDeleted(_message.Message):
    __slots__ = ("at_us", "owner", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    by: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class EffectRegistered(_message.Message):
    __slots__ = ("at_us", "name", "effect_version", "author", "description", "kind", "owner")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EFFECT_VERSION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    name: str
    effect_version: str
    author: str
    description: str
    kind: str
    owner: str
    def __init__(self, at_us: _Optional[int] = ..., name: _Optional[str] = ..., effect_version: _Optional[str] = ..., author: _Optional[str] = ..., description: _Optional[str] = ..., kind: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class EffectClaimed(_message.Message):
    __slots__ = ("at_us", "owner")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ...) -> None: ...

class EffectDisowned(_message.Message):
    __slots__ = ("at_us", "owner", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    by: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class StorageAdded(_message.Message):
    __slots__ = ("at_us", "owner", "kind", "name", "settings", "secrets", "capacity_bytes")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    kind: str
    name: str
    settings: str
    secrets: _containers.RepeatedScalarFieldContainer[str]
    capacity_bytes: int
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., settings: _Optional[str] = ..., secrets: _Optional[_Iterable[str]] = ..., capacity_bytes: _Optional[int] = ...) -> None: ...

class StorageEdited(_message.Message):
    __slots__ = ("at_us", "name", "settings", "secrets", "dropped", "capacity_bytes")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    name: str
    settings: str
    secrets: _containers.RepeatedScalarFieldContainer[str]
    dropped: _containers.RepeatedScalarFieldContainer[str]
    capacity_bytes: int
    def __init__(self, at_us: _Optional[int] = ..., name: _Optional[str] = ..., settings: _Optional[str] = ..., secrets: _Optional[_Iterable[str]] = ..., dropped: _Optional[_Iterable[str]] = ..., capacity_bytes: _Optional[int] = ...) -> None: ...

class StorageDisabled(_message.Message):
    __slots__ = ("at_us",)
    AT_US_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    def __init__(self, at_us: _Optional[int] = ...) -> None: ...

class StorageEnabled(_message.Message):
    __slots__ = ("at_us",)
    AT_US_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    def __init__(self, at_us: _Optional[int] = ...) -> None: ...

class StorageChecked(_message.Message):
    __slots__ = ("at_us", "ok", "code", "reason")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    ok: bool
    code: str
    reason: str
    def __init__(self, at_us: _Optional[int] = ..., ok: _Optional[bool] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class StorageRemoved(_message.Message):
    __slots__ = ("at_us", "purge", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    PURGE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    purge: bool
    by: str
    def __init__(self, at_us: _Optional[int] = ..., purge: _Optional[bool] = ..., by: _Optional[str] = ...) -> None: ...

class StoragePurged(_message.Message):
    __slots__ = ("at_us", "left")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    left: int
    def __init__(self, at_us: _Optional[int] = ..., left: _Optional[int] = ...) -> None: ...

class WebhookAdded(_message.Message):
    __slots__ = ("at_us", "owner", "url", "events")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    url: str
    events: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ..., url: _Optional[str] = ..., events: _Optional[_Iterable[str]] = ...) -> None: ...

class WebhookEdited(_message.Message):
    __slots__ = ("at_us", "url", "events", "resealed")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    RESEALED_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    url: str
    events: _containers.RepeatedScalarFieldContainer[str]
    resealed: bool
    def __init__(self, at_us: _Optional[int] = ..., url: _Optional[str] = ..., events: _Optional[_Iterable[str]] = ..., resealed: _Optional[bool] = ...) -> None: ...

class WebhookDisabled(_message.Message):
    __slots__ = ("at_us", "reason")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    reason: str
    def __init__(self, at_us: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class WebhookEnabled(_message.Message):
    __slots__ = ("at_us",)
    AT_US_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    def __init__(self, at_us: _Optional[int] = ...) -> None: ...

class WebhookRemoved(_message.Message):
    __slots__ = ("at_us", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    by: str
    def __init__(self, at_us: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class NoticeRequested(_message.Message):
    __slots__ = ("at_us", "webhook_id", "run_id", "told", "end")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    webhook_id: str
    run_id: str
    told: str
    end: int
    def __init__(self, at_us: _Optional[int] = ..., webhook_id: _Optional[str] = ..., run_id: _Optional[str] = ..., told: _Optional[str] = ..., end: _Optional[int] = ...) -> None: ...

class NoticeDelivered(_message.Message):
    __slots__ = ("at_us", "attempts", "status")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    attempts: int
    status: int
    def __init__(self, at_us: _Optional[int] = ..., attempts: _Optional[int] = ..., status: _Optional[int] = ...) -> None: ...

class NoticeGaveUp(_message.Message):
    __slots__ = ("at_us", "attempts", "status", "reason")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    attempts: int
    status: int
    reason: str
    def __init__(self, at_us: _Optional[int] = ..., attempts: _Optional[int] = ..., status: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class NoticeRepeated(_message.Message):
    __slots__ = ("at_us",)
    AT_US_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    def __init__(self, at_us: _Optional[int] = ...) -> None: ...

class CopyRequested(_message.Message):
    __slots__ = ("at_us", "owner")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    owner: str
    def __init__(self, at_us: _Optional[int] = ..., owner: _Optional[str] = ...) -> None: ...

class CopyMade(_message.Message):
    __slots__ = ("at_us", "location", "size_bytes")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    location: str
    size_bytes: int
    def __init__(self, at_us: _Optional[int] = ..., location: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class CopyFailed(_message.Message):
    __slots__ = ("at_us", "attempt", "code", "reason", "again")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    attempt: int
    code: str
    reason: str
    again: bool
    def __init__(self, at_us: _Optional[int] = ..., attempt: _Optional[int] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., again: _Optional[bool] = ...) -> None: ...

class CopyRemoved(_message.Message):
    __slots__ = ("at_us",)
    AT_US_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    def __init__(self, at_us: _Optional[int] = ...) -> None: ...

class TokenAttached(_message.Message):
    __slots__ = ("at_us", "user", "generation", "expires_at", "kind")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    user: str
    generation: int
    expires_at: int
    kind: str
    def __init__(self, at_us: _Optional[int] = ..., user: _Optional[str] = ..., generation: _Optional[int] = ..., expires_at: _Optional[int] = ..., kind: _Optional[str] = ...) -> None: ...

class TokenRefused(_message.Message):
    __slots__ = ("at_us", "by", "reason")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    by: str
    reason: str
    def __init__(self, at_us: _Optional[int] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class TokenRevoked(_message.Message):
    __slots__ = ("at_us", "by", "reason")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    by: str
    reason: str
    def __init__(self, at_us: _Optional[int] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class UserJoined(_message.Message):
    __slots__ = ("at_us",)
    AT_US_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    def __init__(self, at_us: _Optional[int] = ...) -> None: ...

class UserTokensRevoked(_message.Message):
    __slots__ = ("at_us", "by", "reason")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    by: str
    reason: str
    def __init__(self, at_us: _Optional[int] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class UserErased(_message.Message):
    __slots__ = ("at_us", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    by: str
    def __init__(self, at_us: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "route", "user", "address", "count", "first_ms", "last_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_MS_FIELD_NUMBER: _ClassVar[int]
    code: str
    route: str
    user: str
    address: str
    count: int
    first_ms: int
    last_ms: int
    def __init__(self, code: _Optional[str] = ..., route: _Optional[str] = ..., user: _Optional[str] = ..., address: _Optional[str] = ..., count: _Optional[int] = ..., first_ms: _Optional[int] = ..., last_ms: _Optional[int] = ...) -> None: ...

class AuditRefused(_message.Message):
    __slots__ = ("at_us", "refusals")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    refusals: _containers.RepeatedCompositeFieldContainer[Refusal]
    def __init__(self, at_us: _Optional[int] = ..., refusals: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ...) -> None: ...

class AuditLetterRetried(_message.Message):
    __slots__ = ("at_us", "letter", "service", "name", "subject", "by")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    LETTER_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    letter: int
    service: str
    name: str
    subject: str
    by: str
    def __init__(self, at_us: _Optional[int] = ..., letter: _Optional[int] = ..., service: _Optional[str] = ..., name: _Optional[str] = ..., subject: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class AuditLetterDropped(_message.Message):
    __slots__ = ("at_us", "letter", "service", "name", "subject", "by", "reason")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    LETTER_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    letter: int
    service: str
    name: str
    subject: str
    by: str
    reason: str
    def __init__(self, at_us: _Optional[int] = ..., letter: _Optional[int] = ..., service: _Optional[str] = ..., name: _Optional[str] = ..., subject: _Optional[str] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class StoredEvent(_message.Message):
    __slots__ = ("stream", "version", "type", "data")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    stream: str
    version: int
    type: str
    data: bytes
    def __init__(self, stream: _Optional[str] = ..., version: _Optional[int] = ..., type: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class EventBatch(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[StoredEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[StoredEvent, _Mapping]]] = ...) -> None: ...

class RevokedHint(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...
