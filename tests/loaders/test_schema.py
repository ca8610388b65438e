"""The JSON Schema accepts the files that the loader accepts, and refuses typical mistakes as the loader does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli
from jsonschema import Draft202012Validator
from test_whole_format import TEXT

from qtui.core.errors import InvalidWorkflow
from qtui.definition.drafts import name_fault
from qtui.definition.schema import workflow_schema
from qtui.loaders.load import load_definition

WORKFLOWS = sorted((Path(__file__).parents[2] / "workflows").rglob("*.toml"))
VALIDATOR = Draft202012Validator(workflow_schema())

GOOD = {
    "a bare default for a param": '[params]\na = 1\nb = ["x"]\n[units.a]\nrun = "true"',
    "expressions in place of numbers": '[params]\nn = 3\n[units.a]\nrun = "true"\nretries = "${{ params.n }}"',
    "a milestone": "[units.a]\n[units.b]\nneeds = ['a']",
    "a matrix of a param": '[params]\nl = ["x"]\n[units.a]\nmatrix = { a = "params.l", b = "${{ params.l }}" }',
    "a list called file": "[units.a]\nmatrix = { file = [1, 2] }",
    "times and sizes": '[workflow]\nmemory_limit = "75.5%"\ngrace = "0s"\n[units.a]\nresources = { memory = "0.5G" }',
    "a cluster": "[workflow]\nmode = 'custom'\nexecutor = 'dask'\naddress = 'tls://[fd00::5]:8786'\n[units.a]",
    "what a cluster has": "[units.a]\nresources = { dask = { GPU = 0.5 } }",
    "errors that are re-tried": '[units.a]\nretries = { max = 1, on = ["timeout", "OSError", -9, 3] }',
    "a sequence of commands": '[units.a]\nrun = ["true", "true"]',
}
BAD = {
    "a misspelt key of a unit": '[units.a]\nrun = "true"\ntimout = 3',
    "a misspelt table": '[units.a]\nrun = "true"\n[default]\nretries = 1',
    "a misspelt key of a table in a unit": '[units.a]\nrun = "true"\nretries = { max = 1, wait = 2 }',
    "two actions": '[units.a]\nrun = "true"\nargv = ["true"]',
    "args without a call": '[units.a]\nrun = "true"\nargs = { a = 1 }',
    "a shell without run": '[units.a]\nargv = ["true"]\nshell = "bash"',
    "a key for commands alone": '[units.a]\ncall = "json:loads"\nargs = { s = "1" }\npty = true',
    "a duration without its unit": '[units.a]\nrun = "true"\ntimeout = "90"',
    "needs that are no list": '[units.a]\n[units.b]\nneeds = "a"',
    "an action among the defaults": '[defaults]\nrun = "true"\n[units.a]',
    "a unit key in the wrong table": '[workflow]\nretries = 1\n[units.a]\nrun = "true"',
    "a setting at the top level": 'workers = 3\n[units.a]\nrun = "true"',
    "a misspelt key of a param": '[params]\na = { typ = "int", default = 1 }\n[units.a]\nrun = "true"',
    "an unknown type of a param": '[params]\na = { type = "number", default = 1 }\n[units.a]\nrun = "true"',
    "a name with a space": '[units."a b"]\nrun = "true"',
    "a param's name with a hyphen": '[params]\na-b = 1\n[units.a]\nrun = "true"',
    "another version": 'version = 2\n[units.a]\nrun = "true"',
    "no unit": '[workflow]\nname = "x"',
    "an empty table of units": "[units]",
    "an unknown event": '[notify]\non = ["fail"]\n[units.a]\nrun = "true"',
    "a table of a param that says nothing": "[params]\na = {}\n[units.a]",
    "a table as the default of a param": "[params]\na = { default = {} }\n[units.a]",
    "a list of lists as the default of a param": "[params]\na = [[1]]\n[units.a]",
    "no resources": "[units.a]\nresources = {}",
    "no memory": "[units.a]\nresources = { memory = 0 }",
    "nothing of what a cluster has": "[units.a]\nresources = { dask = { GPU = 0 } }",
    "an address without a port": "[workflow]\nmode = 'custom'\nexecutor = 'dask'\naddress = 'tls://a'\n[units.a]",
    "no time": "[units.a]\ntimeout = 0",
    "no time in words": '[units.a]\ntimeout = "0s"',
    "a time beyond all": "[units.a]\ntimeout = 2e9",
    "a size beyond all": "[workflow]\npersist_max = 2305843009213693952\n[units.a]",
    "a percentage that is none": '[workflow]\nmemory_limit = "150%"\n[units.a]',
    "a success that is re-tried": "[units.a]\nretries = { max = 1, on = [0] }",
    "an error that cannot be called so": '[units.a]\nretries = { max = 1, on = ["a b"] }',
    "an empty matrix": "[units.a]\nmatrix = {}",
    "a matrix that only takes out": "[units.a]\nmatrix = { exclude = [{ a = 1 }] }",
    "an empty list in a matrix": "[units.a]\nmatrix = { a = [] }",
    "a matrix of a string": '[units.a]\nmatrix = { a = "x" }',
    "a group of a string": '[groups.g]\nmatrix = { a = "x" }\n[units.a]\ngroup = "g"',
    "a pool twice": '[pools]\ng = 2\n[units.a]\npools = ["g", "g"]',
    "an argument that cannot be called so": '[units.a]\ncall = "json:loads"\nargs = { "a b" = 1 }',
    "an included file of another kind": '[workflow]\ninclude = { a = "a.py" }\n[units.a]',
    "a brake without a count": '[workflow]\nmax_failures = { same = true }\n[units.a]\nrun = "true"',
}


def faults(text: str) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(tomli.loads(text))]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(workflow_schema())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_workflows_that_come_along_are_valid(path: Path) -> None:
    assert faults(path.read_text()) == []


def test_a_file_with_every_key_is_valid() -> None:
    assert faults(TEXT) == []


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_what_the_loader_accepts_is_valid(text: str) -> None:
    Path("flow.toml").write_text(text)
    load_definition("flow.toml")

    assert faults(text) == []


def test_units_may_come_from_other_files_alone() -> None:
    assert faults('[workflow]\ninclude = { docs = "docs.toml" }') == []


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_typical_mistakes_are_invalid_as_they_are_for_the_loader(text: str) -> None:
    Path("flow.toml").write_text(text)
    with pytest.raises(InvalidWorkflow):
        load_definition("flow.toml")

    assert faults(text) != []


@pytest.mark.parametrize("name", ["a", "a.b-c", "1a", "_", "", "-a", "a b", "a[b]", "é"])
def test_names_of_units_are_those_that_the_loader_takes(name: str) -> None:
    document = {"units": {name: {"run": "true"}}}

    assert VALIDATOR.is_valid(document) == (name_fault(name) is None)


def test_every_key_is_explained() -> None:
    def unexplained(schema: Any) -> set[str]:
        if isinstance(schema, list):
            return {name for part in schema for name in unexplained(part)}
        if not isinstance(schema, dict):
            return set()
        properties = schema.get("properties", {}) if schema.get("type") == "object" else {}
        missing = {name for name, one in properties.items() if not one.get("description")}
        return missing.union(*(unexplained(one) for one in schema.values()))

    # of a matrix, they are explained with the key itself
    assert unexplained(workflow_schema()) <= {"include", "exclude"}
