"""Tests that run side by side (pytest -n) share the cores: no library may take all of them."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = str(max(1, (os.cpu_count() or 1) // workers))
    # Before numpy, torch or numba are imported; processes that tests start inherit it.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, share)

SLOWEST = ("test_sanity", "test_pipeline", "test_nanodt_train", "test_describe")


def pytest_collection_modifyitems(items: list) -> None:
    """The slowest files first, so that no core works on one of them alone at the end."""

    def place(item) -> int:
        name = item.path.stem
        return SLOWEST.index(name) if name in SLOWEST else len(SLOWEST)

    items.sort(key=place)
