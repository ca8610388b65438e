"""What the command line makes of a workflow: its environment, the units that are chosen, forced and approved."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, UsageError, did_you_mean
from qtui.definition.dotenv import REQUIRED, read_env_files
from qtui.definition.options import Overrides
from qtui.definition.selection import select
from qtui.definition.values import Rejected, variables


def environment_of(options: argparse.Namespace) -> dict[str, str]:
    """The variables of ``--env-file`` and, over them, ``-e``. Raises InvalidWorkflow or UsageError."""
    env, problems = read_env_files([REQUIRED + name for name in options.env_file], str(Path.cwd()))
    if problems:
        raise InvalidWorkflow(replace(problem, key="--env-file" if problem.key else None) for problem in problems)
    given: dict[str, str] = {}
    for pair in options.env:
        name, equals, value = pair.partition("=")
        if name in given:
            raise UsageError(f"-e {name} is given twice")
        try:
            if not equals:
                raise Rejected
            given |= variables({name: value})
        except Rejected:
            # the rest may be a secret
            raise UsageError(f'-e "{name}" is not NAME=VALUE') from None
    return {**env, **given}


def overrides_of(options: argparse.Namespace, env: Mapping[str, str]) -> Overrides:
    """What the command line says over the workflow's settings; `env` is what `environment_of` has found.

    Raises UsageError if the number of workers and its bounds contradict each other.
    """
    workers, least, most = options.workers, options.min_workers, options.max_workers
    fixed = workers if isinstance(workers, int) else None
    if fixed and most and fixed > most:
        raise UsageError(f"-j {fixed} is more than --max-workers {most}")
    if fixed and least and fixed < least:
        raise UsageError(f"-j {fixed} is less than --min-workers {least}")
    if least and most and least > most:
        raise UsageError(f"--min-workers {least} is more than --max-workers {most}")
    return Overrides(
        workers=workers,
        min_workers=least,
        max_workers=most,
        keep_going=options.keep_going,
        env=env,
        executor=options.executor,
        address=options.address,
        insecure=options.insecure,
    )


def adjusted(definition: WorkflowDefinition, options: argparse.Namespace) -> WorkflowDefinition:
    """The definition with what `options` say of its units and of the run.

    Raises UsageError for names that are no units, and NothingSelected if nothing is left to run.
    """
    forced = _matching(definition, options.force, "-f")
    _matching(definition, options.yes, "--yes")
    # these are globs of ids: a name is that of a unit, and of the items of a family
    approved = [pattern for name in options.yes for pattern in (_escaped(name), f"{_escaped(name)}[[]*")]
    driven = replace(definition.options, approved=tuple(dict.fromkeys(approved)))
    if options.timeout is not None:
        driven = replace(driven, timeout=options.timeout)
    definition = replace(definition, options=driven)
    if options.no_cache:
        definition = replace(definition, units=tuple(replace(unit, cache=None) for unit in definition.units))
    elif forced:
        definition = _forced(definition, forced)
    return select(definition, options.units, options.tag, options.exclude)


def still_meant(definition: WorkflowDefinition, options: argparse.Namespace) -> tuple[argparse.Namespace, list[str]]:
    """The options without names and tags that the workflow does not have any more, and these, as they were written."""
    there, lost = argparse.Namespace(**vars(options)), []
    checks: list[tuple[str, str, Callable[[str], object]]] = [
        ("units", "", lambda name: select(definition, [name])),
        ("tag", "-t ", lambda tag: select(definition, tags=[tag])),
        ("exclude", "--exclude ", lambda name: _matching(definition, [name], "--exclude")),
        ("force", "-f ", lambda name: _matching(definition, [name], "-f")),
        ("yes", "--yes=", lambda name: _matching(definition, [name], "--yes")),
    ]
    for field, flag, check in checks:
        kept = []
        for name in getattr(options, field):
            try:
                check(name)
                kept.append(name)
            except UsageError:
                lost.append(f"{flag}{name}")
        setattr(there, field, kept)
    return there, lost


def _forced(definition: WorkflowDefinition, forced: Mapping[str, None]) -> WorkflowDefinition:
    units = [
        replace(unit, cache=replace(unit.cache, force=True)) if unit.cache is not None and unit.id in forced else unit
        for unit in definition.units
    ]
    return replace(definition, units=tuple(units))


def _matching(definition: WorkflowDefinition, names: Sequence[str], flag: str) -> dict[str, None]:
    """The ids of the units that are meant by ids, names of families, or globs."""
    found: dict[str, None] = {}
    for name in dict.fromkeys(names):
        # brackets are part of an item's name, so they do not open a character class here
        pattern = _escaped(name)
        ids = [unit.id for unit in definition.units if name in (unit.id, unit.name) or fnmatchcase(unit.id, pattern)]
        if not ids:
            known = {name for unit in definition.units for name in (unit.id, unit.name)}
            hint = did_you_mean(name, known) or "qtui graph lists the units"
            raise UsageError(f'{flag}: there is no unit "{name}" ({hint})')
        found |= dict.fromkeys(ids)
    return found


def _escaped(name: str) -> str:
    return name.replace("[", "[[]")
