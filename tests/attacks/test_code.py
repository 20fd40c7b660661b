"""What no line of the product may do: run text as code, compare secrets in steps, put values into SQL, trust anybody.

Each rule is a function from a syntax tree to what breaks it. What is exempt is named with its reason, line by line, so
that an exemption covers no other line; one that nothing needs any more fails the test.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from artdag_cli.system import ROOT

Rule = Callable[[ast.AST], bool]

SECRET = re.compile(
    r"(^|_)(tokens?|secrets?|passwords?|signatures?|proofs?|h?mac|digest|hash|nonce|csrf|bearer|credentials?)($|_)",
    re.IGNORECASE,
)
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
RUNNERS = frozenset({"eval", "exec", "compile", "__import__"})
LOADERS = frozenset({"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"})
UNPACKERS = frozenset({"tarfile", "zipfile", "xml", "lxml", "telnetlib", "ftplib"})
QUERIES = frozenset({"fetch", "fetchrow", "fetchval", "fetchmany", "execute", "executemany", "cursor", "prepare"})
CHECKS = frozenset({"verify", "ssl", "verify_ssl", "check_hostname", "verify_mode"})
FOLLOWING = frozenset({"follow_redirects", "allow_redirects"})
SENDERS = re.compile(r"(^|\.)_?session\.(get|post|put|delete|head|patch|request)$")
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
SAID = re.compile(r"(^|_)(token|secret|password|authorization|cookie|credential|private_key)s?($|_)", re.IGNORECASE)


def called(node: ast.AST) -> str:
    """Return the name of what a node calls, with dots; empty: it is no call."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def heads(side: ast.AST) -> Iterator[str]:
    """Yield what a side of a comparison is called: a variable, an attribute, a key, or the function that gives it."""
    match side:
        case ast.Name(name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(str(name))):
            yield name
        case ast.Subscript(value=value) | ast.Await(value) | ast.NamedExpr(value=value):
            yield from heads(value)
        case ast.Call(func=function):
            yield from heads(function)
        case ast.Tuple(elements) | ast.List(elements):
            for each in elements:
                yield from heads(each)


def compares_a_secret(node: ast.AST) -> bool:
    """``==`` on what proves something takes the longer the more of it is right: ``hmac.compare_digest`` does not."""
    if not isinstance(node, ast.Compare) or not any(isinstance(o, ast.Eq | ast.NotEq) for o in node.ops):
        return False
    sides = [node.left, *node.comparators]
    if any(isinstance(side, ast.Constant) for side in sides) or any(called(side) == "len" for side in sides):
        return False
    return any(SECRET.search(name) for side in sides for name in heads(side))


def runs_text(node: ast.AST) -> bool:
    """Text that becomes code."""
    return called(node) in RUNNERS


def loads_objects(node: ast.AST) -> bool:
    """Formats whose reading runs code, and archives whose unpacking leaves the folder."""
    modules: list[str] = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = [node.module or ""]
    return any(module.partition(".")[0] in LOADERS | UNPACKERS for module in modules)


def builds_from_yaml(node: ast.AST) -> bool:
    """YAML is taken apart event by event: nothing of it builds objects, and no alias is followed unasked."""
    name = called(node)
    return name.startswith("yaml.") and name != "yaml.parse"


def starts_a_shell(node: ast.AST) -> bool:
    """Programs are started by list."""
    if called(node) in ("os.system", "os.popen", "subprocess.getoutput", "asyncio.create_subprocess_shell"):
        return True
    return isinstance(node, ast.Call) and any(
        word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False)
        for word in node.keywords
    )


def puts_values_into_sql(node: ast.AST) -> bool:
    """Statements are put together from constants; values travel beside them."""
    if not isinstance(node, ast.Call) or called(node).rpartition(".")[2] not in QUERIES or not node.args:
        return False
    text = node.args[0]
    if isinstance(text, ast.BinOp):
        return True
    if isinstance(text, ast.Call) and called(text).rpartition(".")[2] in ("format", "join", "replace"):
        return True
    return isinstance(text, ast.JoinedStr) and any(
        isinstance(part, ast.FormattedValue) and not CONSTANT.fullmatch(ast.unparse(part.value).rpartition(".")[2])
        for part in text.values
    )


def trusts_any_certificate(node: ast.AST) -> bool:
    """A certificate that does not fit ends the connection."""
    if isinstance(node, ast.Attribute) and node.attr in ("CERT_NONE", "_create_unverified_context"):
        return True
    return isinstance(node, ast.Call) and any(
        word.arg in CHECKS and isinstance(word.value, ast.Constant) and word.value.value is False
        for word in node.keywords
    )


def follows_redirects(node: ast.AST) -> bool:
    """An answer must not choose where the server goes next, so requests of the services say that they do not follow."""
    if not isinstance(node, ast.Call):
        return False
    said = {word.arg: word.value for word in node.keywords if word.arg in FOLLOWING}
    if any(not (isinstance(value, ast.Constant) and value.value is False) for value in said.values()):
        return True
    return bool(SENDERS.search(called(node))) and not said


def logs_a_secret(node: ast.AST) -> bool:
    """Logs are read by more people than secrets are for."""
    name = called(node)
    return (
        isinstance(node, ast.Call)
        and re.fullmatch(r"_?log(ger|ging)?\.\w+", name) is not None
        and name.rpartition(".")[2] in LEVELS
        and any(SAID.search(word.arg or "") for word in node.keywords)
    )


def makes_secrets_of_chance(node: ast.AST) -> bool:
    """``random`` can be foretold; secrets come from ``secrets``."""
    return isinstance(node, ast.Import | ast.ImportFrom) and any(
        module.partition(".")[0] == "random"
        for module in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    )


RULES: tuple[Rule, ...] = (
    compares_a_secret,
    runs_text,
    loads_objects,
    builds_from_yaml,
    starts_a_shell,
    puts_values_into_sql,
    trusts_any_certificate,
    follows_redirects,
    logs_a_secret,
    makes_secrets_of_chance,
)

EXEMPT: dict[tuple[str, str, str], str] = {
    ("compares_a_secret", "services/gateway/api/uploading.py", "digest.digest() != checksum.digest"): (
        "a checksum of the sender's own bytes, which the sender told us"
    ),
    ("compares_a_secret", "libs/artdag_common/eventstore/chain.py", "expected != row['hash']"): (
        "hashes of the log, which are public"
    ),
    ("compares_a_secret", "libs/artdag_common/eventstore/excerpt.py", "each.hash != expected"): "the same",
    ("compares_a_secret", "libs/artdag_common/eventstore/excerpt.py", "each.previous != before.hash"): "the same",
    (
        "compares_a_secret",
        "libs/artdag_common/ipld/car.py",
        "hashlib.sha256(data).digest() != cid[-32:]",
    ): "content against its name, both known to whoever sends it",
    (
        "compares_a_secret",
        "libs/artdag_common/ipld/car.py",
        "hashlib.sha256(block).digest() != cid[-32:]",
    ): "the same",
    ("compares_a_secret", "libs/artdag_common/ipld/hamt.py", "shard.hash_type != MURMUR3_X64_64"): (
        "the number of a hash function"
    ),
    ("compares_a_secret", "services/gateway/web/static_files.py", "state == digest()"): (
        "the name of the pages' files together, which every page tells"
    ),
    ("compares_a_secret", "services/gateway/web/download/artdag.py", "token == STDIO"): (
        "the sign for standard input, in a program that runs with whoever has the token"
    ),
    (
        "builds_from_yaml",
        "services/gateway/web/editor.py",
        "yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)",
    ): "it writes YAML, of what was read as JSON",
    (
        "builds_from_yaml",
        "libs/artdag_cli/credentials.py",
        "yaml.safe_dump(document, sort_keys=False, explicit_start=True, width=4096)",
    ): "it writes YAML, of what it made itself",
    (
        "runs_text",
        "libs/artdag_common/isolation/runner.py",
        "exec(compile(setup['source'], 'effect.py', 'exec', dont_inherit=True), module.__dict__)",
    ): "an uploaded effect, inside the sandbox",
    (
        "runs_text",
        "libs/artdag_common/isolation/runner.py",
        "compile(setup['source'], 'effect.py', 'exec', dont_inherit=True)",
    ): "the same",
    ("makes_secrets_of_chance", "libs/artdag_common/isolation/runner.py", "import random"): (
        "seeded by the step, so that an effect gives the same twice"
    ),
    ("makes_secrets_of_chance", "services/cache/replication.py", "import random"): "spreads attempts in time",
    ("makes_secrets_of_chance", "services/cache/delivery.py", "import random"): "the same",
    ("makes_secrets_of_chance", "services/cache/telling.py", "import random"): "the same",
    ("makes_secrets_of_chance", "libs/artdag_common/messaging/consumer.py", "import random"): "the same",
    (
        "puts_values_into_sql",
        "services/gateway/projections/objects.py",
        "pool.fetch(f'SELECT * FROM ({pages}) t ORDER BY position DESC LIMIT $7', *wanted, limit, before)",
    ): "parts written in this code; their values are arguments",
    (
        "puts_values_into_sql",
        "services/gateway/projections/objects.py",
        "pool.fetchval(f'SELECT {counts}', *wanted)",
    ): "the same",
    (
        "puts_values_into_sql",
        "libs/artdag_common/eventstore/roles.py",
        "connection.execute(f\"{verb} ROLE {quoted(name)} PASSWORD '{kept}'\")",
    ): "the names of our own roles, and a verifier that we made; such statements take no arguments",
    (
        "puts_values_into_sql",
        "libs/artdag_common/eventstore/roles.py",
        "connection.execute(f'GRANT {quoted(name)} TO CURRENT_USER')",
    ): "the same",
    (
        "puts_values_into_sql",
        "libs/artdag_common/eventstore/roles.py",
        "connection.execute(f'ALTER ROLE {quoted(name)} LOGIN')",
    ): "the same",
    (
        "puts_values_into_sql",
        "services/gateway/projections/rows.py",
        "pool.fetch(f'SELECT * FROM {table} WHERE {column} = $1 AND ($3::bigint IS NULL OR position"
        " < $3)\\n        ORDER BY position DESC LIMIT $2', value, limit, before)",
    ): "names of tables and columns, written in this code",
    (
        "puts_values_into_sql",
        "services/gateway/projections/rows.py",
        "pool.fetchval(f'SELECT count(*) FROM {table} WHERE {column} = $1', value)",
    ): "the same",
    (
        "puts_values_into_sql",
        "services/gateway/projections/catalogue.py",
        "pool.fetchrow(f'SELECT * FROM {self._table} t WHERE {visibility.SEEN} AND {column} = $2\\n "
        "           ORDER BY {visibility.OWN_FIRST}, {order} LIMIT 1', viewer, value)",
    ): "the same",
    (
        "puts_values_into_sql",
        "services/gateway/projections/catalogue.py",
        "pool.fetch(f'SELECT DISTINCT name FROM {self._table} t WHERE {visibility.SEEN} ORDER BY na"
        "me LIMIT {MOST_NAMES}', viewer)",
    ): "the same",
    (
        "puts_values_into_sql",
        "services/gateway/projections/audit.py",
        "pool.fetch(f'SELECT * FROM rm_audit {where} ORDER BY place {order} LIMIT $1', *arguments)",
    ): "conditions written in this code; their values are arguments",
    (
        "puts_values_into_sql",
        "services/gateway/projections/projector.py",
        "connection.execute(f\"TRUNCATE {', '.join(tables())}\")",
    ): "names of tables, written in this code",
    (
        "puts_values_into_sql",
        "libs/artdag_common/eventstore/schema.py",
        "connection.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {each.name}', timeout=INDEX_SECONDS)",
    ): "a name that stands in schema.sql, of letters and digits",
    (
        "puts_values_into_sql",
        "libs/artdag_common/eventstore/holds.py",
        "self._pool.execute(f'SELECT {call.function}({arguments})', *(value for value, _ in call.args))",
    ): "the name of a function, and types, written in this code",
}


@cache
def findings() -> dict[tuple[str, str, str], list[int]]:
    """Return what breaks the rules: rule, file and line of code, with the numbers of the lines."""
    found: dict[tuple[str, str, str], list[int]] = {}
    files = [*(ROOT / "services").rglob("*.py"), *(ROOT / "libs").rglob("*.py"), ROOT / "artdag", ROOT / "render.py"]
    for path in files:
        if "pb" in path.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            for rule in RULES:
                if rule(node):
                    key = (rule.__name__, str(path.relative_to(ROOT)), ast.unparse(node))
                    found.setdefault(key, []).append(getattr(node, "lineno", 0))
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_no_code_breaks_the_rule(rule: Rule) -> None:
    broken = {key: lines for key, lines in findings().items() if key[0] == rule.__name__ and key not in EXEMPT}
    assert not broken, "\n".join(
        f"{file}:{lines[0]}: {code}\n    {rule.__doc__}" for (_, file, code), lines in broken.items()
    )


def test_every_exemption_is_needed() -> None:
    assert set(EXEMPT) <= set(findings()), sorted(set(EXEMPT) - set(findings()))


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (compares_a_secret, "if shown == self.token_hash: pass"),
        (compares_a_secret, "given['signature'] != expected"),
        (runs_text, "eval(text)"),
        (runs_text, "exec(compile(text, 'x', 'exec'))"),
        (loads_objects, "import pickle"),
        (loads_objects, "from xml.etree import ElementTree"),
        (builds_from_yaml, "yaml.load(text, Loader=yaml.SafeLoader)"),
        (starts_a_shell, "subprocess.run(text, shell=True)"),
        (starts_a_shell, "os.system(text)"),
        (puts_values_into_sql, "pool.fetch(f'SELECT {name}')"),
        (puts_values_into_sql, "pool.execute('DELETE FROM t WHERE a = ' + name)"),
        (puts_values_into_sql, "pool.execute('SELECT %s' % name)"),
        (puts_values_into_sql, "pool.fetchval('SELECT {}'.format(name))"),
        (trusts_any_certificate, "httpx.get(url, verify=False)"),
        (trusts_any_certificate, "context.verify_mode = ssl.CERT_NONE"),
        (follows_redirects, "self._session.get(url)"),
        (follows_redirects, "httpx.AsyncClient(follow_redirects=True)"),
        (logs_a_secret, "log.info('signed in', token=token)"),
        (makes_secrets_of_chance, "from random import choice"),
    ],
)
def test_the_rule_finds_what_it_is_for(rule: Rule, code: str) -> None:
    assert any(rule(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (compares_a_secret, "hmac.compare_digest(shown, self.token_hash)"),
        (compares_a_secret, "token == ''"),
        (compares_a_secret, "len(nonce) == SIZE"),
        (puts_values_into_sql, "pool.fetch('SELECT $1', name)"),
        (puts_values_into_sql, "pool.fetch(f'{BOOKS} WHERE cid = $1', cid)"),
        (starts_a_shell, "subprocess.run([program, text])"),
        (follows_redirects, "self._session.get(url, allow_redirects=False)"),
        (logs_a_secret, "log.info('signed in', user=user)"),
    ],
)
def test_the_rule_lets_the_right_way_pass(rule: Rule, code: str) -> None:
    assert not any(rule(node) for node in ast.walk(ast.parse(code)))
