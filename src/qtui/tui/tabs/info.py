"""What a unit is and what became of it: how it ended, what it used, and its definition. What is not known or not said
is left out. Pure."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from qtui.core.masking import TextMasker
from qtui.core.model import Argv, CachePolicy, Call, FromUnit, QuantumUnit, RetryPolicy, Shell
from qtui.core.state import UnitView
from qtui.core.valuetext import value_text
from qtui.tui.format import counted, short_clock, size_of
from qtui.tui.layout import Bundle, family_name
from qtui.tui.roles import Role
from qtui.tui.scopes import Kind
from qtui.tui.tabs.entry import BLANK, Entry, heading, silence_entry
from qtui.tui.tabs.scene import Scene

_SILENT: Final = QuantumUnit(id="silent")
_MOST_NAMES: Final = 50


def info_unit(scene: Scene, number: int, result: str = "", log: str = "") -> list[Entry]:
    """All there is to know of a unit; `result` is its value in words, `log` the file of its latest output."""
    unit = scene.view.unit(number)
    entries = [*_state(scene, unit), *_use(unit)]
    if result:
        entries.append(Entry(result, label="result"))
    if log:
        entries.append(Entry(log, Role.MUTED, "log"))
    entries += [BLANK, heading("definition"), *_definition(unit.unit, scene.texts)]
    kind = f", kind {unit.unit.kind}" if unit.unit.kind else ""
    entries.append(Entry(f"{unit.lane}{kind}", label="runs as"))
    if reason := scene.attempts.missed(unit.id):
        entries.append(Entry(reason, Role.MUTED, "cache miss"))
    entries += _values("matrix", unit.unit.matrix, scene.texts)
    entries += _values("environment", unit.unit.env, scene.texts, plain=True)
    entries += _values("params of the run", scene.session.facts.params, scene.texts)
    return [*entries, *_values("metadata", unit.unit.metadata, scene.texts)]


def info_bundle(scene: Scene, bundle: Bundle) -> list[Entry]:
    """What units that have a row together have in common, and how they are, by name."""
    view = scene.view
    ended = sum(view.states[number].ended for number in bundle.units)
    entries = [Entry(f"{ended:,} of {counted(len(bundle.units), 'unit')}", label="ended")]
    if bundle.kind is Kind.GROUP:
        items = {view.plan.table[number].item for number in bundle.units}
        going = {view.plan.table[number].item for number in bundle.units if not view.states[number].ended}
        entries.append(Entry(f"{len(items - going):,} of {counted(len(items), 'item')}", label="ended"))
    by_name: dict[str, list[int]] = {}
    for number in bundle.units:
        name = bundle.name if bundle.kind is Kind.FAMILY else family_name(view.plan.table[number])
        by_name.setdefault(name, []).append(number)
    for name, numbers in list(by_name.items())[:_MOST_NAMES]:
        entries += [BLANK, heading(f"{name} {scene.glyphs.times}{len(numbers):,}")]
        entries += scene.units(numbers)
        entries += _definition(view.plan.table[numbers[0]], scene.texts)
    if len(by_name) > _MOST_NAMES:
        entries += [BLANK, Entry(f"and {len(by_name) - _MOST_NAMES:,} more names", Role.MUTED)]
    return entries


# -- what became of it -------------------------------------------------------------------------------------


def _state(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    yield scene.unit(unit.number)._replace(goal=None)
    yield from silence_entry(unit, scene.now)
    if unit.unit.description:
        yield Entry(unit.unit.description, label="about")
    if unit.attempt:
        generation = f", generation {unit.generation}" if unit.generation > 1 else ""
        yield Entry(f"{unit.attempt}{generation}", label="attempt")
    if unit.worker:
        pid = f", pid {unit.pid}" if unit.pid else ""
        yield Entry(f"{unit.place or unit.worker}{pid}", label="worker")
    if unit.started_at is not None:
        yield Entry(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unit.started_at)), label="began")
    elapsed = unit.elapsed(scene.now)
    if elapsed is not None:
        yield Entry(_seconds(elapsed), label="took" if unit.state.ended else "takes")
    if unit.error is not None:
        yield Entry(str(unit.error), Role.ERROR, "error")


def _use(unit: UnitView) -> Iterator[Entry]:
    end = unit.finished
    if end is None:
        return
    if end.peak_memory:
        yield Entry(f"{size_of(end.peak_memory)} at most", label="memory used")
    if end.cpu_seconds:
        yield Entry(f"{end.cpu_seconds:.2f} s", label="cpu used")
    if end.cached:
        yield Entry(end.cause, Role.CACHED, "cache hit")
    for name, value in list(end.metrics.items())[:_MOST_NAMES]:
        yield Entry(f"{name} = {value!r}" if isinstance(value, int | float) else f"{name} = {value}", label="metric")


# -- what it is --------------------------------------------------------------------------------------------


def _definition(unit: QuantumUnit, texts: TextMasker) -> Iterator[Entry]:
    yield from _action(unit, texts)
    if unit.source is not None:
        yield Entry(str(unit.source), label="defined at")
    yield from _said(unit)
    if unit.retry.max:
        yield Entry(_retry_words(unit.retry), label="retries")
    if unit.fallback is not None:
        yield Entry(value_text(unit.fallback.value, texts), label="fallback")
    if unit.cache is not None:
        yield Entry(_cache_words(unit.cache), label="cache")


def _action(unit: QuantumUnit, texts: TextMasker) -> Iterator[Entry]:
    match unit.action:
        case Shell() as shell:
            yield Entry("\n".join(shell.texts), label="command")
            if shell.shell != ("sh",):
                yield Entry(shlex.join(shell.shell), label="shell")
        case Argv() as program:
            yield Entry(shlex.join(map(texts.text, program.argv)), label="command")
        case None:
            yield Entry("a milestone: done when what it needs is done", Role.MUTED)
        case action:
            yield Entry(str(action) if isinstance(action, Call) else "a function", label="calls")
            for name, value in unit.args.items():
                told = f"the result of {value.need}" if isinstance(value, FromUnit) else value_text(value, texts)
                yield Entry(f"{name} = {told}", label="argument")


def _said(unit: QuantumUnit) -> Iterator[Entry]:
    """What the definition says, and others do not."""
    for label, told in (
        ("when", unit.when if unit.when != _SILENT.when else ""),
        ("if", unit.condition.text if unit.condition is not None else ""),
        ("asks", unit.confirm),
        ("directory", unit.cwd or ""),
        ("timeout", _seconds(unit.timeout)),
        ("grace", _seconds(unit.grace)),
        ("stall", _seconds(unit.stall)),
        ("estimate", _seconds(unit.estimate)),
        ("priority", str(unit.priority or "")),
        ("pools", ", ".join(name if count == 1 else f"{name}: {count}" for name, count in unit.pools.items())),
        ("cpus", f"{unit.cpus:g}" if unit.cpus else ""),
        ("memory", size_of(unit.memory) if unit.memory else ""),
        ("outputs", "\n".join(unit.outputs)),
        ("failure", "is allowed" if unit.allow_failure else ""),
        ("success", f"exit codes {', '.join(map(str, unit.success_exit_codes))}"
         if unit.success_exit_codes != _SILENT.success_exit_codes else ""),
        ("progress", unit.progress),
        ("stop signal", unit.stop_signal if unit.stop_signal != _SILENT.stop_signal else ""),
        ("leftovers", unit.leftovers if unit.leftovers != _SILENT.leftovers else ""),
        ("terminal", "has one (pty)" if unit.pty else ""),
        ("log limit", size_of(unit.log_max) if unit.log_max != _SILENT.log_max else ""),
        ("again", "asks before it runs again (not idempotent)" if not unit.idempotent else ""),
        ("batch", str(unit.batch or "")),
        ("tags", ", ".join(sorted(unit.tags))),
        ("group", f"{unit.group}{unit.item}"),
    ):  # fmt: skip
        if told:
            yield Entry(told, label=label)


def _retry_words(retry: RetryPolicy) -> str:
    words = f"{retry.max}, after {_seconds(retry.delay)}"
    if retry.max > 1 and retry.backoff != 1:
        words += f", each {retry.backoff:g} times as long as the one before, at most {_seconds(retry.max_delay)}"
    return words + (f", on {', '.join(map(str, retry.on))}" if retry.on else "")


def _cache_words(cache: CachePolicy) -> str:
    parts = [
        f"inputs {', '.join(cache.inputs)}" if cache.inputs else "",
        f"variables {', '.join(cache.env)}" if cache.env else "",
        f"only {', '.join(cache.keys)}" if cache.keys is not None else "",
        f"for {_seconds(cache.ttl)}" if cache.ttl is not None else "",
        "runs all the same, and keeps the new result" if cache.force else "",
    ]
    return "; ".join(filter(None, parts)) or "by what it does and what it gets"


def _values(title: str, values: Mapping[str, Any], texts: TextMasker, *, plain: bool = False) -> Iterator[Entry]:
    if not values:
        return
    yield BLANK
    yield heading(title)
    for name, value in list(values.items())[:_MOST_NAMES]:
        yield Entry(f"{name}={value}" if plain else f"{name} = {value_text(value, texts)}")
    if len(values) > _MOST_NAMES:
        yield Entry(f"and {len(values) - _MOST_NAMES:,} more", Role.MUTED)


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.0005 or not seconds else "less than 1 ms"
    return f"{seconds:.3g} s" if seconds < 60 else short_clock(seconds)
