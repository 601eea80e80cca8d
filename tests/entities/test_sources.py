"""`get_source`: from an entry of `sources` to a source that dlt loads."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigValueCannotBeCoercedException,
)
from dlt.common.schema import Schema
from dlt.common.schema.utils import new_table
from dlt.extract import DltSource

from dlthub_project import EntityNotFound, ManifestError, current
from dlthub_project.entities import EntryPosition
from dlthub_project.errors import EntityReferenceError

WriteProject = Callable[..., Path]

RECORDER = """
    import dlt


    @dlt.source
    def record(rows: int = 1, label: str = dlt.config.value, since: str | None = None):
        return dlt.resource([{"rows": rows, "label": label, "since": since}], name="records")


    @dlt.source
    def record_required(rows: int, label: str):
        return dlt.resource([{"rows": rows, "label": label}], name="records")


    @dlt.source
    def record_anything(rows: int = 1, **rest):
        return dlt.resource([{"rows": rows, **rest}], name="records")


    @dlt.resource
    def record_resource(rows: int = 1):
        yield [{"rows": rows}]


    @dlt.resource
    def record_resource_required(rows: int):
        yield [{"rows": rows}]
"""


def record(write_project: WriteProject, entry: str, code: str = RECORDER) -> dict[str, Any]:
    """Return the arguments that source `recorder` was called with, as it yields them."""
    write_project(f"sources:\n  recorder: {entry}\n", {"sources/rec.py": code})
    (row,) = list(current.entities().get_source("recorder")())
    assert isinstance(row, dict)
    return row


def test_a_reference_of_two_parts_is_a_module_and_its_function_in_the_sources_folder(
    shop: Path,
) -> None:
    source = current.entities().get_source("orders")()

    assert isinstance(source, DltSource)
    assert sorted(source.resources) == ["customers", "items"]


def test_a_full_dotted_path_leads_to_a_source(write_project: WriteProject) -> None:
    assert record(write_project, "{type: sources.rec.record, label: a}")["label"] == "a"


def test_a_reference_of_one_part_is_a_module_and_its_function_of_the_same_name(
    write_project: WriteProject,
) -> None:
    code = RECORDER.replace("def record(", "def rec(")

    assert record(write_project, "{type: rec, label: a}", code)["label"] == "a"


def test_a_resource_serves_as_a_source(write_project: WriteProject) -> None:
    assert record(write_project, "{type: rec.record_resource, rows: 7}") == {"rows": 7}


def test_a_resource_serves_as_a_source_and_has_the_name_of_its_entry(
    write_project: WriteProject,
) -> None:
    assert record(write_project, "{type: rec.record_resource_required, rows: 7}") == {"rows": 7}
    source = current.entities().get_source("recorder")()

    assert list(source.resources) == ["recorder"]


def test_a_module_beside_the_sources_folder_is_found(write_project: WriteProject) -> None:
    write_project(
        "sources:\n  orders: {type: web_shop_for_one_test.orders}\n",
        {"web_shop_for_one_test.py": "import dlt\n\n\n@dlt.source\ndef orders():\n    return []\n"},
    )
    try:
        assert current.entities().get_source("orders")().name == "orders"
    finally:
        sys.modules.pop("web_shop_for_one_test", None)


def test_a_source_of_dlt_itself_is_found_by_its_shorthand_and_uses_no_network(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        sources:
          pokemon:
            type: rest_api
            client: {base_url: "https://pokemon.invalid/api/"}
            resources: [pokemon, {name: berry, endpoint: {path: "berries/{resources.pokemon.id}"}}]
        """
    )
    source = current.entities().get_source("pokemon")()

    assert source.name == "pokemon"
    assert sorted(source.resources) == ["berry", "pokemon"]


def test_a_source_has_the_name_and_section_of_its_entry(shop: Path) -> None:
    source = current.entities().get_source("orders")()

    assert (source.name, source.section, source.schema.name) == ("orders", "orders", "orders")


def test_two_entries_of_one_function_keep_their_own_values(write_project: WriteProject) -> None:
    write_project(
        """
        sources:
          first: {type: rec.record, label: one}
          second: {type: rec.record, label: two}
        """,
        {"sources/rec.py": RECORDER},
    )
    entities = current.entities()
    sources = [entities.get_source(name)() for name in ("first", "second")]

    assert [(source.name, next(iter(source))["label"]) for source in sources] == [
        ("first", "one"),
        ("second", "two"),
    ]


def test_values_are_cast_to_the_type_of_the_argument(write_project: WriteProject) -> None:
    assert record(write_project, '{type: rec.record, rows: "5", label: a}')["rows"] == 5


def test_an_environment_variable_in_a_value_is_filled_in_and_cast(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWS_OF_TEST", "5")

    row = record(write_project, '{type: rec.record, rows: "{env.ROWS_OF_TEST}", label: a}')

    assert row["rows"] == 5


def test_an_environment_variable_that_is_not_set_is_an_error_of_the_source_that_uses_it(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROWS_OF_TEST", raising=False)
    write_project(
        """
        sources:
          needs_it: {type: rec.record, label: "{env.ROWS_OF_TEST}"}
          other: {type: rec.record, label: a}
        """,
        {"sources/rec.py": RECORDER},
    )
    entities = current.entities()

    assert next(iter(entities.get_source("other")()))["label"] == "a"
    with pytest.raises(
        ManifestError, match=r"dlt\.yml:3:\d+: sources\.needs_it.*ROWS_OF_TEST is not set"
    ):
        entities.get_source("needs_it")()
    assert next(iter(entities.get_source("needs_it")(label="given")))["label"] == "given"


def test_the_environment_overrides_a_value_of_the_manifest(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__RECORDER__LABEL", "from the environment")

    row = record(write_project, "{type: rec.record, label: from the manifest}")

    assert row["label"] == "from the environment"


def test_arguments_without_a_default_come_from_the_manifest(write_project: WriteProject) -> None:
    row = record(write_project, "{type: rec.record_required, rows: 5, label: a}")

    assert row == {"rows": 5, "label": "a"}


def test_arguments_without_a_default_are_cast_too(write_project: WriteProject) -> None:
    row = record(write_project, '{type: rec.record_required, rows: "5", label: "7"}')

    assert row == {"rows": 5, "label": "7"}


def test_the_environment_overrides_arguments_without_a_default_too(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__RECORDER__ROWS", "8")

    row = record(write_project, "{type: rec.record_required, rows: 5, label: a}")

    assert row["rows"] == 8


def test_arguments_without_a_default_may_come_from_the_environment_alone(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__RECORDER__ROWS", "8")

    row = record(write_project, "{type: rec.record_required, label: a}")

    assert row == {"rows": 8, "label": "a"}


def test_a_value_of_the_wrong_type_names_the_argument_and_the_type(
    write_project: WriteProject,
) -> None:
    write_project(
        "sources:\n  recorder: {type: rec.record_required, rows: many, label: a}\n",
        {"sources/rec.py": RECORDER},
    )
    with pytest.raises(ConfigValueCannotBeCoercedException, match=r"`rows`.*int"):
        current.entities().get_source("recorder")()


def test_arguments_that_are_taken_by_position_alone_come_from_the_manifest_too(
    write_project: WriteProject,
) -> None:
    code = """
        import dlt


        @dlt.source
        def record(rows: int, label, /, *, since: str):
            return dlt.resource([{"rows": rows, "label": label, "since": since}], name="records")
    """
    row = record(write_project, '{type: rec.record, since: May, label: a, rows: "5"}', code)
    factory = current.entities().get_source("recorder")

    assert row == {"rows": 5, "label": "a", "since": "May"}
    assert list(factory(6)) == [{"rows": 6, "label": "a", "since": "May"}]
    assert list(factory(6, "b", since="June")) == [{"rows": 6, "label": "b", "since": "June"}]


def test_an_argument_by_position_never_stands_for_one_that_is_missing_before_it(
    write_project: WriteProject,
) -> None:
    code = """
        import dlt


        @dlt.source
        def record(rows, label, /):
            return dlt.resource([{"rows": rows, "label": label}], name="records")
    """
    with pytest.raises(TypeError, match="label"):
        record(write_project, "{type: rec.record, label: a}", code)


def test_keyword_arguments_take_every_other_key(write_project: WriteProject) -> None:
    row = record(write_project, "{type: rec.record_anything, rows: 5, region: north}")

    assert row == {"rows": 5, "region": "north"}


def test_arguments_of_the_call_win_over_the_manifest(write_project: WriteProject) -> None:
    write_project(
        "sources:\n  recorder: {type: rec.record_required, rows: 5, label: a}\n",
        {"sources/rec.py": RECORDER},
    )
    source = current.entities().get_source("recorder")

    assert list(source(label="b")) == [{"rows": 5, "label": "b"}]
    assert list(source(6, "c")) == [{"rows": 6, "label": "c"}]


def test_the_values_of_a_resource_stand_below_its_name(write_project: WriteProject) -> None:
    code = """
        import dlt


        @dlt.source
        def record():
            @dlt.resource
            def items(rows: int = 1):
                yield [{"rows": rows}]

            return items
    """
    assert record(write_project, "{type: rec.record, items: {rows: 4}}", code) == {"rows": 4}


def test_with_args_are_the_arguments_of_the_decorator(write_project: WriteProject) -> None:
    """`with_args` are for the factory; any other key is for the source."""
    write_project(
        """
        sources:
          orders:
            type: shop.orders
            with_args: {max_table_nesting: 0, root_key: true}
        """,
        {
            "sources/shop.py": """
                import dlt


                @dlt.source
                def orders():
                    return dlt.resource([{"lines": [{"sku": 1}]}], name="items")
            """
        },
    )
    source = current.entities().get_source("orders")()

    assert source.max_table_nesting == 0
    assert source.root_key is True


def test_an_unknown_key_of_with_args_names_the_place_and_the_known_keys(
    write_project: WriteProject,
) -> None:
    write_project(
        "sources:\n  orders: {type: rec.record, with_args: {max_table_nestin: 0}}\n",
        {"sources/rec.py": RECORDER},
    )
    with pytest.raises(
        ManifestError,
        match=r"sources\.orders\.with_args\.max_table_nestin: .*Did you mean `max_table_nesting`",
    ):
        current.entities().get_source("orders")


def test_a_source_with_a_schema_of_its_own_keeps_that_schema(write_project: WriteProject) -> None:
    write_project(
        "sources:\n  orders: {type: shop.orders, label: a}\n",
        {
            "sources/shop.py": """
                import dlt
                from dlt.common.schema import Schema


                @dlt.source(schema=Schema("web_shop"))
                def orders(label: str = "none"):
                    return dlt.resource([{"label": label}], name="items")
            """
        },
    )
    source = current.entities().get_source("orders")()

    assert (source.schema.name, source.section) == ("web_shop", "orders")
    assert list(source) == [{"label": "a"}]


def test_a_source_keeps_the_name_of_the_schema_file_beside_it(write_project: WriteProject) -> None:
    root = write_project(
        "sources:\n  orders: {type: shop.web_shop}\n",
        {
            "sources/shop.py": """
                import dlt


                @dlt.source
                def web_shop():
                    return dlt.resource([{"id": 1}], name="items")
            """
        },
    )
    schema = Schema("web_shop")
    schema.update_table(new_table("items", columns=[{"name": "price", "data_type": "decimal"}]))
    (root / "sources" / "web_shop.schema.yaml").write_text(schema.to_pretty_yaml())

    source = current.entities().get_source("orders")()

    assert (source.schema.name, source.section) == ("web_shop", "orders")
    assert source.schema.get_table("items")["columns"]["price"]["data_type"] == "decimal"


def test_the_factory_is_one_of_dlt_in_all_else(shop: Path) -> None:
    factory = current.entities().get_source("orders")
    clone = factory.clone(name="others")
    clone.add_limit(1)
    clone.add_postprocessor(lambda source: source.with_resources("items"))

    assert (factory.name, factory.section) == ("orders", "orders")
    assert clone().name == "others"
    assert list(clone().resources.selected) == ["items"]
    assert len(list(clone(rows=5))) == 5


def test_annotations_that_only_type_checkers_can_read_leave_values_as_written(
    write_project: WriteProject,
) -> None:
    code = """
        from __future__ import annotations

        from typing import TYPE_CHECKING

        import dlt

        if TYPE_CHECKING:
            from decimal import Decimal


        @dlt.source
        def record(rows: Decimal):
            return dlt.resource([{"rows": rows}], name="records")
    """
    assert record(write_project, '{type: rec.record, rows: "5"}', code) == {"rows": "5"}


def test_a_type_that_configuration_does_not_know_leaves_values_as_written(
    write_project: WriteProject,
) -> None:
    code = """
        from collections.abc import Callable

        import dlt


        @dlt.source
        def record(rows: Callable[[], int]):
            return dlt.resource([{"rows": rows}], name="records")
    """
    assert record(write_project, '{type: rec.record, rows: "5"}', code) == {"rows": "5"}


def test_an_undeclared_source_is_made_from_its_name(write_project: WriteProject) -> None:
    write_project("", {"sources/rec.py": RECORDER.replace("def record(", "def rec(")})

    with pytest.raises(ConfigFieldMissingException, match="label"):
        current.entities().get_source("rec")()
    assert next(iter(current.entities().get_source("rec")(label="a")))["label"] == "a"


def test_an_undeclared_source_may_be_named_by_its_path(write_project: WriteProject) -> None:
    write_project("", {"sources/rec.py": RECORDER})
    source = current.entities().get_source("rec.record_required")(1, "a")

    assert source.name == "record_required"
    assert list(source) == [{"rows": 1, "label": "a"}]


def test_an_undeclared_source_is_refused_where_all_must_be_declared(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        project: {allow_undefined_entities: false}
        sources:
          orders: {type: shop.orders}
        """
    )
    with pytest.raises(EntityNotFound) as caught:
        current.entities().get_source("order")

    assert "There is no source `order`" in str(caught.value)
    assert "Did you mean `orders`?" in str(caught.value)
    assert "sources:\n    order:\n      type: " in str(caught.value)


def test_a_source_that_is_not_found_lists_every_place_that_was_tried(
    write_project: WriteProject,
) -> None:
    root = write_project(
        "sources:\n  orders: {type: shop.ordres}\n",
        {"sources/shop.py": "def orders(): ...\n"},
    )
    with pytest.raises(EntityReferenceError) as caught:
        current.entities().get_source("orders")
    message = str(caught.value)

    assert f"{root / 'dlt.yml'}:2:3: sources.orders" in message
    assert "shop.ordres: there is no module `shop`" in message
    assert "sources.shop.ordres: module `sources.shop` has no `ordres`" in message
    assert str(root / "sources") in message


def test_a_function_without_a_decorator_is_not_a_source(write_project: WriteProject) -> None:
    write_project(
        "sources:\n  orders: {type: shop.orders}\n",
        {"sources/shop.py": "def orders(): ...\n"},
    )
    with pytest.raises(EntityReferenceError) as caught:
        current.entities().get_source("orders")

    assert "sources.shop.orders: it is not a @dlt.source or a @dlt.resource" in str(caught.value)


def test_a_module_that_raises_shows_its_own_error(write_project: WriteProject) -> None:
    root = write_project(
        "sources:\n  orders: {type: shop.orders}\n",
        {"sources/shop.py": 'limit = int("not a number")\n'},
    )
    with pytest.raises(ValueError, match="not a number") as caught:
        current.entities().get_source("orders")

    assert str(root / "sources" / "shop.py") in [str(entry.path) for entry in caught.traceback]


def test_a_module_that_misses_a_package_shows_which(write_project: WriteProject) -> None:
    write_project(
        "sources:\n  orders: {type: shop.orders}\n",
        {"sources/shop.py": "import a_package_that_nobody_has\n"},
    )
    with pytest.raises(ModuleNotFoundError, match="a_package_that_nobody_has"):
        current.entities().get_source("orders")


def test_a_package_that_raises_shows_its_own_error(write_project: WriteProject) -> None:
    write_project(
        "sources:\n  orders: {type: shop.orders}\n",
        {"sources/__init__.py": "import a_package_that_nobody_has\n", "sources/shop.py": ""},
    )
    with pytest.raises(ModuleNotFoundError, match="a_package_that_nobody_has"):
        current.entities().get_source("orders")


def test_listing_sources_imports_none_of_them(write_project: WriteProject) -> None:
    write_project(
        "sources:\n  orders: {type: shop.orders}\n  others: {type: shop.others}\n",
        {"sources/shop.py": 'raise RuntimeError("imported")\n'},
    )

    assert current.entities().list_sources() == ["orders", "others"]
    assert "sources.shop" not in sys.modules


def test_a_misspelt_source_of_a_pipeline_is_told_beside_the_declared_ones(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        sources:
          orders: {type: shop.orders}
        destinations:
          warehouse: {type: duckdb}
        pipelines:
          load: {source: ordrs, destination: warehouse}
        """
    )

    with pytest.raises(EntityReferenceError, match=r"Known: orders\. Did you mean `orders`"):
        current.runner().run_pipeline("load")


def test_no_text_of_an_error_is_made_while_nothing_is_wrong(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(
        """
        sources: {records: {type: recorder.record, label: any}}
        destinations: {warehouse: {type: duckdb}}
        datasets: {shop: {destination: warehouse}}
        pipelines: {load: {source: records, destination: warehouse, dataset_name: shop}}
        caches: {days: {inputs: [{dataset: shop}], outputs: [{dataset: shop}]}}
        transformations: {report: {engine: sql, cache: days}}
        """,
        {
            "sources/recorder.py": RECORDER,
            "transformations/report/totals.sql": "SELECT 1 AS n",
        },
    )
    entities = current.entities()

    def never(_position: EntryPosition) -> str:
        raise AssertionError("nobody has asked for this text")

    monkeypatch.setattr(EntryPosition, "__str__", never)

    assert entities.get_pipeline("load").dataset_name == "shop"
    assert [s().name for s in entities.get_pipeline_sources("load")] == ["records"]
    assert entities.get_dataset("shop").dataset_name == "shop"
    assert entities.get_transformation("report").info().tables == ["totals"]
