"""The tabs of a unit: what it is, why it is so, what it is connected to, and its attempts."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from scenes import CALL, COMMAND, fan_out, nightly, unit
from scripted import ScriptedSession
from stage import staged

from qtui.core.condition import Condition
from qtui.core.events import PlanReplaced, UnitStarted
from qtui.core.masking import TextMasker, masks_of
from qtui.core.model import (
    Argv,
    CachePolicy,
    ExecutionMode,
    Fallback,
    Outcome,
    QuantumUnit,
    RetryPolicy,
    Shell,
    Source,
    UnitError,
)
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.core.stimuli import CancelRequested, PauseRequested, RetryRequested, RunRequested, UnitBegan
from qtui.core.valuetext import MOST_CHARACTERS, result_text, value_text
from qtui.tui.bridge import Bridge
from qtui.tui.format import UNICODE, Look
from qtui.tui.laying import lay_out
from qtui.tui.tabs.attempts import MOST_KEPT, Attempts
from qtui.tui.tabs.deps import deps_of
from qtui.tui.tabs.entry import Entry, Goal, Tab, rows_of, tab_at, tab_bar, with_cursor
from qtui.tui.tabs.info import info_bundle, info_unit
from qtui.tui.tabs.scene import Scene
from qtui.tui.tabs.tries import tries_unit, tries_units
from qtui.tui.tabs.why import why_unit, why_units
from qtui.tui.widgets.banner import banner_lines
from qtui.tui.wrapping import broken

NOTHING_HIDDEN = TextMasker(())
NAMES = ["info", "why", "deps", "tries"]


def scene_of(session: ScriptedSession) -> Scene:
    bridge = Bridge(session, lay_out(session.view().plan))
    attempts = Attempts(session.plan if not session.records else session.opening.plan)
    attempts.take(bridge.advance().events)
    texts = TextMasker(session.facts.masks)
    return Scene(session=session, bridge=bridge, attempts=attempts, texts=texts, glyphs=UNICODE, now=session.now())


def text_of(entries: list[Entry], width: int = 100, texts: TextMasker = NOTHING_HIDDEN) -> str:
    rows = rows_of(entries, width, UNICODE, texts)
    return "\n".join("".join(span.text for span in row.spans).rstrip() for row in rows)


def why(session: ScriptedSession, name: str) -> str:
    return text_of(why_unit(scene_of(session), session.number(name)))


def info(session: ScriptedSession, name: str) -> str:
    scene = scene_of(session)
    number = session.number(name)
    return text_of(info_unit(scene, number, session.result_text(number)), texts=scene.texts)


def tries(session: ScriptedSession, name: str) -> str:
    return text_of(tries_unit(scene_of(session), session.number(name)))


def every_tab(session: ScriptedSession, number: int, width: int = 100) -> str:
    scene = scene_of(session)
    units = range(len(scene.view.plan))
    bundle = next(iter(scene.bridge.layout.bundles), None)
    pieces = [
        info_unit(scene, number, session.result_text(number), "/run/unit.log"),
        why_unit(scene, number),
        deps_of(scene, [number]),
        tries_unit(scene, number),
        why_units(scene, units),
        deps_of(scene, units),
        tries_units(scene, units),
        info_bundle(scene, bundle) if bundle is not None else [],
    ]
    return "\n".join(text_of(list(piece), width, scene.texts) for piece in pieces)


# -- why ---------------------------------------------------------------------------------------------------


def test_a_unit_that_waits_says_for_what_and_for_what_not() -> None:
    session = nightly()
    assert why(session, "merge").splitlines() == [
        "waits for 9 of 12 needs",
        "▸ run   embed ×7",
        "⋮ queue embed ×2",
        "",
        "does not wait for",
        "✓ ok    embed ×3",
    ]


def test_behind_needs_that_wait_themselves_stands_what_is_at_work() -> None:
    session = ScriptedSession([unit("a"), unit("b", "a"), unit("c", "b"), unit("d", "c")])
    told = why(session, "d")
    assert "waits for 1 of 1 need\n∙ wait  c" in told
    assert "which wait for\n▸ run   a" in told


def test_who_waits_for_a_unit_is_counted_down_to_the_last() -> None:
    session = ScriptedSession([unit("a"), unit("b", "a"), unit("c", "b"), unit("d", "c")])
    assert "1 unit waits for it, 3 with all below\n∙ wait  b" in why(session, "a")


def test_a_unit_in_the_queue_names_the_pool_and_who_holds_it_and_what_it_has() -> None:
    gpu = {"pools": {"gpu": 1}, "action": COMMAND}
    units = [unit("first"), *(unit(f"train[{n}]", "first", memory=1 << 30, **gpu) for n in range(3))]
    session = ScriptedSession(units, RunOptions(workers=8, pools={"gpu": 2}, memory=8 << 30))
    session.completes("first")
    told = why(session, "train[2]")
    assert "waits for\npool gpu    2 of 2 in use\n" in told
    assert "held by   ▸ run   train[0]" in told
    assert "held by   ▸ run   train[1]" in told
    assert "does not wait for\n✓ ok    first" in told
    assert "memory      2,048M of 8,192M in use" in told
    assert "workers     2 of 8 busy" in told


def test_a_unit_that_finds_no_worker_or_a_paused_run_says_that_and_no_more() -> None:
    session = fan_out(8, workers=2)
    session.completes("list_files")
    assert "waits for\n2 of 2 workers busy" in why(session, "extract[5]")
    session.post(PauseRequested())
    assert "waits for\npaused" in why(session, "extract[5]")


def test_a_unit_that_asks_repeats_its_question() -> None:
    session = ScriptedSession([unit("publish", confirm="Publish to the web?")])
    assert why(session, "publish") == "asks        Publish to the web?\na answers"


def test_a_failed_unit_says_what_did_not_run_because_of_it() -> None:
    session = nightly()
    assert why(session, "grid[lr=1.0]").splitlines() == [
        "failed      ValueError: loss is not finite at step 812",
        "",
        "2 units did not run because of it",
        "↷ skip  report.grid  because grid[lr=1.0]",
        "↷ skip  publish  because grid[lr=1.0]",
    ]


def test_a_skipped_unit_leads_down_the_chain_to_what_failed() -> None:
    session = nightly()
    scene = scene_of(session)
    entries = why_unit(scene, session.number("publish"))
    goals = [entry.goal for entry in entries if entry.goal is not None]
    assert goals[:2] == [Goal(session.number("report.grid")), Goal(session.number("grid[lr=1.0]"))]
    assert "its failure ValueError: loss is not finite" in text_of(entries)


def test_all_that_is_in_the_way_of_a_unit_is_told_on_both_sides() -> None:
    session = ScriptedSession([unit("one"), unit("two"), unit("both", "one", "two")])
    session.fails("one")
    session.fails("two")

    assert why(session, "both").endswith("also in its way\n✗ FAIL  two  0:00 ValueError: bad row 17")
    assert "1 unit did not run because of it" in why(session, "one")
    assert why(session, "two").splitlines()[-2:] == [
        "1 unit below it did not run for another failure",
        "↷ skip  both  because one",
    ]


def test_what_is_skipped_for_itself_has_no_chain() -> None:
    condition = Condition.parse("params.full", {"params": {"full": False}, "matrix": {}, "env": {}})
    session = ScriptedSession([unit("full", condition=condition), unit("after", "full")])
    assert why(session, "full").startswith("skipped     ")
    assert "because of" not in why(session, "after")


def test_a_unit_at_work_says_since_when_and_how_far_and_one_that_stops_why() -> None:
    session = nightly()
    told = why(session, "embed[shard=3]")
    assert "for 1:03" in told
    assert "worker      8 (command)" in told
    assert "progress    60 of 100 60000 of 100000 rows" in told
    assert "because     timed out after 60 s" in why(session, "grid[lr=0.1]")


def test_a_unit_between_two_tries_says_when_and_why() -> None:
    session = ScriptedSession([unit("load", action=COMMAND, retry=RetryPolicy(max=2, delay=30))])
    session.fails("load", exit_code=7)
    session.after(10)
    assert why(session, "load") == "waits       try 2 of 3 in 20 s\nbecause     exit code 7"


def test_a_completed_unit_says_what_must_not_be_overlooked() -> None:
    told = why(nightly(), "fetch.meta")
    assert "its fallback is used instead of a result" in told
    assert "TimeoutError: no answer from meta.example.org" in told


def test_units_in_one_row_say_what_they_wait_for_and_died_of_by_count() -> None:
    units = [unit("list_files"), *(unit(f"extract[{n}]", "list_files", family="extract") for n in range(30))]
    session = ScriptedSession([*units, unit("merge", "extract")], RunOptions(workers=4))
    session.completes("list_files")
    for item in range(3):
        session.fails(f"extract[{item}]", exit_code=137)
    scene = scene_of(session)
    family = [number for number, each in enumerate(scene.view.plan.table) if each.family == "extract"]
    told = text_of(why_units(scene, family))
    assert "3 units failed\nexit 137" in told
    assert "4 of 4 workers busy" in told
    assert "because of\n✗ FAIL  extract[0]" not in told
    told = text_of(why_units(scene, [session.number("merge"), session.number("extract[7]")]))
    assert "1 unit skipped because of\n✗ FAIL  extract[0]" in told


# -- what it is connected to -------------------------------------------------------------------------------


def test_connections_fold_what_is_alike_and_lead_there() -> None:
    session = nightly()
    entries = deps_of(scene_of(session), [session.number("merge")])
    assert text_of(entries).splitlines() == [
        "needs 12 units, of which 3 have ended",
        "▸ run   embed ×7",
        "⋮ queue embed ×2",
        "✓ ok    embed ×3",
        "",
        "needed by 1 unit",
        "↷ skip  publish  because grid[lr=1.0]",
    ]
    assert [entry.goal.unit for entry in entries if entry.goal] == [
        session.number(name) for name in ("embed[shard=3]", "embed[shard=10]", "embed[shard=0]", "publish")
    ]


def test_a_bundle_is_connected_to_what_is_outside_of_it() -> None:
    session = fan_out(30)
    family = [number for number, each in enumerate(session.plan.table) if each.family == "extract"]
    told = text_of(deps_of(scene_of(session), family))
    assert "needs 1 unit, of which 0 have ended\n▸ run   list_files" in told
    assert "needed by 1 unit, 2 with all below\n∙ wait  merge" in told


def test_what_was_added_and_by_whom_is_a_connection() -> None:
    session = ScriptedSession([unit("plan"), unit("end", "plan")])
    session.adds("plan", unit("part_1", "plan"), unit("part_2", "plan"))
    scene = scene_of(session)
    assert "has added 2 units" in text_of(deps_of(scene, [session.number("plan")]))
    assert "added by\n✓ ok    plan" in text_of(deps_of(scene, [session.number("part_1")]))


def test_a_unit_alone_says_so() -> None:
    told = text_of(deps_of(scene_of(ScriptedSession([unit("alone")])), [0]))
    assert told == "needs nothing\n\nnothing needs it"


# -- attempts ----------------------------------------------------------------------------------------------


def test_each_attempt_tells_how_it_went_the_latest_first_and_leads_to_its_log() -> None:
    session = ScriptedSession([unit("load", action=COMMAND, retry=RetryPolicy(max=2, delay=8))])
    session.after(5)
    session.fails("load", UnitError("exit", "exit code 7", exit_code=7))
    session.after(8)
    session.after(3)
    session.returns("load", Outcome(peak_memory=300 << 20, cpu_seconds=2.5))
    scene = scene_of(session)
    entries = tries_unit(scene, 0)
    told = text_of(entries)
    assert list(dict.fromkeys(entry.goal for entry in entries if entry.goal)) == [Goal(0, 2), Goal(0, 1)]
    assert (
        told.index("try 2") < told.index("300M of memory, 2.50 s of CPU") < told.index("try 1") < told.index("code 7")
    )
    assert "0:03  worker 1 (command pid 1000)" in told
    assert "✗ FAIL  try 1" in told


def test_attempts_of_earlier_generations_stay() -> None:
    session = ScriptedSession([unit("load")])
    session.fails("load")
    session.post(RetryRequested((0,), "unit"))
    session.completes("load")
    told = tries(session, "load")
    assert "✓ ok    try 2" in told
    assert "✗ FAIL  try 1" in told


def test_the_worker_of_a_cluster_is_told_where_one_asks_for_a_unit() -> None:
    session = ScriptedSession([unit("load", mode=ExecutionMode.CUSTOM)], start=False)
    session.clustered = True
    session.post(RunRequested("demo"))
    session.post(UnitBegan(0, 1, 77, "node-3"))
    assert "worker      node-3, pid 77" in info(session, "load")
    assert "worker      node-3 (custom)" in why(session, "load")
    session.completes("load")
    assert "worker node-3 (custom pid 77)" in tries(session, "load")


def test_what_has_not_begun_on_a_cluster_waits_for_it_and_for_no_worker_here() -> None:
    units = [unit(name, mode=ExecutionMode.CUSTOM) for name in ("load", "late")]
    session = ScriptedSession(units, RunOptions(workers=1, adaptive=True, executor="dask"), start=False)
    session.clustered = True
    session.post(RunRequested("demo"))
    assert "waits for the cluster: it begins when a worker there has room for it" in why(session, "load")
    assert "has 1, takes 1 at a time" in why(session, "late")
    session.post(CancelRequested((0,)))
    assert "was taken back 0:00 ago, and had not begun" in why(session, "load")


def test_attempts_of_before_one_has_looked_are_on_record() -> None:
    session = ScriptedSession([unit("load", retry=RetryPolicy(max=3, delay=0))])
    for _ in range(2):
        session.fails("load")
        session.after(1)
    scene = scene_of(session)
    late = Attempts(scene.view.plan)
    told = text_of(tries_unit(Scene(session=session, bridge=scene.bridge, attempts=late, texts=scene.texts,
                                    glyphs=UNICODE, now=session.now()), 0))  # fmt: skip
    assert "▸ run   try 3" in told
    assert "attempts 1 to 2 are on record: qtui logs test-run load --try 2" in told


def test_so_many_attempts_are_kept_and_no_more() -> None:
    session = ScriptedSession([unit("load", retry=RetryPolicy(max=200, delay=0))])
    for _ in range(MOST_KEPT + 20):
        session.fails("load")
        session.after(1)
    known = scene_of(session).attempts.of(session.view(), 0)
    assert len(known) == MOST_KEPT
    assert known[-1].number == MOST_KEPT + 21


def test_attempts_of_before_the_plan_was_replaced_stay_with_their_unit() -> None:
    before, after = (ExecutionPlan.build([unit(name) for name in names]) for names in ("ab", "b"))
    attempts = Attempts(before)
    began = UnitStarted(0, 1, ExecutionMode.THREAD, 1, 0, 1.0)
    attempts.take([began, PlanReplaced(tuple(after.table), ExecutionMode.THREAD, 2.0), began._replace(attempt=2)])
    numbers = [[each.number for each in attempts.of(RunView.initial(before), number)] for number in (0, 1)]
    assert numbers == [[1], [2]]


def test_attempts_are_in_order_however_many_events_pass() -> None:
    plan = ExecutionPlan.build([unit(f"u{number}") for number in range(5_000)])
    attempts = Attempts(plan)
    for attempt in range(1, 8):
        attempts.take([UnitStarted(number, attempt, ExecutionMode.THREAD, 1, 0, 1.0) for number in range(5_000)])
    view = RunView.initial(plan)
    assert [[each.number for each in attempts.of(view, number)] for number in (0, 4_999)] == [list(range(1, 8))] * 2


def test_a_unit_that_was_never_tried_says_so() -> None:
    session = nightly()
    assert tries(session, "publish") == "it was not tried"
    assert tries(session, "merge") == "it has not been tried yet"


def test_of_units_in_one_row_those_are_named_that_were_tried_more_than_once() -> None:
    session = nightly()
    told = text_of(tries_units(scene_of(session), range(len(session.plan))))
    assert "tried more than once" in told
    assert "fetch.raw  0:09 2 attempts" in told
    assert "clean" not in told


# -- what it is --------------------------------------------------------------------------------------------


def test_the_definition_says_what_was_said_and_nothing_else() -> None:
    session = ScriptedSession([unit("plain", action=Shell(("make all", "make check")))])
    told = info(session, "plain")
    assert "command     make all\n            make check" in told
    assert "None" not in told
    for silent in ("timeout", "retries", "pools", "cache", "environment", "matrix", "params", "outputs", "tags"):
        assert silent not in told


def test_the_definition_and_what_became_of_it_are_told_in_full() -> None:
    session = ScriptedSession(
        [
            unit(
                "train[lr=0.1]",
                action=Argv(("python", "-m", "train it", "--lr", "0.1")),
                timeout=90.0,
                retry=RetryPolicy(max=3, delay=2, on=("timeout", 7)),
                pools={"gpu": 2, "disk": 1},
                memory=6 << 30,
                cpus=2.0,
                outputs=("model.bin",),
                cache=CachePolicy(inputs=("data/*.csv",), ttl=86400.0),
                tags=frozenset({"slow", "gpu"}),
                env={"LEVEL": "3"},
                cwd="/srv/flow",
                matrix={"lr": 0.1},
                description="Trains the model.",
                source=Source(file="nightly.toml", line=41),
                fallback=Fallback({"loss": None}),
                confirm="Train?",
            )
        ],
        RunOptions(pools={"gpu": 2, "disk": 4}),
    )
    session.params = {"day": "2024-01-01"}
    told = info(session, "train[lr=0.1]")
    for part in (
        "command     python -m 'train it' --lr 0.1",
        "defined at  nightly.toml:41",
        "directory   /srv/flow",
        "timeout     1:30",
        "pools       gpu: 2, disk",
        "cpus        2",
        "memory      6.0G",
        "outputs     model.bin",
        "tags        gpu, slow",
        "retries     3, after 2 s, each 2 times as long as the one before, at most 1:00, on timeout, 7",
        'fallback    {"loss": null}',
        "cache       inputs data/*.csv; for 1d00h",
        "LEVEL=3",
        'day = "2024-01-01"',
        "about       Trains the model.",
        "runs as     command",
    ):
        assert part in told


def test_what_became_of_it_stands_first_with_result_metrics_and_what_it_used() -> None:
    session = ScriptedSession([unit("train", action=COMMAND)])
    session.after(4)
    session.results["train"] = {"loss": 0.25}
    session.returns("train", Outcome(metrics={"epochs": 3}, peak_memory=1 << 30, cpu_seconds=12.0))
    told = info(session, "train")
    lines = told.splitlines()
    assert lines[0].startswith("✓ ok    train")
    for part in ("took        4 s", "memory used 1.0G at most", "cpu used    12.00 s", "metric      epochs = 3",
                 'result      {"loss": 0.25}'):  # fmt: skip
        assert part in told
    assert told.index("result") < told.index("definition")


# -- texts of any kind -------------------------------------------------------------------------------------

SECRET = 'hush "it\'s\\ sëcret"'
MANY_LINES = "-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----"


def said_everywhere(secret: str) -> QuantumUnit:
    """A unit with a secret in every text that it has."""
    text = f"a {secret} b"
    condition = Condition.parse("params.text == params.text", {"params": {"text": text}, "matrix": {}, "env": {}})
    return QuantumUnit(
        id="unit[x]",
        family="unit",
        action=CALL,
        args={"first": text, "deep": [{"in": {text: (text,)}}], text: 1},
        env={"TOKEN": secret, "URL": f"https://user:{secret}@host"},
        cwd=f"/srv/{text}",
        fallback=Fallback({"value": text}),
        condition=Condition(text, condition.tree, condition.units),
        pools={text: 1},
        outputs=(text,),
        cache=CachePolicy(inputs=(text,), env=(text,), keys=(text,)),
        confirm=text,
        progress=text,
        description=text,
        tags=frozenset({text}),
        matrix={"x": text},
        metadata={"about": text, text: text},
        source=Source(file=text, line=1),
        retry=RetryPolicy(max=1, delay=0, on=(text,)),
    )


@pytest.mark.parametrize("secret", [SECRET, MANY_LINES, "12345"])
@pytest.mark.parametrize("action", [CALL, Shell(("echo SECRET",)), Argv(("curl", "-H", "SECRET"))])
@pytest.mark.parametrize("width", [100, 24])
def test_no_secret_is_in_any_tab_wherever_it_was_written(secret: str, action: object, width: int) -> None:
    if isinstance(action, Shell):
        action = Shell((f"echo {secret}",))
    elif isinstance(action, Argv):
        action = Argv(("curl", "-H", f"x: {secret}"))
    text = f"a {secret} b"
    session = ScriptedSession(
        [said_everywhere(secret).__class__(**{**_fields(said_everywhere(secret)), "action": action})],
        RunOptions(pools={text: 1}),
    )
    session.secrets = (secret,)
    session.params = {"token": secret, "deep": [text, {text: 12}]}
    session.results["unit[x]"] = {"token": secret, "more": [text] * 3}
    told = [every_tab(session, 0, width)]
    session.post(CancelRequested((0,), text))
    told.append(every_tab(session, 0, width))
    pieces = [secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]]
    pieces += [line for line in secret.splitlines() if len(line) >= 4]
    flat = " ".join("".join(told).split())
    for piece in pieces:
        assert piece not in flat, piece
        assert piece not in "".join(told)
    assert "***" in flat


def _fields(unit: QuantumUnit) -> dict[str, object]:
    return {name: getattr(unit, name) for name in unit.__dataclass_fields__}


def test_a_result_that_is_cut_is_not_cut_inside_of_a_secret() -> None:
    hide = TextMasker(masks_of([SECRET]))
    for before in range(980, 1_000 + len(SECRET)):
        assert "hush" not in value_text(["x" * before + SECRET], hide)
    for count in range(1, 40):
        assert "hush" not in value_text([["y" * 150] * count, SECRET, SECRET], hide)
    assert "hush" not in value_text("z" * (65_536 - 5) + SECRET, hide)


def test_a_text_and_what_a_command_has_printed_are_told_in_their_own_lines() -> None:
    assert result_text("one\ntwo", NOTHING_HIDDEN) == "one\ntwo"
    assert result_text({"exit_code": 3, "stdout": "one\ntwo\n"}, NOTHING_HIDDEN) == "exit code 3\none\ntwo"
    assert result_text({"exit_code": 0, "stdout": ""}, NOTHING_HIDDEN) == "exit code 0"
    assert result_text({"stdout": "one\ntwo"}, NOTHING_HIDDEN) == '{"stdout": "one\\ntwo"}'
    long = result_text({"exit_code": 0, "stdout": "z" * (65_536 - 5) + SECRET}, TextMasker(masks_of([SECRET])))
    assert long.endswith("characters)") and "hush" not in long and len(long) < 1_100


def test_what_only_becomes_a_secret_once_it_is_clean_is_hidden_too() -> None:
    texts = TextMasker(masks_of(["password"]))
    told = text_of([Entry("pass\x1b[0mword", label="pa\x07ssword"), Entry("pass\u202eword", look=None)], texts=texts)
    assert "password" not in told


def test_values_are_told_without_running_any_of_their_code() -> None:
    class Hostile(dict):  # type: ignore[type-arg]
        def __repr__(self) -> str:
            raise AssertionError("nobody may ask")

        __str__ = __len__ = __iter__ = items = __repr__  # type: ignore[assignment]

    told = value_text([Hostile(), 1 << 20_000, b"bytes", {1: 2}, None, float("inf")], NOTHING_HIDDEN)
    assert "Hostile>" in told
    assert "<int of 20,001 bits>, <bytes of 5 bytes>, {1: 2}, null, Infinity" in told


def test_huge_and_endless_values_are_told_in_a_few_thousand_characters() -> None:
    endless: list[object] = []
    endless.append(endless)
    for value in (endless, list(range(10**6)), dict.fromkeys(range(1000), "x" * 500), "x" * 10**7, [["x"] * 99] * 99):
        assert len(value_text(value, NOTHING_HIDDEN)) < MOST_CHARACTERS + 1_200


hostile = st.text(st.sampled_from("ab \n\t\r\x1b[31m\u202e\u0300世界🙂\x9b\udc80'\"\\"), max_size=200)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(hostile, hostile, hostile), max_size=6), st.integers(10, 120), st.booleans())
def test_no_text_steers_the_terminal_or_is_wider_than_the_pane(
    texts: list[tuple[str, str, str]], width: int, looking: bool
) -> None:
    look = Look.FAIL if looking else None
    entries = [Entry(text, label=label, look=look, note=note, goal=Goal(0)) for text, label, note in texts]
    for row in rows_of(entries, width, UNICODE, NOTHING_HIDDEN):
        told = "".join(span.text for span in row.spans)
        assert cell_len(told) <= max(width, 20)
        assert told.isprintable() or not any(ord(sign) < 32 or sign in "\x9b\u202e" for sign in told)
        assert sum(cell_len(span.text) for span in with_cursor(row, width + 1, UNICODE, "enter")) <= max(width + 1, 21)


def test_a_command_of_megabytes_is_cut_and_says_so() -> None:
    told = text_of([Entry("x" * 5_000_000, label="command"), Entry("y\n" * 5_000)])
    assert "(5,000,000 characters)" in told
    assert "more lines" in told
    assert len(told) < 50_000


def test_lines_are_broken_between_words_and_wide_signs_are_not_cut() -> None:
    assert broken("one two three", 8) == ["one two", "three"]
    assert broken("x" * 20, 8) == ["x" * 8, "x" * 8, "x" * 4]
    assert broken("世界世界世", 5) == ["世界", "世界", "世"]
    assert broken("", 5) == [""]


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("ab 世🙂\u0300"), max_size=80), st.integers(2, 30))
def test_nothing_but_spaces_is_lost_where_lines_are_broken(line: str, width: int) -> None:
    pieces = broken(line, width)
    assert "".join("".join(pieces).split()) == "".join(line.split())
    assert all(cell_len(piece) <= width for piece in pieces)


def test_a_banner_that_is_cut_says_so_and_fills_its_lines() -> None:
    lines = banner_lines("the record cannot be written: " + "no space left on the device " * 9, 40)
    told = ["".join(span.text for span in line) for line in lines]
    assert len(told) == 3
    assert all(cell_len(line) == 40 for line in told)
    assert told[0].startswith(" ! the record")
    assert told[2].rstrip().endswith("...")


# -- the title ---------------------------------------------------------------------------------------------


def test_the_title_names_the_tabs_and_a_click_finds_them() -> None:
    assert tab_bar(Tab.LOG, 80) == "[Log] Info Why Deps Tries"
    assert tab_bar(Tab.WHY, 38) == "L I [Why] D T"
    for width in (80, 38):
        for shown in Tab:
            bar = tab_bar(shown, width)
            found = [tab_at(shown, width, column) for column in range(len(bar) + 3)]
            assert [tab for tab in dict.fromkeys(found) if tab is not None] == list(Tab)
            assert found[-1] is None


# -- on the screen -----------------------------------------------------------------------------------------


async def test_keys_choose_a_tab_which_stays_when_the_selection_moves() -> None:
    async with staged(nightly(), (80, 24)) as stage:
        await stage.shows("[Log] Info Why Deps Tries")
        await stage.select("grid[lr=1.0]")
        await stage.press("w")
        await stage.shows("Log Info [Why] Deps Tries  grid[lr=1.0]  FAIL", "2 units did not run because of it")
        await stage.select("merge")
        await stage.shows("waits for 9 of 12 needs")
        await stage.press("d")
        await stage.shows("[Info] Why Deps Tries  merge", "definition")
        await stage.press("d")
        await stage.shows("L shows the log again", "[Info] Why Deps Tries  merge")
        await stage.press("L")
        await stage.shows("[Log] Info Why Deps Tries  merge")
        await stage.press("c", "2")
        await stage.shows("›needs 12 units")
        await stage.press("enter")
        await stage.shows("there is nothing to open on this line")
        await stage.press("j", "enter")
        await stage.shows("embed[shard=3]  run", "needed by 1 unit")
        await stage.press("l")
        await stage.shows("[Tries]")
        await stage.press("l")
        await stage.shows("[Log] Info Why Deps Tries  embed[shard=3]")


async def test_the_title_of_a_tab_ends_in_the_whole_word_on_every_screen() -> None:
    for size in ((40, 12), (80, 24), (120, 40)):
        session = ScriptedSession([unit("clean[station=harbour]")])
        session.fails("clean[station=harbour]", exit_code=3)
        async with staged(session, size) as stage:
            await stage.press("w")
            await stage.until(lambda: re.search(r"\[Why\].*\]  FAIL ─", stage.text()), "the word")


async def test_an_earlier_attempt_opens_its_own_log_and_escape_goes_back() -> None:
    session = ScriptedSession([unit("load", action=COMMAND, retry=RetryPolicy(max=2, delay=0)), unit("after", "load")])
    session.prints("load", "the first one printed this\n")
    session.fails("load", exit_code=7)
    session.after(1)
    session.prints("load", "the second one prints that\n")
    async with staged(session, (100, 30)) as stage:
        await stage.shows("the second one prints that")
        await stage.press("v", "2", "G", "k", "k", "k", "enter")
        await stage.shows("the first one printed this", "L shows the latest, try 2")
        await stage.press("L")
        await stage.shows("the second one prints that")
        await stage.press("v", "2", "escape")
        await stage.shows("[Log] I W D T  load")
        await stage.press("escape", "j", "v")
        await stage.shows("[Tries]  after", "it has not been tried yet")


async def test_a_click_on_a_tab_and_on_a_line_do_what_keys_do() -> None:
    async with staged(nightly(), (120, 40)) as stage:
        await stage.select("publish")
        x, y = next((line.index("Why"), at) for at, line in enumerate(stage.lines()) if "[Log]" in line)
        await stage.pilot.click(offset=(x, y))
        await stage.shows("[Why]", "its failure")
        x, y = next((line.rindex("grid[lr=1.0]"), at) for at, line in enumerate(stage.lines()) if "loss is not" in line
                    and "0:17 Val" in line)  # fmt: skip
        await stage.pilot.click(offset=(x, y), times=2)
        await stage.shows("Why] Deps Tries  grid[lr=1.0]")


@pytest.mark.parametrize(("size", "ascii"), [((40, 12), True), ((200, 60), False)])
async def test_every_tab_fits_the_smallest_and_the_largest_screen(size: tuple[int, int], ascii: bool) -> None:
    async with staged(nightly(), size, ascii=ascii) as stage:
        await stage.select("publish")
        for key, part in (("w", "because of"), ("d", "definition"), ("c", "needs "), ("v", "it was not tried")):
            await stage.press(key)
            await stage.shows(part)
            assert all(cell_len(line) <= size[0] for line in stage.lines())
            assert not ascii or stage.text().isascii()
        if size[0] == 200:
            await stage.shows("─ Why  publish")
            await stage.press("w")
            await stage.shows("─ Info  publish")


async def test_a_plan_that_grows_and_a_unit_without_a_row_break_no_tab() -> None:
    session = ScriptedSession([unit("plan"), unit("end", "plan")])
    async with staged(session, (100, 30)) as stage:
        await stage.press("c")
        await stage.shows("needed by 1 unit")
        session.adds("plan", *(unit(f"part_{n}", "plan") for n in range(20)))
        await stage.shows("needed by 21 units", "part_ ×")
