"""Makes the dashboards in monitoring/grafana/dashboards from those in monitoring/dashboards.

python monitoring/build.py           write them
python monitoring/build.py --check   say whether they are stale; exit 1 if they are
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from monitoring.dashboards import bus_and_relay, content, overview, runs_and_steps  # noqa: E402
from monitoring.dashboards.panels import WIDTH, Dashboard, Panel, Row  # noqa: E402

FOLDER = ROOT / "monitoring" / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HEIGHT = 8

OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name", "graphMode": "none"},
    "table": {},
}

DASHBOARDS: dict[str, Dashboard] = {
    "overview": overview.DASHBOARD,
    "runs-and-steps": runs_and_steps.DASHBOARD,
    "bus-and-relay": bus_and_relay.DASHBOARD,
    "content": content.DASHBOARD,
}


def variables() -> list[dict[str, Any]]:
    """Return the choices at the top: the data source, and of which processes."""
    chosen = {"text": "All", "value": "$__all"}
    query = [
        ("job", "label_values(artdag_build_info, job)"),
        ("instance", 'label_values(artdag_build_info{job=~"$job"}, instance)'),
    ]
    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        *(
            {
                "name": name,
                "type": "query",
                "datasource": SOURCE,
                "definition": definition,
                "query": {"query": definition, "refId": name},
                "includeAll": True,
                "multi": True,
                "current": chosen,
                "refresh": 2,
                "sort": 1,
            }
            for name, definition in query
        ),
    ]


def panel(it: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """Return a panel as Grafana has it."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if it.bad_from is not None:
        steps.append({"color": "red", "value": it.bad_from})
    custom: dict[str, Any] = {}
    if it.kind == "timeseries":
        custom = {"fillOpacity": 20 if it.stacked else 0, "showPoints": "never"}
        custom["stacking"] = {"mode": "normal" if it.stacked else "none"}
    as_table: dict[str, Any] = {"instant": True, "format": "table"} if it.kind == "table" else {}
    targets = [
        {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": name, "datasource": SOURCE} | as_table
        for place, (expression, name) in enumerate(it.lines)
    ]
    return {
        "id": number,
        "type": it.kind,
        "title": it.title,
        "description": it.help_text,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": it.width, "h": HEIGHT if it.kind != "stat" else HEIGHT // 2},
        "fieldConfig": {
            "defaults": {
                "unit": it.unit,
                "min": 0,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": OPTIONS[it.kind],
        "targets": targets,
    }


def panels(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return rows and panels, placed from left to right and from top to bottom."""
    numbers, y, placed = count(1), 0, []
    for row in rows:
        heading = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        placed.append({"id": next(numbers), "type": "row", "title": row.title, "gridPos": heading, "panels": []})
        x, y, tallest = 0, y + 1, 0
        for each in row.panels:
            if x + each.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            made = panel(each, next(numbers), x, y)
            placed.append(made)
            x, tallest = x + each.width, max(tallest, made["gridPos"]["h"])
        y += tallest
    return placed


def dashboard(name: str) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    it = DASHBOARDS[name]
    return {
        "uid": f"artdag-{name}",
        "title": it.title,
        "description": it.about,
        "tags": ["artdag"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "links": [{"type": "dashboards", "tags": ["artdag"], "title": "Art DAG", "asDropdown": True}],
        "templating": {"list": variables()},
        "annotations": {"list": []},
        "panels": panels(it.rows),
    }


def main() -> None:
    """Write the dashboards, or say which are stale."""
    stale = []
    for name in DASHBOARDS:
        path, text = FOLDER / f"{name}.json", json.dumps(dashboard(name), indent=1) + "\n"
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if "--check" not in sys.argv[1:]:
                path.write_text(text)
    if stale and "--check" in sys.argv[1:]:
        raise SystemExit(f"stale: {', '.join(stale)}; run python monitoring/build.py")


if __name__ == "__main__":
    main()
