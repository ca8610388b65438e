"""What came of it: the table, and the same with every sample as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.measure import Plan, Results, Series
from benchmarks.model import Group, Row

PACKAGES = ("qtui", "pebble", "numpy", "ninja")
LABEL_WIDTH = 68


def table(groups: Iterable[Group], results: Results, plan: Plan) -> str:
    """The medians as text, a section for each group."""
    return "\n\n".join(_section(group, results, plan) for group in groups)


def document(groups: Iterable[Group], results: Results, plan: Plan) -> dict[str, Any]:
    """Everything as plain data for JSON; figures in seconds and bytes, as they were measured."""
    return {
        "machine": machine(),
        "plan": {"repeats": plan.repeats, "least_seconds": plan.least, "quick": plan.quick},
        "groups": {
            group.key: {
                "title": group.title,
                "size": group.quick if plan.quick else group.size,
                "rows": [_row_data(group, row, results) for row in group.rows],
                "samples": {name: _series_data(results[group.key, name]) for name in group.cases},
            }
            for group in groups
        },
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "packages": {name: _version(name) for name in PACKAGES},
    }


def verdict(ratio: float | None, goal: float | None) -> str:
    """Whether a goal is met, or nothing to say."""
    if ratio is None or goal is None:
        return ""
    return "met" if ratio <= goal else "missed"


def _section(group: Group, results: Results, plan: Plan) -> str:
    lines = [f"{group.key}: {group.title}"]
    lines.append(
        f"  {'':{LABEL_WIDTH}} {'median':>11} {'lowest':>9} {'highest':>9} {'ratio':>7} {'lowest':>7} {'goal':>7}  n"
    )
    for row in group.rows:
        lines.append(f"  {_line(group, row, results, plan)}")
    return "\n".join(lines)


def _line(group: Group, row: Row, results: Results, plan: Plan) -> str:
    series = results[group.key, row.case]
    label = row.label + _note(row, series)
    figures = _figures(series, row.metric)
    if not figures:
        why = f"not installed: {series.missing}" if series.missing else f"FAILED: {series.failure}"
        return f"{label:{LABEL_WIDTH}} {why}"
    unit = row.unit or group.unit
    scale = unit.factor / (group.items_of(group.quick if plan.quick else group.size) if unit.divided else 1)
    middle, low, high = (figure * scale for figure in (statistics.median(figures), min(figures), max(figures)))
    ratio = _ratio(group, row, results)
    shown_ratios = (ratio, _ratio(group, row, results, min), row.goal)
    ratios = " ".join(f"{_times(each, group.digits):>7}" for each in shown_ratios)
    n = f"{len(figures)} x {round(statistics.median(series.rounds))}"
    # a smoke run's work is too small for its figures to say anything about a goal
    judged = "" if plan.quick else verdict(ratio, row.goal)
    shown = f"{middle:8.1f} {unit.name} {low:9.1f} {high:9.1f} {ratios}"
    return f"{label:{LABEL_WIDTH}} {shown}  {n}  {judged}".rstrip()


def _note(row: Row, series: Series) -> str:
    figures = _figures(series, row.note) if row.note else []
    return f" ({row.note} in {statistics.median(figures):g} steps)" if figures else ""


def _times(ratio: float | None, digits: int) -> str:
    return "" if ratio is None else f"{ratio:.{digits}f}x"


def _ratio(
    group: Group, row: Row, results: Results, typical: Callable[[list[float]], float] = statistics.median
) -> float | None:
    case, metric = row.base or group.base
    own, base = _figures(results[group.key, row.case], row.metric), _figures(results[group.key, case], metric)
    return typical(own) / typical(base) if own and base and typical(base) else None


def _figures(series: Series, metric: str) -> list[float]:
    return [metrics[metric] for metrics in series.metrics]


def _row_data(group: Group, row: Row, results: Results) -> dict[str, Any]:
    figures = _figures(results[group.key, row.case], row.metric)
    ratio = _ratio(group, row, results)
    return {
        "label": row.label,
        "case": row.case,
        "metric": row.metric,
        "median": statistics.median(figures) if figures else None,
        "ratio": ratio,
        "ratio_of_lowest": _ratio(group, row, results, min),
        "goal": row.goal,
        "verdict": verdict(ratio, row.goal),
    }


def _series_data(series: Series) -> dict[str, Any]:
    return {
        "metrics": series.metrics,
        "rounds": series.rounds,
        "missing": series.missing,
        "failure": series.failure,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
