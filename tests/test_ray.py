"""Work spread over a Ray cluster: the same bytes, and who dies costs no more than what it did."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from source_tree import ROOT

from archive_tools.run import executor, read_manifest
from archive_tools.stages import s00_search, s01_verify, s02_record, s03_annotate, s04_describe
from envs.errors import InputError

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra [ray])"
)


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one worker each, as processes of this machine."""
    from ray import cloudpickle
    from ray.cluster_utils import Cluster

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see tests/
    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


def way(run: Path, ray: str) -> list[str]:
    """Stages 00 to 04 of a tiny run; the digests of their folders."""
    options = {"run": run, "ray": ray}
    s00_search.run(s00_search.SearchConfig(**options, evaluations=200, batch=100, cells=(8, 8)))
    s01_verify.run(s01_verify.VerifyConfig(**options))
    s02_record.run(s02_record.RecordConfig(**options, chunk=20))
    s03_annotate.run(s03_annotate.AnnotateConfig(**options, chunk=10))
    s04_describe.run(s04_describe.DescribeConfig(**options, per_trajectory=2))
    names = ("archive", "trajectories", "annotations", "descriptions")
    return [read_manifest(run / name)["digest"] for name in names]


@needs_ray
def test_the_result_is_the_same_on_a_cluster_of_two_nodes(cluster, tmp_path):
    assert way(tmp_path / "spread", cluster.address) == way(tmp_path / "here", "")


def _double(marks: Path, number: int) -> int:
    """Twice a number; who gets 3 for the first time dies."""
    mark = marks / str(number)
    if number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


@needs_ray
def test_a_killed_worker_costs_its_piece_only(cluster, tmp_path):
    with executor.open_executor(cluster.address) as workers:
        assert list(workers.map(_double, range(8), tmp_path)) == [2 * n for n in range(8)]
    assert (tmp_path / "3").exists()


def _dies(_: None, number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def _refuses(_: None, number: int) -> int:
    raise InputError(f"number {number} is refused")


@needs_ray
def test_what_cannot_be_done_ends_in_the_same_line_as_here(cluster, monkeypatch):
    monkeypatch.setattr(executor, "RETRIES", 0)
    with executor.open_executor(cluster.address) as workers:
        with pytest.raises(InputError, match="number 0 is refused"):
            list(workers.map(_refuses, range(3), None))
        with pytest.raises(InputError, match="a piece of work was lost 1 times"):
            list(workers.map(_dies, [0], None))


def _slow(_: None, number: int) -> int:
    time.sleep(0.2)
    return number


@needs_ray
def test_a_killed_node_costs_its_pieces_only(cluster):
    node = cluster.add_node(num_cpus=2)
    with executor.open_executor(cluster.address) as workers:
        results = workers.map(_slow, range(30), None)
        found = [next(results)]
        cluster.remove_node(node, allow_graceful=False)
        assert found + list(results) == list(range(30))


@needs_ray
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_an_interrupt_leaves_no_process_behind():
    script = (
        "import time\n"
        "from archive_tools.run import executor, main, StageConfig\n"
        "def run(config):\n"
        "    with executor.open_executor('auto') as workers:\n"
        "        for _ in workers.map(lambda shared, n: time.sleep(n), [0, 100, 100], None):\n"
        "            print('at work', flush=True)\n"
        "main(run, StageConfig, '')\n"
    )
    mark = uuid.uuid4().hex
    job = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "WAYWORD_TEST": mark, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert job.stdout is not None
    # Of a machine that is slow to answer Ray says so first.
    assert any(line == "at work\n" for line in iter(job.stdout.readline, ""))
    job.send_signal(signal.SIGINT)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 130 and "interrupted" in said and "Traceback" not in said
    deadline = time.monotonic() + 10
    while (left := _processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left


def _processes(mark: str) -> list[str]:
    """What runs with a mark in its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().decode()[:100])
        except OSError:
            continue
    return found


def test_ray_is_imported_only_where_it_is_asked_for():
    code = (
        "import sys; from archive_tools.stages import s00_search; assert 'ray' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def test_without_ray_one_line_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"Ray is not installed; pip install 'wayword\[ray\]'"):
        s02_record.run(s02_record.RecordConfig(run=tmp_path, ray="auto"))


@needs_ray
def test_an_address_without_a_cluster_is_refused():
    with (
        pytest.raises(InputError, match="no Ray cluster answers there"),
        executor.open_executor("127.0.0.1:1"),
    ):
        pass
