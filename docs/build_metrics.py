"""Makes docs/metrics.md, the tables of every metric and every alert, from the code that counts and the rules.

python docs/build_metrics.py           write it
python docs/build_metrics.py --check   say whether it is stale; exit 1 if it is
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

from artdag_common import metrics  # noqa: E402

PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "monitoring" / "alerts.yml"

INTRODUCTION = """# Metrics, alerts and dashboards

Made by `docs/build_metrics.py` from `libs/artdag_common/metrics.py` and `monitoring/alerts.yml`.

## Where they are

| | Who answers | What |
|---|---|---|
| each process, `http://…:ARTDAG_PROBE_PORT/metrics` | itself | what this process counts: the tables below |
| the gateway, `/metrics` on its own port | any, for all | how all stands: [operations.md](operations.md#metrics) |

`ARTDAG_PROBE_PORT` is 0 unless it is set: then no port is open, nothing is counted and prometheus-client is not
loaded. The containers set it to 9100, on `0.0.0.0`. It asks for no token: keep it inside a network of your own. With
`ARTDAG_PROBE_PORT=9100 ./artdag up` the services answer on 9100 and the ports after it, in the order `auth`, `cache`,
`planner`, `executor`, `gateway`, on `ARTDAG_PROBE_HOST` (`127.0.0.1`). `/health` and `/ready` are there too:
[operations.md](operations.md#probes).

`monitoring/` has what reads it: `prometheus.yml` (every service of `docker-compose.yml`, each replica a target),
`alerts.yml` with tests for each alert in `alerts.test.yml`, and four dashboards for Grafana, made by
`monitoring/build.py` from `monitoring/dashboards`. Rules and dashboards expect the name of the service as `job`; of the
gateways' figures of the whole the job is `system`. Every gateway tells nearly all of these alike: rules of your own
take the maximum of them, and not the sum.

    promtool check rules monitoring/alerts.yml
    promtool test rules monitoring/alerts.test.yml

No label takes values that people choose: not addresses but templates of routes, not users, not runs. A metric has
{most:,} combinations of labels at most; what is new after that is counted as `{other}`. Media processes are not counted
themselves: the executor counts what comes of them, so their memory and processor time are not in `process_*`.

What people wait for has buckets from {short}, renders from {long}.

"""

PROCESS = """## Of every Python process

`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_open_fds`,
`process_max_fds`, `process_start_time_seconds`, `python_gc_objects_collected_total`,
`python_gc_objects_uncollectable_total`, `python_gc_collections_total`: as prometheus-client has them.

"""

ALERTS = """## Alerts

`page`: people wait, or data is at risk. `ticket`: look at it today. Each has more in its annotations: what it means,
what to do, and which section tells more.

Prometheus evaluates them, and Grafana shows them under *Alerting*; **nobody is told by itself**. For that run an
Alertmanager that reaches whoever is on call by `severity`, and name it in `monitoring/prometheus.yml` (in Kubernetes it
is the Prometheus operator's affair):

```yaml
alerting:
  alertmanagers:
    - static_configs: [{targets: ["alertmanager:9093"]}]
```

"""

COST = """## What counting costs

    ./artdag bench engine --repeats 5                              # without
    ARTDAG_PROBE_PORT=9100 ./artdag bench engine --repeats 5      # with: every service counts

What is read instead of counted (pools, queues, tables) is read when somebody asks for the metrics, who never waits for
it for more than 1.5 s. Sums over all books are made beside that, at most one hundredth of the time, and shown when they
are there.
"""


def of_whom(services: Iterable[str]) -> str:
    """Return the services that have a metric, for the table."""
    named = list(services)
    return "all" if len(named) == len(metrics.SERVICES) else ", ".join(named)


def row(cells: Iterable[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |\n"


def seconds(bounds: Iterable[float]) -> str:
    """Return the first and the last bound of a histogram's buckets."""
    first, *_, last = bounds
    return f"{first:g} s to {last:g} s"


def document() -> str:
    """Return the text of the page."""
    text = INTRODUCTION.format(
        most=metrics.MOST, other=metrics.OTHER, short=seconds(metrics.SHORT), long=seconds(metrics.LONG)
    )
    text += "## What each process counts\n\n" + row(("Metric", "Kind", "Services", "Meaning")) + "|---|---|---|---|\n"
    for metric in metrics.declared():
        labels = f"{{{', '.join(metric.labels)}}}" if metric.labels else ""
        text += row((f"`{metric.name}{labels}`", metric.kind, of_whom(metric.services), metric.help_text))
    text += "\n" + PROCESS + ALERTS + row(("Alert", "Severity", "When", "What to do")) + "|---|---|---|---|\n"
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            expression = " ".join(rule["expr"].split()).replace("|", "\\|")
            lasting = f", for {rule['for']}" if "for" in rule else ""
            action = rule["annotations"]["action"].replace("|", "\\|")
            text += row((rule["alert"], rule["labels"]["severity"], f"`{expression}`{lasting}", action))
    return text + "\n" + COST


def main() -> None:
    """Write the page, or say that it is stale."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(document())
    elif not PAGE.exists() or PAGE.read_text() != document():
        raise SystemExit("docs/metrics.md is not what the code says; run: python docs/build_metrics.py")


if __name__ == "__main__":
    main()
