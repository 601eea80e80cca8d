from types import SimpleNamespace

import pytest

from shop import main, pages, shop


def test_totals_are_cents(dlt_run, api):
    run = dlt_run(shop().with_resources("orders"))

    assert run.row_counts == {"orders": 2, "orders__lines": 1}
    assert [row["total"] for row in run.rows("orders")] == [1250, 700]


def test_second_run_asks_for_what_has_changed_since(dlt_run, api, orders):
    dlt_run(shop())
    orders[:] = [{"id": 2, "total": "8.00", "changed_at": "2024-03-05", "lines": []}]

    run = dlt_run(shop())

    assert run.row_counts == {"orders": 1, "customers": 1}
    assert [row["total"] for row in run.rows("orders")] == [1250, 800]
    assert [url for url in api if "orders" in url] == [
        "https://api.shop.invalid/orders?since=2024-01-01",
        "https://api.shop.invalid/orders?since=2024-03-02",
    ]


def test_base_url_is_configured(dlt_run, dlt_config, api):
    dlt_config["sources.shop.base_url"] = "https://staging.shop.invalid"

    dlt_run(shop())

    assert all(url.startswith("https://staging.shop.invalid/") for url in api)


def test_main_loads_everything_into_the_raw_dataset(dlt_runs, api, capsys):
    main()

    assert dlt_runs.last.row_counts == {"orders": 2, "orders__lines": 1, "customers": 1}
    assert dlt_runs.last.pipeline.dataset_name == "shop_raw"
    assert "shop_raw" in capsys.readouterr().out


@pytest.mark.usefixtures("dlt_isolated")
def test_main_twice_leaves_each_order_once(dlt_runs, api):
    main()
    main()

    assert [run.row_counts.get("orders") for run in dlt_runs] == [2, None]
    assert len(dlt_runs.last.rows("orders")) == 2
    assert len(dlt_runs.last.rows("customers")) == 1


def test_each_page_is_asked_for_with_the_token(monkeypatch):
    answers = {"/1": {"items": [1], "next": "/2"}, "/2": {"items": [2]}}

    def get(url, headers):
        assert headers == {"Authorization": "Bearer a-token"}
        return SimpleNamespace(json=lambda: answers[url], raise_for_status=lambda: None)

    monkeypatch.setattr("shop.requests.get", get)

    assert list(pages("/1", "a-token")) == [[1], [2]]
