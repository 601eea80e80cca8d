"""Rows given to sources that YAML alone declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.errors import EntityNotFound, ManifestError
from pytest_dlthub import DltProject

OpenProject = Callable[..., DltProject]

PIPELINE = """
    destinations:
      warehouse: {type: postgres, credentials: "{env.WAREHOUSE_URL}"}
    pipelines:
      load: {source: its_source, destination: warehouse, dataset_name: data}
"""

REST_API = """
    sources:
      its_source:
        type: rest_api
        client:
          base_url: https://api.invalid/v1
          auth: {token: "{env.API_TOKEN}"}
        resources:
          - name: posts
            primary_key: id
            write_disposition: merge
            endpoint:
              path: posts
              incremental: {cursor_path: updated, start_param: since, initial_value: "2026-01-01"}
          - name: comments
            endpoint: {path: "posts/{resources.posts.id}/comments"}
            include_from_parent: [id]
            processing_steps:
              - filter: "{functions.is_spam}"
"""


class TestRestApi:
    @pytest.fixture
    def project(self, open_project: OpenProject) -> DltProject:
        return open_project(
            PIPELINE
            + REST_API.replace("            processing_steps:\n", "").replace(
                '              - filter: "{functions.is_spam}"\n', ""
            )
        )

    def test_incremental_of_an_endpoint(self, project: DltProject) -> None:
        first = project.run(
            "load",
            resources=["posts"],
            given={
                "posts": [
                    {"id": 1, "updated": "2026-01-02"},
                    {"id": 2, "updated": "2026-01-03"},
                    {"id": 3, "updated": "2025-12-31"},
                ]
            },
        )
        assert first.row_counts == {"posts": 2}

        second = first.next(
            given={
                "posts": [
                    {"id": 1, "updated": "2026-01-01"},
                    {"id": 2, "updated": "2026-01-04"},
                ]
            }
        )

        assert second.row_counts == {"posts": 1}
        assert [(row["id"], row["updated"]) for row in second.rows("posts")] == [
            (1, "2026-01-02"),
            (2, "2026-01-04"),
        ]

    def test_child_named_itself(self, project: DltProject) -> None:
        run = project.run("load", given={"comments": [{"_posts_id": 1, "text": "hi"}]})

        assert run.row_counts == {"comments": 1}
        assert run.rows("comments") == [{"_posts_id": 1, "text": "hi"}]

    def test_both(self, project: DltProject) -> None:
        run = project.run(
            "load",
            given={
                "its_source.posts": [{"id": 1, "updated": "2026-01-02"}],
                "comments": [{"_posts_id": 1, "text": "hi"}],
            },
        )

        assert run.row_counts == {"posts": 1, "comments": 1}

    def test_error_of_a_child_that_asks_the_api_says_how_to_give_it(
        self, project: DltProject
    ) -> None:
        posts = [[{"id": 1, "updated": "2026-01-05"}]]
        with pytest.raises(PipelineStepFailed) as asked:
            project.run("load", given={"posts": posts})
        assert str(asked.value).startswith("given: `comments` has no given rows, so")
        assert 'Give it rows too: "comments": [...]; or leave it out: resources=["posts"].' in str(
            asked.value
        )

    def test_error_of_a_child_that_reads_pages_says_how_to_give_one(
        self, project: DltProject
    ) -> None:
        with pytest.raises(PipelineStepFailed) as failed:
            project.run("load", given={"posts": [{"id": 1, "updated": "2026-01-05"}]})

        assert str(failed.value).startswith(
            "given: `comments` seems to read pages, which are lists of rows. "
            'Give a page: "posts": [[...]].'
        )

        @dlt.transformer(data_from=dlt.resource([], name="words"))
        def lengths(page: list[Any]) -> Iterator[Any]:
            yield from ({"length": word.len} for word in page)

        # a page is what was given: another fault is told as it is
        with pytest.raises(PipelineStepFailed, match="'str' object has no") as failed:
            project.run("load", data=lengths, given={"words": [["tea"]]})
        assert "given:" not in str(failed.value)

    def test_variables_that_are_not_set_are_needed_without_given_rows(
        self, project: DltProject
    ) -> None:
        with pytest.raises(ManifestError, match="API_TOKEN"):
            project.run("load")


SQL = """
    sources:
      its_source:
        type: sql_database
        credentials: {credentials}
        table_names: [users, orders]
        defer_table_reflect: true
        backend: {backend}
"""


# of dlt's own call of itself
@pytest.mark.sampled(2)
@pytest.mark.filterwarnings("ignore:`detect_precision_hints` argument:DeprecationWarning")
@pytest.mark.parametrize("backend", ["sqlalchemy", "pyarrow"])
@pytest.mark.parametrize(
    "credentials", ['"{env.SOURCE_URL}"', "postgresql+psycopg2://u:p@db.invalid/shop", "null"]
)
def test_sql_database_that_is_reflected_late(
    open_project: OpenProject, backend: str, credentials: str
) -> None:
    pytest.importorskip("sqlalchemy")
    manifest = SQL.replace("{credentials}", credentials).replace("{backend}", backend)
    project = open_project(PIPELINE + manifest)

    run = project.run("load", given={"users": [{"id": 1, "name": "Ada"}]})

    assert run.row_counts == {"users": 1}
    assert run.rows("users") == [{"id": 1, "name": "Ada"}]


FILE = {"file_url": "s3://bucket/orders/a.csv", "file_name": "a.csv", "size_in_bytes": 3}


def test_filesystem(open_project: OpenProject) -> None:
    project = open_project(
        PIPELINE
        + """
    sources:
      its_source:
        type: filesystem
        bucket_url: s3://bucket/orders
        file_glob: "*.csv"
"""
    )
    run = project.run("load", given={"its_source": [[FILE]]})

    assert run.rows("its_source") == [FILE]


READERS = """
    import dlt
    from dlt.sources.filesystem import filesystem, read_csv


    @dlt.source
    def orders():
        files = filesystem(bucket_url="s3://bucket/orders", file_glob="*.csv")
        return (files | read_csv()).with_name("orders")
"""


def test_reader_of_files_named_itself(open_project: OpenProject) -> None:
    manifest = PIPELINE + "    sources:\n      its_source: {type: files.orders}\n"
    project = open_project(manifest, {"sources/files.py": READERS})

    run = project.run("load", given={"orders": [{"id": 1}]})

    assert run.rows("orders") == [{"id": 1}]


TWO = """
    sources:
      its_source: {type: two.first}
      other: {type: two.second}
"""


def test_source_without_given_rows_is_not_run(open_project: OpenProject) -> None:
    code = """
        import dlt


        @dlt.source
        def first():
            return dlt.resource([1], name="numbers")


        @dlt.source
        def second():
            @dlt.resource
            def never():
                raise AssertionError("it was run")
                yield

            return never
    """
    pipeline = PIPELINE.replace("source: its_source", "source: [its_source, other]")
    project = open_project(pipeline + TWO, {"sources/two.py": code})

    run = project.run("load", given={"numbers": [{"n": 1}]})

    assert run.row_counts == {"numbers": 1}


def test_contract_of_the_dataset_holds(open_project: OpenProject) -> None:
    manifest = (
        PIPELINE
        + """
    sources:
      its_source: {type: shop.users}
    datasets:
      data: {destination: [warehouse], contract: {columns: discard_value}}
"""
    )
    code = """
        import dlt


        @dlt.resource
        def users():
            yield {"id": 0}
    """
    project = open_project(manifest, {"sources/shop.py": code})
    name = next(iter(project.source("its_source")().resources))

    first = project.run("load", given={name: [{"id": 1}]})
    second = first.next(given={name: [{"id": 2, "more": True}]})

    assert second.rows(name) == [{"id": 1}, {"id": 2}]


def test_the_next_run_of_a_project_takes_every_argument_or_refuses_it(
    open_project: OpenProject,
) -> None:
    project = open_project("""
        destinations:
          warehouse: {type: duckdb}
          lake: {type: filesystem}
        pipelines:
          load: {destination: warehouse, dataset_name: data}
    """)
    first = project.run("load", data=[{"id": 1}], table_name="items", refresh="drop_sources")

    assert len(first.next(data=[{"id": 2}]).rows("items")) == 2
    second = first.next(data=[{"id": 3}], dataset_name="second")
    assert (second.dataset.dataset_name, second.rows("items")) == ("second", [{"id": 3}])
    third = second.next(data=[{"id": 4}], destination="lake")
    assert (third.dataset.dataset_name, third.rows("items")) == ("second", [{"id": 4}])
    of_object = project.run(first.pipeline, data=[{"id": 5}], table_name="items", dataset_name="5")
    assert of_object.rows("items") == [{"id": 5}]
    with pytest.raises(TypeError, match="dev_mode"):
        first.next(data=[{"id": 3}], dev_mode=True)


def test_an_iterator_is_not_run_twice(open_project: OpenProject) -> None:
    project = open_project("pipelines: {load: {destination: duckdb, dataset_name: data}}")
    first = project.run("load", data=iter([{"id": 1}]), table_name="items")

    with pytest.raises(TypeError, match="next: give data="):
        first.next()


def test_all_pipelines_run_in_their_order_with_what_is_given(open_project: OpenProject) -> None:
    project = open_project(
        """
        sources:
          orders: {type: shop.orders}
          reports: {type: shop.reports, dataset: shop_data}
        destinations:
          warehouse: {type: postgres}
        pipelines:
          load_reports: {source: reports, destination: warehouse, dataset_name: report_data}
          load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
        """,
        {
            "sources/shop.py": """
                import dlt
                from dlthub_project import current


                @dlt.source
                def orders(token: str = dlt.secrets.value):
                    return dlt.resource([{"id": 1}], name="orders")


                @dlt.source
                def reports(dataset: str):
                    @dlt.resource
                    def counts():
                        yield {"n": len(current.catalog()[dataset]["orders"].fetchall())}

                    return counts
            """
        },
    )
    runs = project.run_all(given={"load_orders": {"orders": [{"id": 5}, {"id": 6}]}})

    assert list(runs) == ["load_orders", "load_reports"]
    assert runs["load_reports"].rows("counts") == [{"n": 2}]
    with pytest.raises(EntityNotFound, match=r"`load_order` here.*Did you mean `load_orders`"):
        project.run_all(given={"load_order": {}})
