"""A dataset to save to on one of several destinations, and all that is physically there."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dlt

from dlthub_project import WritableDataset, current

MANIFEST = """
    destinations:
      warehouse: {destination}
    datasets:
      {dataset}: {{destination: [warehouse], contract: {contract}}}
    pipelines:
      load_first: {{destination: warehouse, dataset_name: {dataset}}}
"""

DISPOSITIONS: dict[str, Any] = {
    "appended": "append",
    "replaced": "replace",
    "merged": "merge",
    "versioned": {"disposition": "merge", "strategy": "scd2"},
}


def names_of(kind: str) -> list[str]:
    """Return the tables to save on a destination; on files, what is merged is appended."""
    return list(DISPOSITIONS)[:2] if kind == "filesystem" else list(DISPOSITIONS)


def rows_of(batch: int, **more: Any) -> list[dict[str, Any]]:
    """One row that every batch has, and one of its own, each with nested ones."""
    return [
        {"id": key, "batch": batch, "lines": [{"line": f"{key}/{batch}/{n}"} for n in (1, 2)]}
        | more
        for key in (1, 10 + batch)
    ]


def batch_of(kind: str, batch: int, **more: Any) -> Any:
    """A source of several tables, one for each way to write."""

    @dlt.source(name="shop")
    def shop() -> Iterator[Any]:
        for name in names_of(kind):
            yield dlt.resource(
                rows_of(batch, **more),
                name=name,
                write_disposition=DISPOSITIONS[name],
                primary_key=None if name == "versioned" else "id",
            )

    return shop()


@dataclass(frozen=True)
class Store:
    """A project with one dataset in one place.

    Attributes:
        kind: The type of its destination.
        root: The folder of the project.
        url: Of PostgreSQL, if it is there.
        name: The dataset.
    """

    kind: str
    root: Path
    url: str = field(default="", repr=False)
    name: str = "stored"

    def write(self, contract: str = "evolve") -> None:
        """Write the manifest."""
        destinations = {
            "duckdb": "{type: duckdb}",
            "postgres": f'{{type: postgres, credentials: "{self.url}"}}',
            "filesystem": '{type: filesystem, bucket_url: "{local_dir}/lake"}',
            "sqlite": '{type: sqlalchemy, credentials: "sqlite:///{local_dir}/lite.db"}',
            "mariadb": f'{{type: sqlalchemy, credentials: "{self.url}"}}',
        }
        text = MANIFEST.replace("{destination}", destinations[self.kind])
        text = text.replace("{dataset}", self.name).replace("{contract}", contract)
        (self.root / "dlt.yml").write_text(
            textwrap.dedent(text.replace("{{", "{").replace("}}", "}")), encoding="utf-8"
        )

    def load(self) -> WritableDataset:
        """Have the project's pipeline make the dataset, and open it."""
        current.runner().run_pipeline("load_first", data=batch_of(self.kind, 0))
        return self.open()

    def load_by_hand(self) -> WritableDataset:
        """Have plain dlt make the dataset, whatever its contract, and open it."""
        rows = [{"id": 1, "batch": 0}]
        pipeline = dlt.pipeline("by_hand", destination="warehouse", dataset_name=self.name)
        pipeline.run(rows, table_name="appended")
        return self.open()

    def open(self) -> WritableDataset:
        """Open the dataset anew."""
        return current.catalog()[self.name]

    def drop(self) -> None:
        """Drop what the store has on a server."""
        for name in (self.name, f"{self.name}_staging"):
            if self.kind == "postgres":
                self.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
            elif self.kind == "mariadb":
                import sqlalchemy

                engine = sqlalchemy.create_engine(self.url)
                with engine.begin() as connection:
                    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS `{name}`")
                engine.dispose()

    @property
    def local(self) -> Path:
        return Path(current.context().local_dir)

    def contents(self) -> dict[str, Any]:
        """Return all that is there: files, or the columns and rows of all tables."""
        if self.kind == "filesystem":
            root = self.local / "lake"
            return {
                str(p.relative_to(root)): p.read_bytes() if p.is_file() else None
                for p in sorted(root.rglob("*"))
            }
        found: dict[str, Any] = {}
        for schema, table in self.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            f" WHERE table_schema LIKE '{self.name}%'"
        ):
            columns = self.execute(
                "SELECT column_name, data_type FROM information_schema.columns"
                f" WHERE table_schema = '{schema}' AND table_name = '{table}'"
            )
            rows = self.execute(f'SELECT * FROM "{schema}"."{table}"')
            found[f"{schema}.{table}"] = (sorted(columns), sorted(map(repr, rows)))
        return found

    def execute(self, statement: str) -> list[Any]:
        """Run a statement in the database itself, and return its rows."""
        if self.kind == "postgres":
            import psycopg2

            with closing(psycopg2.connect(self.url)) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                    return cursor.fetchall() if cursor.description else []
        import duckdb

        with duckdb.connect(str(self.local / "warehouse.duckdb")) as database:
            return database.execute(statement).fetchall()

    def refuse_loads(self) -> None:
        """Have the destination refuse the entry of further loads, when all else is written."""
        if self.kind == "filesystem":
            loads = self.local / "lake" / self.name / "_dlt_loads"
            shutil.rmtree(loads)
            loads.write_text("no folder", encoding="utf-8")
        elif self.kind == "postgres":
            self.execute(
                f'ALTER TABLE "{self.name}"._dlt_loads'
                " ADD CONSTRAINT refused CHECK (schema_version_hash IS NULL) NOT VALID"
            )
        else:
            last = self.execute(f'SELECT max(load_id) FROM "{self.name}"._dlt_loads')[0][0]
            self._remake_loads(f"CHECK (load_id <= '{last}')")

    def allow_loads(self) -> None:
        """Have the destination take them again."""
        if self.kind == "filesystem":
            loads = self.local / "lake" / self.name / "_dlt_loads"
            loads.unlink()
            loads.mkdir()
        elif self.kind == "postgres":
            self.execute(f'ALTER TABLE "{self.name}"._dlt_loads DROP CONSTRAINT refused')
        else:
            self._remake_loads("")

    def _remake_loads(self, check: str) -> None:
        self.execute(
            f'CREATE TABLE "{self.name}".checked (load_id VARCHAR {check},'
            " schema_name VARCHAR, status BIGINT, inserted_at TIMESTAMPTZ,"
            " schema_version_hash VARCHAR)"
        )
        self.execute(f'INSERT INTO "{self.name}".checked BY NAME FROM "{self.name}"._dlt_loads')
        self.execute(f'DROP TABLE "{self.name}"._dlt_loads')
        self.execute(f'ALTER TABLE "{self.name}".checked RENAME TO _dlt_loads')
