"""StateProjector: persistent state, pure updates from any thread, named projections."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pyrsistent import PMap, PVector, pmap, pvector

import qtui
from qtui.core.projector import State, StateProjector


def _tasks(count: int) -> StateProjector:
    return StateProjector({"tasks": {f"t{number}": {"status": "PENDING"} for number in range(count)}, "workflows": {}})


def test_the_state_is_persistent_all_the_way_down() -> None:
    state = StateProjector({"tasks": {"a": {"tags": ["x", {"deep": [1]}], "pair": ({"k": 1}, 2)}}}).get_state()

    assert isinstance(state["tasks"]["a"], PMap)
    assert isinstance(state["tasks"]["a"]["tags"][1]["deep"], PVector)
    assert isinstance(state["tasks"]["a"]["pair"][0], PMap)
    with pytest.raises(TypeError):
        state["tasks"] = {}  # type: ignore[index]


def test_what_was_given_may_change_without_changing_the_state() -> None:
    inner = {"status": "PENDING", "tags": ["x"]}
    hidden = {"status": "PENDING"}
    given: dict[str, Any] = {"tasks": {"a": inner}, "persistent": pmap({"b": hidden})}
    projector = StateProjector(given)
    inner["status"] = "FAILED"
    inner["tags"].append("y")  # type: ignore[attr-defined]
    hidden["status"] = "FAILED"
    given["more"] = 1

    assert projector.get_state() == {
        "tasks": {"a": {"status": "PENDING", "tags": ["x"]}},
        "persistent": {"b": {"status": "PENDING"}},
    }


def test_an_update_with_new_dicts_is_frozen_and_returned() -> None:
    projector = StateProjector({"tasks": {}, "workflows": {}})
    task = {"status": "RUNNING", "tags": ["x"]}

    state = projector.update_state(
        lambda state: {**state, "tasks": {**state.get("tasks", {}), "a": {**state["tasks"].get("a", {}), **task}}}
    )
    task["tags"].append("y")  # type: ignore[attr-defined]

    assert state is projector.get_state()
    assert state == {"tasks": {"a": {"status": "RUNNING", "tags": ["x"]}}, "workflows": {}}


def test_an_update_of_one_task_leaves_the_others_the_very_objects_they_were() -> None:
    projector = _tasks(10_000)
    before = projector.get_state()

    projector.update_state(
        lambda state: state.set("tasks", state["tasks"].set("t77", state["tasks"]["t77"].set("status", "COMPLETED")))
    )
    after = projector.get_state()

    assert after["workflows"] is before["workflows"]
    changed = [name for name in before["tasks"] if after["tasks"][name] is not before["tasks"][name]]
    assert changed == ["t77"]
    assert (before["tasks"]["t77"]["status"], after["tasks"]["t77"]["status"]) == ("PENDING", "COMPLETED")


def test_an_update_with_new_dicts_shares_what_it_did_not_touch() -> None:
    projector = _tasks(100)
    before = projector.get_state()

    after = projector.update_state(lambda state: {**state, "tasks": {**state["tasks"], "t7": {"status": "FAILED"}}})

    assert [name for name in before["tasks"] if after["tasks"][name] is not before["tasks"][name]] == ["t7"]


def test_an_update_looks_at_nothing_it_did_not_replace() -> None:
    class Watched(dict[str, Any]):
        looks = 0

        def items(self) -> Any:
            type(self).looks += 1
            return super().items()

    projector = StateProjector({"n": 0}).update_state  # a persistent map keeps what its own `set` is given
    projector(lambda state: state.set("big", pmap({"inside": Watched(a=1)})))
    projector(lambda state: state.set("n", 1))
    projector(lambda state: {**state, "n": 2})

    assert Watched.looks == 0


def test_an_updater_that_raises_leaves_the_state_as_it_was() -> None:
    projector = _tasks(2)
    before = projector.get_state()

    def raising(state: State) -> State:
        state.set("tasks", {})
        raise RuntimeError("my own bug")

    with pytest.raises(RuntimeError, match="my own bug"):
        projector.update_state(raising)
    assert projector.get_state() is before


@pytest.mark.parametrize("returned", [None, 3, ["tasks"]])
def test_an_updater_that_returns_no_mapping_is_told(returned: Any) -> None:
    projector = _tasks(2)
    before = projector.get_state()

    with pytest.raises(TypeError, match="a state is a mapping, not"):
        projector.update_state(lambda state: returned)
    assert projector.get_state() is before


def test_an_updater_cannot_update_the_state_it_is_updating_but_another() -> None:
    projector, other = _tasks(1), _tasks(1)

    def nested(state: State) -> State:
        projector.update_state(lambda inner: inner.set("n", 1))
        return state

    def beside(state: State) -> State:
        return state.set("n", len(other.update_state(lambda theirs: theirs.set("n", 1))))

    with pytest.raises(RuntimeError, match="cannot update the state that it is updating"):
        projector.update_state(nested)
    assert projector.update_state(beside)["n"] == 3


def test_no_update_of_many_threads_is_lost() -> None:
    projector = StateProjector({"count": 0, "by": {}})
    begin = threading.Barrier(8)

    def work(name: str) -> None:
        begin.wait()
        for _ in range(500):
            projector.update_state(
                lambda state: state.set("count", state["count"] + 1).set(
                    "by", state["by"].set(name, state["by"].get(name, 0) + 1)
                )
            )

    threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert projector.get_state()["count"] == 4000
    assert projector.get_state()["by"] == {f"thread {number}": 500 for number in range(8)}


def test_a_slower_updater_is_called_again_with_what_came_meanwhile() -> None:
    projector = StateProjector({"log": []})
    seen: list[list[str]] = []
    looked, overtaken = threading.Event(), threading.Event()

    def slow(state: State) -> State:
        seen.append(list(state["log"]))
        looked.set()
        assert overtaken.wait(10)
        return state.set("log", state["log"].append("slow"))

    thread = threading.Thread(target=projector.update_state, args=(slow,))
    thread.start()
    assert looked.wait(10)
    projector.update_state(lambda state: state.set("log", state["log"].append("quick")))
    overtaken.set()
    thread.join(10)

    assert seen == [[], ["quick"]]
    assert projector.get_state()["log"] == ["quick", "slow"]


def test_projections_are_made_of_the_present_state() -> None:
    projector = _tasks(2)
    projector.add_projection("status", lambda state: {name: task["status"] for name, task in state["tasks"].items()})
    assert projector.project("status") == {"t0": "PENDING", "t1": "PENDING"}

    projector.update_state(lambda state: {**state, "tasks": {"t0": {"status": "FAILED"}}})
    assert projector.project("status") == {"t0": "FAILED"}

    projector.add_projection("status", lambda state: len(state["tasks"]))
    assert projector.project("status") == 1


def test_an_unknown_projection_is_an_error_that_names_the_nearest() -> None:
    projector = _tasks(1)
    projector.add_projection("task_status", len)

    with pytest.raises(KeyError, match='there is no projection "task_state"') as raised:
        projector.project("task_state")
    assert 'did you mean "task_status"?' in str(raised.value)


def test_reset_goes_back_to_the_beginning_and_keeps_projections() -> None:
    projector = _tasks(2)
    first = projector.get_state()
    projector.add_projection("size", lambda state: len(state["tasks"]))
    projector.update_state(lambda state: state.set("tasks", {}))
    assert projector.project("size") == 0

    projector.reset()

    assert projector.get_state() is first
    assert projector.project("size") == 2


def test_a_state_may_begin_empty() -> None:
    assert StateProjector().get_state() == {}


def test_an_updater_of_a_persistent_map_freezes_what_it_sets() -> None:
    projector = StateProjector()
    projector.update_state(lambda state: state.set("seen", qtui.frozen([1, {"deep": [2]}])))
    assert projector.get_state()["seen"] == pvector([1, pmap({"deep": pvector([2])})])


@pytest.mark.parametrize("state", [[1], [], "text", 0])
def test_an_initial_state_is_a_mapping(state: Any) -> None:
    with pytest.raises(TypeError, match=f"the initial state is a mapping, not {type(state).__name__}"):
        StateProjector(state)
