from artdag_common.pb import events_pb2 as _events_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StartRun(_message.Message):
    __slots__ = ("run_id", "recipe_cid", "owner", "inputs", "output_name", "hold")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RECIPE_CID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_NAME_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    recipe_cid: str
    owner: str
    inputs: _containers.RepeatedCompositeFieldContainer[_events_pb2.InputBinding]
    output_name: str
    hold: bool
    def __init__(self, run_id: _Optional[str] = ..., recipe_cid: _Optional[str] = ..., owner: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_events_pb2.InputBinding, _Mapping]]] = ..., output_name: _Optional[str] = ..., hold: _Optional[bool] = ...) -> None: ...

class ExecuteRun(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class CancelRun(_message.Message):
    __slots__ = ("run_id", "reason")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    reason: str
    def __init__(self, run_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DeleteRun(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("recipe_cid",)
    RECIPE_CID_FIELD_NUMBER: _ClassVar[int]
    recipe_cid: str
    def __init__(self, recipe_cid: _Optional[str] = ...) -> None: ...

class RegisterEffect(_message.Message):
    __slots__ = ("effect_cid", "owner")
    EFFECT_CID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    effect_cid: str
    owner: str
    def __init__(self, effect_cid: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

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

class AttachToken(_message.Message):
    __slots__ = ("token_hash", "user")
    TOKEN_HASH_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    token_hash: str
    user: str
    def __init__(self, token_hash: _Optional[str] = ..., user: _Optional[str] = ...) -> None: ...

class RevokeToken(_message.Message):
    __slots__ = ("token_hash",)
    TOKEN_HASH_FIELD_NUMBER: _ClassVar[int]
    token_hash: str
    def __init__(self, token_hash: _Optional[str] = ...) -> None: ...

class ExecuteStep(_message.Message):
    __slots__ = ("cache_id", "step_type", "config", "label", "inputs", "version", "deliver")
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    cache_id: str
    step_type: str
    config: str
    label: str
    inputs: _containers.RepeatedScalarFieldContainer[str]
    version: int
    deliver: bool
    def __init__(self, cache_id: _Optional[str] = ..., step_type: _Optional[str] = ..., config: _Optional[str] = ..., label: _Optional[str] = ..., inputs: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ..., deliver: _Optional[bool] = ...) -> None: ...

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

class StepTick(_message.Message):
    __slots__ = ("cache_id", "done", "total")
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    cache_id: str
    done: int
    total: int
    def __init__(self, cache_id: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...
