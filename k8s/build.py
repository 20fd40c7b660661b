"""Makes what is derived below k8s/: settings in the chart's schema, and the plain manifests.

python k8s/build.py           write it
python k8s/build.py --check   say what is stale, missing or too many; exit 1 if anything is
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

import yaml  # noqa: E402
from helm_python import Chart  # noqa: E402

from artdag_common.config import SECRETS, Settings  # noqa: E402

FOLDER = ROOT / "k8s"
CHART = FOLDER / "artdag"
PLAIN = FOLDER / "plain"
ALERTS = ROOT / "monitoring" / "alerts.yml"

NAME = "artdag"
"""Release and namespace of the plain manifests."""
PLAIN_VALUES = {"secrets": {"prefix": "artdag-"}}

NOWHERE = frozenset({"ARTDAG_IMPORT_DIRS", "ARTDAG_STORAGE_DIRS"})
"""Settings that name folders of the machine: there is none of them in a pod."""

ITS_OWN = frozenset(
    {
        "ARTDAG_CACHE_DUTIES",
        "ARTDAG_CACHE_LIMIT",
        "ARTDAG_CONTENT_HOST",
        "ARTDAG_CONTENT_PORT",
        "ARTDAG_CONTENT_URL",
        "ARTDAG_DRAIN_SECONDS",
        "ARTDAG_LOG_FORMAT",
        "ARTDAG_NATS_REPLICAS",
        "ARTDAG_PROBE_HOST",
        "ARTDAG_PROBE_PORT",
        "ARTDAG_SLOTS",
        "ARTDAG_TRUSTED_PROXIES",
        "ARTDAG_WORK_CLASSES",
        "CACHE_DIR",
        "HOST",
        "IPFS_API",
        "IPFS_PRIMARY",
        "L1_PUBLIC_URL",
        "L2_DOMAIN",
        "L2_SERVER",
        "PORT",
    }
)
"""Settings that the chart sets from values of other names, or that go with how it runs things."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one, where there is one."""

HEAD = "# Made by k8s/build.py from the chart in k8s/artdag: change that, then run it.\n"


def free_settings() -> dict[str, str]:
    """Return the settings that ``config`` may hold, with what each is."""
    fields = [field for field in Settings.model_fields.values() if field.alias not in {*SECRETS, *ITS_OWN, *NOWHERE}]
    return {str(field.alias): field.description or "" for field in sorted(fields, key=lambda each: str(each.alias))}


def schema() -> str:
    """Return the schema of the chart's values, with the settings as they are in the code."""
    path = CHART / "values.schema.json"
    found: dict[str, Any] = json.loads(path.read_text())
    values = {
        name: {"type": ["string", "number", "boolean"], "description": text} for name, text in free_settings().items()
    }
    found["properties"]["config"] = {
        "type": "object",
        "description": "Settings of docs/operations.md; what has a value of its own, and secrets, are not among them",
        "additionalProperties": False,
        "properties": values,
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def rendered(values: Mapping[str, Any], chart: Path = CHART, **options: Any) -> dict[str, str]:
    """Return what a chart renders, by the name of the template, without what is empty."""
    with Chart.load(chart) as loaded:
        found = loaded.render(dict(values), **{"name": NAME, "namespace": NAME, **options})
    texts = {Path(path).name: re.sub(r"\n{2,}", "\n", text).strip() + "\n" for path, text in found.items()}
    return {name: text for name, text in texts.items() if name.endswith(".yaml") and objects(text)}


def objects(text: str) -> list[dict[str, Any]]:
    """Return the objects of a manifest."""
    return [each for each in yaml.load_all(text, LOADER) if each]


def plain() -> dict[str, str]:
    """Return the plain manifests by file name."""
    files = {name: HEAD + text for name, text in rendered(PLAIN_VALUES).items()}
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME, "labels": level}}
    files["namespace.yaml"] = HEAD + yaml.safe_dump(namespace, sort_keys=False)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAME,
        "resources": ["namespace.yaml", *sorted(set(files) - {"namespace.yaml"})],
    }
    files["kustomization.yaml"] = HEAD + yaml.safe_dump(kustomization, sort_keys=False)
    return files


def derived() -> dict[Path, str]:
    """Return all that is made here."""
    files = {PLAIN / name: text for name, text in plain().items()}
    files[CHART / "values.schema.json"] = schema()
    if ALERTS.exists():
        files[CHART / "files" / "alerts.yaml"] = ALERTS.read_text()
    return files


def stale() -> list[str]:
    """Return what is not as it would be made, by path and in words."""
    files = derived()
    there = {*PLAIN.glob("*"), *(CHART / "files").glob("*")}
    wrong = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    return [str(path.relative_to(ROOT)) for path in sorted({*wrong, *(there - set(files))})]


def main() -> int:
    """Write, or check."""
    if sys.argv[1:] == ["--check"]:
        found = stale()
        for each in found:
            print(f"{each} is stale: run python k8s/build.py")
        return bool(found)
    (CHART / "values.schema.json").write_text(schema())  # first: rendering checks the values against it
    files = derived()
    for path in {*PLAIN.glob("*"), *(CHART / "files").glob("*")} - set(files):
        path.unlink()
    for path, text in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
