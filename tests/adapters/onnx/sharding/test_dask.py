"""Dask's executor, which is one of `concurrent.futures` by interface alone."""

import pytest

from qcore.adapters.onnx import calibrate


@pytest.fixture
def executor():
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    # Threads: cluster processes started below pytest's own have hung.
    with (
        distributed.LocalCluster(2, processes=False, dashboard_address=None) as us,
        distributed.Client(us) as client,
    ):
        yield client.get_executor()


def test_dask_gives_the_bits_of_one_process(net, samples, executor, equal):
    found = calibrate(net, samples, executor=executor, shards=4)
    equal(found, calibrate(net, samples))
