"""Makes docs/configuration.md, the table of every environment variable, from the code that reads them.

python docs/build_configuration.py           write it
python docs/build_configuration.py --check   say whether it is stale; exit 1 if it is
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

from pydantic.fields import FieldInfo  # noqa: E402

from artdag_common.config import EMPTY, SECRETS, Settings  # noqa: E402

PAGE = ROOT / "docs" / "configuration.md"
COMPOSE = ROOT / "docker-compose.yml"
SERVICES = ("gateway", "planner", "executor", "cache", "auth")
CONFIG = "artdag_common.config"
OURS = ("services.", "artdag_common.")
ASIDE = {CONFIG, "artdag_common.config_rules"}
"""Modules that look at settings without anything being done with them."""

SIZES = ((30, "GiB"), (20, "MiB"))
COMPUTED = {"ARTDAG_SLOTS": "the number of processors"}


class Other(NamedTuple):
    """A variable that no service reads from its settings."""

    readers: str
    default: str
    meaning: str


OTHERS: Mapping[str, Other] = {
    "ARTDAG_STATE": Other("`artdag`", "`~/.artdag`", "Folder of the system's data, token and logs; as `--state`"),
    "ARTDAG_SERVER": Other(
        "`artdag`, `artdag.py`", "", "Address of a server to speak to, where `artdag login` signed in; as `--server`"
    ),
    "ARTDAG_TOKEN": Other("`artdag.py`", "", "**Secret.** Token to use; empty: the one that `login` fetched"),
    "HOME": Other("`artdag`, `artdag.py`", "the user's", "Where `~` is: state, sign-ins and caches lie below it"),
    "XDG_CONFIG_HOME": Other("`artdag.py`", "`~/.config`", "Where the single-file client keeps its tokens"),
    "APPDATA": Other("`artdag.py`", "the user's", "The same on Windows"),
    "XDG_CACHE_HOME": Other(
        "`./artdag`, `services/gateway/web/build.py`", "`~/.cache`", "Where what was downloaded is kept"
    ),
    "PIP_INDEX_URL": Other("`./artdag`", "as pip is set up", "Package index of the first start"),
    "UV_DEFAULT_INDEX": Other("`./artdag`", "`PIP_INDEX_URL`", "The same for uv, which installs"),
    "UV_SYSTEM_CERTS": Other("`./artdag`", "`true`", "Certificates of the system count for uv, as for pip"),
    "DISPLAY": Other("`artdag login`", "", "With it, or `WAYLAND_DISPLAY`, a browser is opened to sign in"),
    "WAYLAND_DISPLAY": Other("`artdag login`", "", "See `DISPLAY`"),
    "CI": Other("`artdag test`", "", "`1` or `true`: tests that lack a browser fail instead of being passed over"),
    "HTTPS_PROXY": Other("`artdag`, `artdag_client`, `artdag.py`", "", "Proxy by which servers with TLS are reached"),
    "HTTP_PROXY": Other("`artdag`, `artdag_client`, `artdag.py`", "", "The same, of servers without TLS"),
    "NO_PROXY": Other("`artdag`, `artdag_client`, `artdag.py`", "", "Hosts that are reached without one, by commas"),
    "SSL_CERT_FILE": Other("`artdag`, `artdag_client`, `artdag.py`", "", "Certificates that count, of a company's own"),
    "NO_COLOR": Other("`artdag`", "", "Set: no colours on a terminal"),
    "PATH": Other("`services/gateway/web/build.py`", "the shell's", "Where Node is found, to build the pages' scripts"),
    "_ARTDAG_COMPLETE": Other("`artdag`", "set by the shell's completion", "Asks what may come next on a command line"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": Other(
        "all services",
        "",
        "Collector that gets traces, OTLP over HTTP; empty: none are recorded ([tracing.md](tracing.md))",
    ),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": Other("all services", "", "The same, for traces alone, with its whole path"),
    "OTEL_EXPORTER_OTLP_HEADERS": Other("all services", "", "**Secret.** Headers for it, by commas: `name=value`"),
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": Other("all services", "", "**Secret.** The same, for traces alone"),
    "OTEL_TRACES_EXPORTER": Other("all services", "`otlp`", "`none`: no traces are recorded"),
    "OTEL_SDK_DISABLED": Other("all services", "`false`", "`true`: no traces are recorded"),
    "SECRETS_FOLDER": Other(
        "`docker-compose.yml`", "`./secrets`", "What `artdag secrets` made ([containers.md](containers.md))"
    ),
    "IMAGE_PREFIX": Other("`docker-compose.yml`", "", "Registry of the images, with a slash at its end"),
    "IMAGE_VERSION": Other("`docker-compose.yml`", "this version", "Version of the images"),
    "GENERATION": Other("`docker-compose.yml`", "`1`", "Raised where a swarm is to take changed configs and secrets"),
    "GATEWAY_ADDRESS": Other("`docker-compose.yml`", "`127.0.0.1`", "Address on which the gateway is published"),
    "GATEWAY_PORT": Other("`docker-compose.yml`", "`8100`", "Port on which the gateway is published"),
    "EXECUTOR_CPUS": Other("`docker-compose.yml`", "`2.0`", "Processors that an executor may use"),
    "EXECUTOR_MEMORY": Other("`docker-compose.yml`", "`4g`", "Memory that an executor may use"),
    "TMPDIR": Other(
        "all services", "`/tmp`; with `artdag up`, `tmp/` in the state folder", "Where temporary files of steps lie"
    ),
    "PYTHONPATH": Other(
        "all services", "set by `artdag up` and in images", "Where the sources are: checkout and `libs`"
    ),
}

INTRODUCTION = """\
# Configuration

<!-- Made by docs/build_configuration.py from the code: change that, then run it. -->

Everything is set by environment variables, read once at the start. An empty value is as if the variable were not set,
but where the table says what it means.

**Secrets by file.** Each setting of services that is marked as secret may be given as `NAME_FILE=/path` instead: a file
of at most 64 KiB with the value in it, without which the service does not start. The newline at its end does not count.
Only one of the two may be set. (`ARTDAG_NATS_SEED`, `ARTDAG_RELAY_NATS_SEED` and `ARTDAG_ACTOR_KEY` may also be paths
themselves.)

**What is wrong is said at once.** A service that cannot work with its settings ends with exit code 1 and names all
that is wrong: the variable, its value (never of a secret), what it has to be, and the nearest that would do.
`artdag up` says it before it starts anything, `artdag doctor` without starting anything.

```text
executor: 3 settings are wrong:
  ARTDAG_SLOTS='0': has to be at least 1; the nearest is 1
  ARTDAG_CACHE_LIMIT='20GiB': has to be a whole number; did you mean 21474836480?
  ARTDAG_LOG_LEVL: nobody reads a setting of this name; did you mean ARTDAG_LOG_LEVEL?
```

A name that begins with `ARTDAG_`, `L1_` or `L2_` and is nearly one of these is such an error, since whoever set it
counts on it. One that is like none is only warned of: it may be of a newer version, beside which this one has to run
during an upgrade. Names that Kubernetes makes up for its Services are passed over.

## All variables

"""


# --- who reads what -------------------------------------------------------------------------------------------------


@cache
def source(module: str) -> Path | None:
    """Return the file of a module of ours, or None."""
    base = (ROOT if module.startswith("services") else ROOT / "libs").joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the modules of ours that a file imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return frozenset(each for each in found if each.startswith(OURS))


def modules(service: str) -> set[str]:
    """Return the modules that a service is made of."""
    found: set[str] = set()
    waiting = [f"services.{service}.wiring", "artdag_common.process"]
    while waiting:
        module = waiting.pop()
        if module in found or module in ASIDE or not (path := source(module)):
            continue
        found.add(module)
        waiting += imports(path)
    return found


@cache
def attributes(path: Path) -> frozenset[str]:
    """Return what is read from anything called ``settings``."""
    return frozenset(n.attr for n in ast.walk(tree(path)) if isinstance(n, ast.Attribute) and _settings(n))


def _settings(node: ast.Attribute) -> bool:
    return "settings" in (getattr(node.value, "id", ""), getattr(node.value, "attr", ""))


@cache
def properties() -> dict[str, set[str]]:
    """Return the fields that each property of the settings is made of."""
    path = source(CONFIG)
    assert path
    found = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef) and any(getattr(d, "id", "") == "property" for d in node.decorator_list):
            own = {
                n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute) and getattr(n.value, "id", "") == "self"
            }
            found[node.name] = own
    return {name: _fields(name, found) for name in found}


def _fields(name: str, found: Mapping[str, set[str]]) -> set[str]:
    inner = [_fields(each, found) if each in found else {each} for each in found[name]]
    return set().union(*inner)


def reads(service: str) -> set[str]:
    """Return the fields of the settings that a service reads."""
    names = set().union(*(attributes(path) for module in modules(service) if (path := source(module))))
    plain = names & set(Settings.model_fields)
    return plain.union(*(fields for name, fields in properties().items() if name in names))


def environment_names(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Return the variables that files read from the environment itself, each with the files."""
    found: dict[str, set[str]] = {}
    for path in paths:
        for name in _environment_names(tree(path)):
            found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


def _environment_names(module: ast.Module) -> Iterator[str]:
    constants = {
        node.targets[0].id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(module):
        name: ast.expr | None = None
        if isinstance(node, ast.Subscript) and _environ(node.value):
            name = node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if _environ(node.func.value) or node.func.attr == "getenv":
                name = node.args[0]
        elif isinstance(node, ast.Compare) and any(map(_environ, node.comparators)):
            name = node.left
        elif isinstance(node, ast.keyword) and node.arg == "envvar":
            name = node.value
        value = constants.get(name.id) if isinstance(name, ast.Name) else getattr(name, "value", None)
        if isinstance(value, str):
            yield value


def _environ(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "environ"


def compose_names() -> dict[str, set[str]]:
    """Return the variables that the compose file reads."""
    found = re.findall(r"(?<!\$)\$\{([A-Z][A-Z0-9_]*)", COMPOSE.read_text()) if COMPOSE.exists() else []
    return {name: {COMPOSE.name} for name in found}


def programs() -> list[Path]:
    """Return the files that an operator or a user runs: services, command line, the start of it, the client."""
    files = [path for folder in ("libs", "services") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [*files, ROOT / "artdag"]


# --- the page -------------------------------------------------------------------------------------------------------


def default(field: FieldInfo) -> str:
    """Return the default of a setting as it would be written."""
    if field.alias in COMPUTED:
        return COMPUTED[field.alias]
    match field.default:
        case "" | () | None:
            return ""
        case dict() as pairs if not pairs:
            return ""
        case bool() as flag:
            return f"`{str(flag).lower()}`"
        case int() as number:
            sizes = (f" ({number >> bits} {unit})" for bits, unit in SIZES if number and number % 2**bits == 0)
            return f"`{number}`{next(sizes, '')}"
        case float() as number:
            return f"`{number:g}`"
        case tuple() as several:
            return "`{}`".format(
                ", ".join(str(each) for each in several if isinstance(each, IPv4Network | IPv6Network))
            )
        case other:
            return f"`{other}`"


def row(cells: Iterable[str]) -> str:
    """Return a line of the table."""
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def document() -> str:
    """Return the text of the page."""
    read = {service: reads(service) for service in SERVICES}
    lines = [row(("Variable", "Default", "Read by", "Secret", "Meaning")), "|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        who = [service for service in SERVICES if name in read[service]]
        readers = "all services" if len(who) == len(SERVICES) else ", ".join(who)
        secret = "yes" if field.alias in SECRETS else ""
        lines.append(row((f"`{field.alias}`", default(field), readers, secret, field.description or "")))
    for alias, other in OTHERS.items():
        meaning = other.meaning.removeprefix("**Secret.** ")
        secret = "yes" if meaning != other.meaning else ""
        lines.append(row((f"`{alias}`", other.default, other.readers, secret, meaning)))
    return INTRODUCTION + "\n".join(lines) + "\n"


def stale() -> list[str]:
    """Return what is not as the code has it."""
    problems = []
    if not PAGE.exists() or PAGE.read_text() != document():
        problems.append(f"{PAGE.relative_to(ROOT)} is not what the code says")
    aliases = {field.alias or "" for field in Settings.model_fields.values()}
    found = compose_names() | environment_names(programs())
    for name in sorted(found.keys() - aliases - OTHERS.keys()):
        problems.append(f"{name}, which {', '.join(sorted(found[name]))} reads, is not told of: add it to OTHERS")
    read = set().union(*map(reads, SERVICES))
    problems += [f"no service reads {field.alias}" for name, field in Settings.model_fields.items() if name not in read]
    problems += [
        f"{name} has no default for an empty value to mean something else" for name in EMPTY if name not in aliases
    ]
    return problems


def main() -> int:
    """Write the page, or check it."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(document())
    problems = stale()
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("run: python docs/build_configuration.py", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
