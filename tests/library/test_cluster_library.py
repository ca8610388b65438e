"""Clusters as programs name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtui import ClusterSource, QuantumPartitioner, UsageError, Workflow, open_services
from qtui.core.model import ExecutionMode
from qtui.definition.options import Overrides

FAR = "tcp://192.0.2.1:8786"  # an address for documentation: nobody is there


def test_a_program_does_not_begin_a_run_on_a_cluster_that_is_refused(tmp_path: Path) -> None:
    workflow = Workflow("w", mode="custom", executor="dask", address=FAR)
    workflow.add_unit(lambda: 1, name="a")

    with open_services(tmp_path) as services:
        with pytest.raises(UsageError, match="the connection is not encrypted"):
            services.manager.start(workflow.definition())

        assert not services.manager.runs()
    assert not list(tmp_path.glob("runs/*"))


def test_a_partitioner_takes_a_cluster_for_its_executor() -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: 1, name="a")

    with pytest.raises(UsageError, match="the connection is not encrypted"):
        partitioner.execute(custom_executor=ClusterSource("dask", FAR))


def test_the_command_line_may_send_the_units_of_a_partitioner_to_a_cluster() -> None:
    partitioner = QuantumPartitioner(default_execution_mode="custom")
    partitioner.add_unit(lambda: 1, name="a")

    options = partitioner.definition(overrides=Overrides(executor="dask", address="tls://a:1")).options

    assert (options.mode, options.executor, options.address) == (ExecutionMode.CUSTOM, "dask", "tls://a:1")
