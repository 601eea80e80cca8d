"""`run_pipelines` on a Dask cluster: a real one, with workers that are processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlthub_project import current

WriteProject = Callable[..., Path]

pytestmark = pytest.mark.slow

SOURCE = """
    import os
    import signal
    import time
    from pathlib import Path

    import dlt


    @dlt.source
    def numbers(first: int):
        @dlt.resource
        def rows():
            yield [{"id": first + i, "pid": os.getpid()} for i in range(10)]
            if not Path(__file__).with_name("died").exists() and first == 10:
                Path(__file__).with_name("died").touch()
                os.kill(os.getpid(), signal.SIGKILL)

        return rows
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A cluster of two processes, which start in the folder of the project."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.postgres
@pytest.mark.filterwarnings("ignore")
def test_a_worker_of_a_cluster_dies_and_nothing_is_lost_or_doubled(
    write_project: WriteProject, postgres_url: str, cluster: object
) -> None:
    dataset = f"cluster_{os.getpid()}"
    names = [f"load_{n}" for n in range(4)]
    sources = "".join(f"\n  s{n}: {{type: shop.numbers, first: {10 * n}}}" for n in range(4))
    pipelines = "".join(
        f"\n  load_{n}: {{source: s{n}, destination: warehouse, dataset_name: {dataset}}}"
        for n in range(4)
    )
    root = write_project(
        f"sources:{sources}\n"
        f"destinations:\n  warehouse: {{type: postgres, credentials: '{postgres_url}'}}\n"
        f"pipelines:{pipelines}\n",
        {"sources/shop.py": SOURCE},
    )
    executor = cluster.get_executor(pure=False)  # type: ignore[attr-defined]
    try:
        results = current.runner().run_pipelines(names, executor=executor)
        results.raise_for_failures()
        rows = current.catalog().dataset(dataset)["rows"].fetchall()
    finally:
        with current.entities().get_pipeline("load_0").sql_client() as client:
            client.drop_dataset()

    assert (root / "sources" / "died").exists()
    assert sorted(row[0] for row in rows) == list(range(40))
    assert os.getpid() not in {row[1] for row in rows}


def test_a_local_cluster_may_write_to_a_file(write_project: WriteProject, cluster: object) -> None:
    write_project(
        """
        sources:
          a: {type: shop.numbers, first: 0}
          b: {type: shop.numbers, first: 20}
        pipelines:
          load_a: {source: a, destination: duckdb, dataset_name: raw}
          load_b: {source: b, destination: duckdb, dataset_name: raw}
        """,
        {"sources/shop.py": SOURCE},
    )
    executor = cluster.get_executor(pure=False)  # type: ignore[attr-defined]
    current.runner().run_pipelines(executor=executor).raise_for_failures()

    assert current.catalog().raw.row_counts().fetchall() == [("rows", 20)]
