"""`run_pipeline`: a declared pipeline, run whole or in part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dlt
import pytest
from dlt.common.schema.exceptions import DataValidationError
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project import EntityNotFound, current
from dlthub_project.runner import PipelineManager, row_counts

WriteProject = Callable[..., Path]


def loaded(manager: PipelineManager, pipeline: str = "load_orders") -> dict[str, int]:
    """Return the rows of each data table in the dataset of `pipeline`."""
    dataset = manager.entities.get_pipeline(pipeline).dataset()
    return dict(dataset.row_counts().fetchall())


def test_a_run_loads_what_the_declared_source_yields(shop: Path) -> None:
    manager = current.runner()
    info = manager.run_pipeline("load_orders")

    assert loaded(manager) == {"customers": 1, "customers__emails": 1, "items": 3}
    assert len(info.loads_ids) == 1
    assert not info.has_failed_jobs
    assert (shop / "_data" / "dev" / "local" / "warehouse.duckdb").is_file()


def test_a_limit_bounds_the_pages_of_each_resource(write_project: WriteProject) -> None:
    write_project(
        """
        sources:
          orders: {type: shop.orders}
        pipelines:
          load_orders: {source: orders, destination: duckdb}
        """,
        {
            "sources/shop.py": """
                import dlt


                @dlt.source
                def orders():
                    @dlt.resource
                    def items():
                        for page in range(5):
                            yield [{"id": 2 * page}, {"id": 2 * page + 1}]

                    @dlt.resource
                    def customers():
                        yield {"name": "Ada"}

                    return items, customers
            """
        },
    )
    manager = current.runner()
    manager.run_pipeline("load_orders", limit=2)

    assert loaded(manager) == {"customers": 1, "items": 4}


def test_resources_select_what_is_loaded(shop: Path) -> None:
    manager = current.runner()
    manager.run_pipeline("load_orders", resources=["items"])

    assert loaded(manager) == {"items": 3}


def test_an_unknown_resource_is_an_error_with_the_known_ones_and_loads_nothing(
    shop: Path,
) -> None:
    manager = current.runner()

    with pytest.raises(EntityNotFound) as caught:
        manager.run_pipeline("load_orders", resources=["items", "customer"])
    assert "There is no resource `customer`" in str(caught.value)
    assert "Known: customers, items. Did you mean `customers`?" in str(caught.value)
    assert not (shop / "_data" / "dev" / "local" / "warehouse.duckdb").exists()


@pytest.mark.usefixtures("shop")
def test_a_name_alone_is_no_list_of_resources() -> None:
    with pytest.raises(TypeError, match=r'resources: a list of names .* \["items"\]'):
        current.runner().run_pipeline("load_orders", resources="items")


TWO_SOURCES = """
    sources:
      orders: {type: shop.orders}
      staff: {type: shop.staff}
    pipelines:
      load_all: {source: [orders, staff], destination: duckdb}
"""

TWO_SOURCES_CODE = """
    import dlt


    @dlt.source
    def orders():
        return dlt.resource([{"id": 1}], name="items")


    @dlt.source
    def staff():
        return dlt.resource([{"id": 1}, {"id": 2}], name="people")
"""


def test_a_pipeline_may_load_several_sources(write_project: WriteProject) -> None:
    write_project(TWO_SOURCES, {"sources/shop.py": TWO_SOURCES_CODE})
    manager = current.runner()
    manager.run_pipeline("load_all")
    pipeline = manager.entities.get_pipeline("load_all")

    assert loaded(manager, "load_all") == {"items": 1, "people": 2}
    assert sorted(pipeline.schemas) == ["orders", "staff"]


def test_resources_are_selected_over_all_sources(write_project: WriteProject) -> None:
    write_project(TWO_SOURCES, {"sources/shop.py": TWO_SOURCES_CODE})
    manager = current.runner()
    manager.run_pipeline("load_all", resources=["people"])

    assert loaded(manager, "load_all") == {"people": 2}


def test_given_data_are_loaded_instead_of_the_source(shop: Path) -> None:
    manager = current.runner()
    manager.run_pipeline("load_orders", data=[{"id": 7}, {"id": 8}], table_name="items")

    assert loaded(manager) == {"items": 2}


def test_limit_and_resources_hold_for_given_sources(shop: Path) -> None:
    manager = current.runner()
    source = manager.entities.get_source("orders")

    manager.run_pipeline("load_orders", data=source(rows=5), resources=["items"], limit=1)
    assert loaded(manager) == {"items": 5}
    manager.run_pipeline("load_orders", data=source, resources=["customers"])
    assert loaded(manager)["customers"] == 1
    whole = source()
    manager.run_pipeline("load_orders", data=whole, resources=["customers"])
    assert sorted(whole.resources.selected) == ["customers", "items"]
    with pytest.raises(EntityNotFound, match="no resource `nothing`"):
        manager.run_pipeline("load_orders", data=source(), resources=["nothing"])


def test_limit_and_resources_hold_for_given_resources(shop: Path) -> None:
    manager = current.runner()
    pages = dlt.resource([[{"id": 1}], [{"id": 2}]], name="pages")
    others = dlt.resource([{"id": 1}], name="others")

    manager.run_pipeline("load_orders", data=[pages, others], resources=["pages"], limit=1)
    assert loaded(manager) == {"pages": 1}
    with pytest.raises(EntityNotFound, match=r"no resource `items`. Known: pages"):
        manager.run_pipeline("load_orders", data=pages, resources=["items"])


@pytest.mark.parametrize("selection", [{"limit": 1}, {"resources": ["items"]}])
def test_limit_and_resources_need_a_source_or_resource(
    shop: Path, selection: dict[str, object]
) -> None:
    with pytest.raises(
        TypeError, match=r"(limit|resources)= needs dlt sources or resources, not dict"
    ):
        current.runner().run_pipeline(
            "load_orders",
            data=[{"id": 1}],
            table_name="items",
            **selection,  # type: ignore[arg-type]
        )


def test_destination_and_dataset_may_be_asked_for(shop: Path) -> None:
    manager = current.runner()
    info = manager.run_pipeline("load_orders", destination="duckdb", dataset_name="other_data")

    assert (info.destination_name, info.dataset_name) == ("duckdb", "other_data")
    assert manager.entities.get_dataset("other_data", "duckdb")["items"].fetchall()


def test_further_arguments_are_those_of_a_run(shop: Path) -> None:
    manager = current.runner()
    for _ in range(2):
        manager.run_pipeline("load_orders", write_disposition="replace", resources=["items"])

    assert loaded(manager) == {"items": 3}


def test_a_pipeline_without_a_source_says_where_to_name_one(write_project: WriteProject) -> None:
    write_project("pipelines:\n  load_orders: {destination: duckdb}\n")
    manager = current.runner()

    with pytest.raises(EntityNotFound, match=r"Set pipelines\.load_orders\.source"):
        manager.run_pipeline("load_orders")
    manager.run_pipeline("load_orders", data=[{"id": 1}], table_name="items")
    assert loaded(manager) == {"items": 1}


def test_a_failing_source_is_the_error_of_dlt_with_the_cause(write_project: WriteProject) -> None:
    write_project(
        """
        sources:
          orders: {type: shop.orders}
        pipelines:
          load_orders: {source: orders, destination: duckdb}
        """,
        {
            "sources/shop.py": """
                import dlt


                @dlt.resource
                def orders():
                    yield {"id": 1}
                    raise ConnectionError("the shop is closed")
            """
        },
    )
    with pytest.raises(PipelineStepFailed, match="the shop is closed") as caught:
        current.runner().run_pipeline("load_orders")

    assert caught.value.step == "extract"


FROZEN = """
    sources:
      orders: {type: shop.orders}
    destinations:
      warehouse: {type: duckdb}
    datasets:
      shop_data:
        destination: [warehouse]
        contract: {columns: freeze}
    pipelines:
      load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
"""

GROWING = """
    import dlt


    @dlt.resource
    def orders(extra: bool = False):
        yield {"id": 1, "note": "new"} if extra else {"id": 1}
"""


def breach(caught: pytest.ExceptionInfo[PipelineStepFailed]) -> DataValidationError:
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, DataValidationError):
        error = error.__cause__ or error.__context__
    assert isinstance(error, DataValidationError)
    return error


def test_the_contract_of_the_dataset_holds_for_its_pipelines(write_project: WriteProject) -> None:
    write_project(FROZEN, {"sources/shop.py": GROWING})
    manager = current.runner()
    manager.run_pipeline("load_orders")

    with pytest.raises(PipelineStepFailed) as caught:
        manager.run_pipeline("load_orders", data=[{"id": 2, "note": "new"}], table_name="orders")
    error = breach(caught)
    assert (error.table_name, error.column_name, error.contract_mode) == (
        "orders",
        "note",
        "freeze",
    )
    assert loaded(manager) == {"orders": 1}


def test_the_contract_of_the_dataset_holds_for_it_under_another_pipeline_argument(
    write_project: WriteProject,
) -> None:
    write_project(FROZEN.replace("dataset_name: shop_data", "dataset_name: other"))
    manager = current.runner()
    run = {"dataset_name": "shop_data", "table_name": "orders"}
    manager.run_pipeline("load_orders", data=[{"id": 1}], **run)  # type: ignore[arg-type]

    with pytest.raises(PipelineStepFailed):
        manager.run_pipeline("load_orders", data=[{"id": 2, "note": "new"}], **run)  # type: ignore[arg-type]


def test_a_contract_given_for_a_run_replaces_that_of_the_dataset(
    write_project: WriteProject,
) -> None:
    write_project(FROZEN, {"sources/shop.py": GROWING})
    manager = current.runner()
    for data in ([{"id": 1}], [{"id": 2, "note": "new"}]):
        manager.run_pipeline(
            "load_orders", data=data, table_name="orders", schema_contract="evolve"
        )

    assert loaded(manager) == {"orders": 2}


def test_a_pipeline_in_dev_mode_runs_also_where_all_must_be_declared(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        project: {allow_undefined_entities: false}
        sources:
          orders: {type: shop.orders}
        destinations:
          warehouse: {type: duckdb}
        datasets:
          shop_data: {destination: [warehouse], contract: {data_type: freeze}}
        pipelines:
          load_orders:
            source: orders
            destination: warehouse
            dataset_name: shop_data
            dev_mode: true
        """,
        {"sources/shop.py": GROWING},
    )
    info = current.runner().run_pipeline("load_orders")

    assert info.dataset_name.startswith("shop_data_2")
    contract = info.pipeline.default_schema.settings["schema_contract"]  # type: ignore[attr-defined]
    assert contract == {"data_type": "freeze"}


def test_rows_of_the_last_run_are_counted_by_table(shop: Path) -> None:
    manager = current.runner()
    pipeline = manager.entities.get_pipeline("load_orders")

    assert row_counts(pipeline, None) == {}
    first = manager.run(pipeline)
    assert row_counts(pipeline, first) == {"customers": 1, "customers__emails": 1, "items": 3}
    assert row_counts(pipeline, manager.run(pipeline, resources=["items"])) == {"items": 3}
    assert row_counts(pipeline, pipeline.load()) == {}
