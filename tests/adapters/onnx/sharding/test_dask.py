"""Dask's workers, which are processes and may die."""

import pytest

from qcore.adapters.onnx import calibrate


@pytest.fixture
def executor():
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as us,
        distributed.Client(us) as client,
    ):
        yield client.get_executor()


@pytest.mark.slow
def test_what_a_killed_worker_of_dask_had_to_do_is_done_by_another(
    net, samples, fatal, executor, equal, tmp_path
):
    found = calibrate(net, fatal(samples, 5), executor=executor, shards=4)
    assert tmp_path.joinpath("killed").exists()
    equal(found, calibrate(net, samples))
