"""Where datasets are, as `print(catalog)` shows it: without secrets, and without asking anybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlthub_project import current
from dlthub_project.secrets import public_url

WriteProject = Callable[..., Path]

# destination, and what is shown of it
SHOWN = {
    "{type: duckdb}": "{local_dir}/where.duckdb",
    "{type: duckdb, credentials: db/shop.duckdb}": "{local_dir}/db/shop.duckdb",
    "{type: duckdb, credentials: {database: /data/shop.duckdb}}": "/data/shop.duckdb",
    "{type: duckdb, credentials: 'md:shop?motherduck_token=sesame'}": "md:shop",
    "{type: motherduck, credentials: 'md:///shop?motherduck_token=sesame'}": "shop",
    "{type: postgres, credentials: 'postgres://ada:sesame@db.invalid:5433/shop'}": (
        "db.invalid:5433/shop"
    ),
    "{type: postgres, credentials: {host: db.invalid, database: shop, password: sesame}}": (
        "db.invalid/shop"
    ),
    "{type: postgres}": "credentials are missing",
    "{type: postgres, credentials: '{env.URL_OF_NOBODY}'}": (
        "the environment variable URL_OF_NOBODY is not set"
    ),
    "{type: '{env.TYPE_OF_NOBODY}'}": "the environment variable TYPE_OF_NOBODY is not set",
    "{type: snowflake, credentials: {host: kg-1, database: shop, private_key: sesame}}": (
        "kg-1/shop"
    ),
    "{type: databricks, credentials: {server_hostname: h.invalid, catalog: c, token: sesame}}": (
        "h.invalid/c"
    ),
    "{type: bigquery}": "?",
    "{type: bigquery, credentials: {project_id: shop, private_key: sesame}}": "shop",
    """{type: bigquery, credentials: '{"project_id": "shop", "private_key": "sesame"}'}""": "shop",
    "{type: sqlalchemy, credentials: 'mysql+pymysql://root:sesame@127.0.0.1/shop'}": (
        "127.0.0.1/shop"
    ),
    "{type: sqlalchemy, credentials: 'sqlite:///shop.db'}": "{local_dir}/shop.db",
    "{type: filesystem, bucket_url: lake}": "{local_dir}/lake",
    "{type: filesystem, bucket_url: 'lake?token=sesame'}": "{local_dir}/lake",
    "{type: mssql, credentials: {host: 'db.invalid;Pwd=sesame', database: shop}}": (
        "db.invalid;Pwd=***/shop"
    ),
    "{type: filesystem, bucket_url: 's3://key:sesame@bucket/lake?token=sesame'}": (
        "s3://***@bucket/lake"
    ),
    "{type: filesystem, bucket_url: 's3://bucket/lake'}": "s3://bucket/lake",
    "{type: ducklake, credentials: {catalog: 'postgres://ada:sesame@db.invalid/shop'}}": (
        "postgres://***@db.invalid/shop"
    ),
    "{type: destinations.chat.post}": "destinations.chat.post",
    "{type: nonsense}": "?",
    "{type: postgres, credentials: 7}": "?",
}


def test_every_destination_is_shown_by_its_place_alone(write_project: WriteProject) -> None:
    entries = "\n".join(
        f"  d{i}: {destination}"
        if "type: duckdb}" not in destination
        else f"  where: {destination}"
        for i, destination in enumerate(SHOWN)
    )
    names = ["where", *(f"d{i}" for i in range(1, len(SHOWN)))]
    datasets = "\n".join(f"  in_{name}: {{destination: {name}}}" for name in names)
    root = write_project(f"destinations:\n{entries}\ndatasets:\n{datasets}\n")
    local_dir = current.context().local_dir
    printed = str(current.catalog())

    assert printed.splitlines() == [
        f"in_{name}@{name}[{place.replace('{local_dir}', local_dir)}]"
        for name, place in zip(names, SHOWN.values(), strict=True)
    ]
    assert "sesame" not in printed
    # nothing was connected to
    assert not list((root / "_data" / "dev" / "local").iterdir())


def test_the_environment_has_a_say_in_where_a_dataset_is(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project("datasets: {shop_data: {destination: postgres}}\n")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS__HOST", "db.invalid")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS__PASSWORD", "sesame")

    assert repr(current.catalog()) == "shop_data@postgres[db.invalid]"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://ada:pa/ss@h/db", "postgres://***@h/db"),
        ("postgres://ada:pa@ss@h/db", "postgres://***@h/db"),
        ("postgres://ada:p?ss@h/db", "postgres://***"),
        ("postgres://h/db?password=p@ss", "postgres://***"),
        ("postgres://h/db?sslmode=require", "postgres://h/db"),
        ("postgres://[::1]:5432/db", "postgres://[::1]:5432/db"),
        ("abfss://container@account.invalid/lake", "abfss://container@account.invalid/lake"),
        ("https://h/x;AccountKey=abc", "https://h/x"),
        ("ada:pass@h", "***"),
        ("lake/shop", "lake/shop"),
    ],
)
def test_no_part_of_a_password_is_shown_of_a_url(url: str, shown: str) -> None:
    assert public_url(url) == shown


def test_a_catalog_of_an_earlier_profile_prints_why_it_is_of_no_use(shop: Path) -> None:
    catalog = current.catalog()
    current.context().switch_profile("tests")

    assert repr(catalog).startswith("<Catalog: ")
    assert "profile" in repr(catalog)
