"""Effects that users upload: one Python file each, known by its CID. Read here, never run here.

What a file says of itself stands in its header, so that nothing has to be executed to know it. Running is the business
of :mod:`artdag_common.isolation`.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from artdag_common.cid import cid_of, is_cid
from artdag_common.effects.base import Effect, Kind, Uploaded
from artdag_common.effects.header import Findings, Header, read_header
from artdag_common.effects.parameters import read_params
from artdag_common.effects.requirement import name_of, problem_of, version_problem
from artdag_common.errors import CidMismatchError, InvalidEffectError, UnknownEffectError
from artdag_common.isolation.view import OFFERED, offered

MAX_BYTES = 256 * 1024
KEPT = 500
FUNCTIONS: dict[Kind, tuple[str, tuple[str, ...]]] = {
    "frame": ("process_frame", ("frame", "params", "state")),
    "media": ("process", ("inputs", "output", "params", "ctx")),
}
"""By kind: the function that the file has to hold, and its arguments."""
NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
TEXTS = {"version": 50, "author": 200, "description": 2000}
KEYS = ("name", *TEXTS, "kind", "params")
TOP = ("requires-python", "dependencies", "tool")

FindPath = Callable[[str], Path | None]

_find_path: FindPath = lambda cid: None  # noqa: E731
_read: OrderedDict[str, Effect] = OrderedDict()
_only: ContextVar[tuple[Container[str], set[str]] | None] = ContextVar("only", default=None)


def look_in(find_path: FindPath) -> None:
    """Say where uploaded effects are: ``find_path`` gives the local file of a CID, or None. Once, at the start."""
    global _find_path
    _find_path = find_path
    _read.clear()


@contextmanager
def only(cids: Container[str]) -> Iterator[set[str]]:
    """Let no others than these be found in the block, also in threads that it starts, as if they were not stored here.

    Gives the CIDs that are asked for, as they are.
    """
    asked: set[str] = set()
    token = _only.set((cids, asked))
    try:
        yield asked
    finally:
        _only.reset(token)


def find(cid: str) -> Effect:
    """Return the uploaded effect with this CID, in its canonical form.

    Raises:
        UnknownEffectError: it is not stored here, or is something else than an effect.
    """
    if (limit := _only.get()) is not None:
        limit[1].add(cid)
        if cid not in limit[0]:
            raise unknown(cid)
    if found := _read.get(cid):
        _read.move_to_end(cid)
        return found
    path = _find_path(cid)
    if path is None:
        raise unknown(cid)
    try:
        found = parse(_bytes_of(path, cid), path)
    except InvalidEffectError as error:
        first = error.problems[0]
        reason = f"line {first['line']}: {first['problem']}"
        raise UnknownEffectError(f"{cid} is not an effect: {reason}", effect=cid) from error
    except CidMismatchError as error:
        raise UnknownEffectError(error.message, effect=cid) from error
    _read[cid] = found
    while len(_read) > KEPT:
        _read.popitem(last=False)
    return found


def unknown(cid: str) -> UnknownEffectError:
    """Return the error for an effect that is not stored here."""
    return UnknownEffectError(f"unknown effect {cid}; upload it with POST /effects/upload", effect=cid)


def source_of(effect: Effect) -> str:
    """Return the source of an uploaded effect, read anew and compared with its CID: what is run is what was named.

    Raises:
        CidMismatchError: the file holds something else.
        UnknownEffectError: the file is gone.
    """
    return _bytes_of(effect.source, effect.cid).decode()


def parse(data: bytes, path: Path) -> Effect:
    """Return the effect that a file holds. Nothing in it is run.

    Args:
        path: where the file is.

    Raises:
        InvalidEffectError: with every problem: ``line`` (from 1), ``field``, ``problem`` and mostly ``value``.
    """
    findings = Findings()
    source = _text_of(data, findings)
    header = read_header(source, findings) if source else None
    tree = _tree_of(source, findings) if source else None
    if header is None or tree is None:
        raise InvalidEffectError(findings.problems)
    modules = _requirements(header, findings)
    meta = _meta(header, findings)
    texts = {key: _text(header, meta, key, most, findings) for key, most in TEXTS.items()}
    name = meta.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name) or is_cid(name):
        rule = "the name is 1 to 64 small letters, digits, '_' and '-', and begins with a letter"
        findings.add(header.line_of("tool", "artdag", "name"), "tool.artdag.name", rule, name)
    kind = meta.get("kind", "frame")
    if kind not in FUNCTIONS:
        rule = "the kind is 'frame' (process_frame) or 'media' (process)"
        findings.add(header.line_of("tool", "artdag", "kind"), "tool.artdag.kind", rule, kind)
    else:
        _check_function(tree, kind, findings)
    params = read_params(header, meta.get("params", {}), findings)
    if findings.problems:
        raise InvalidEffectError(sorted(findings.problems, key=lambda each: each["line"]))
    return Effect(
        name=str(name),
        params=params,
        process_frame=_only_isolated,
        source=path,
        kind=kind,
        uploaded=Uploaded(cid_of(data), modules),
        version=texts["version"],
        author=texts["author"],
        description=texts["description"],
    )


def _only_isolated(frame: Any, params: Any, state: Any) -> Any:
    raise AssertionError("uploaded effects run isolated only")


def _bytes_of(path: Path, cid: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnknownEffectError(f"effect {cid} is not stored here any more: {error.strerror}", effect=cid) from error
    if len(data) <= MAX_BYTES and cid_of(data) != cid:
        raise CidMismatchError(f"the file of effect {cid} holds something else, so it is not used", cid=cid)
    return data


# --- the file ---


def _text_of(data: bytes, findings: Findings) -> str:
    if not data:
        findings.add(1, "file", "the file is empty")
    elif len(data) > MAX_BYTES:
        findings.add(1, "file", f"an effect has at most {MAX_BYTES} bytes", len(data))
    else:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            findings.add(line, "file", f"an effect is UTF-8 text, but byte {error.start} is not")
    return ""


def _tree_of(source: str, findings: Findings) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the style of strangers
            return ast.parse(source)
    except SyntaxError as error:
        findings.add(error.lineno or 1, "file", f"not Python {_python()}: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:
        findings.add(1, "file", f"not Python {_python()}: {str(error) or 'nested too deep'}")
    return None


def _check_function(tree: ast.Module, kind: Kind, findings: Findings) -> None:
    name, arguments = FUNCTIONS[kind]
    signature = f"{name}({', '.join(arguments)})"
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if not found:
        asynchronous = [n for n in tree.body if isinstance(n, ast.AsyncFunctionDef) and n.name == name]
        line = asynchronous[0].lineno if asynchronous else 1
        what = "it is 'async' here" if asynchronous else "there is none at the top of the file"
        findings.add(line, name, f"an effect of kind {kind!r} has a function {signature}; {what}")
        return
    own = found[-1].args  # the last one is the one that is called
    takes = len(own.posonlyargs) + len(own.args)
    fits = takes - len(own.defaults) <= len(arguments) and (takes >= len(arguments) or own.vararg is not None)
    if not fits or any(default is None for default in own.kw_defaults):
        findings.add(found[-1].lineno, name, f"the function is called as {signature}", ast.unparse(own))


# --- the header ---


def _requirements(header: Header, findings: Findings) -> tuple[str, ...]:
    """Return the packages that the effect imports."""
    for key in header.values.keys() - {*TOP}:
        findings.add(header.line_of(key), key, f"unknown key; known are {', '.join(TOP)}")
    python = header.values.get("requires-python", "")
    problem = "text like '>=3.11'" if not isinstance(python, str) else version_problem(python, _python(), "Python")
    if problem:
        findings.add(header.line_of("requires-python"), "requires-python", problem, python)
    wanted = header.values.get("dependencies", [])
    line = header.line_of("dependencies")
    if not isinstance(wanted, list) or not all(isinstance(item, str) for item in wanted):
        findings.add(line, "dependencies", "the dependencies are a list of texts", wanted)
        return ()
    known = dict.fromkeys(OFFERED, "") | offered()
    for item in wanted:
        if problem := problem_of(item, known):
            findings.add(line, "dependencies", problem, item)
    return tuple(dict.fromkeys(name_of(item) for item in wanted))


def _meta(header: Header, findings: Findings) -> dict[str, Any]:
    tool = header.values.get("tool")
    meta = tool.get("artdag") if isinstance(tool, dict) else None
    if not isinstance(meta, dict):
        findings.add(header.line, "tool.artdag", f"the header has no table [tool.artdag] with {', '.join(KEYS)}")
        return {}
    for key in meta.keys() - {*KEYS}:
        findings.add(
            header.line_of("tool", "artdag", key), f"tool.artdag.{key}", f"unknown key; known are {', '.join(KEYS)}"
        )
    return meta


def _text(header: Header, meta: dict[str, Any], key: str, most: int, findings: Findings) -> str:
    value = meta.get(key)
    if (
        isinstance(value, str)
        and value.strip()
        and len(value) <= most
        and (key == "description" or value.isprintable())
    ):
        return value
    rule = f"the {key} is text of 1 to {most} characters"
    findings.add(header.line_of("tool", "artdag", key), f"tool.artdag.{key}", rule, value)
    return ""


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
