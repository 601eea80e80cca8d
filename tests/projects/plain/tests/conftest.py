import pytest

import shop

ORDERS = [
    {"id": 1, "total": "12.50", "changed_at": "2024-03-01", "lines": [{"sku": "tea"}]},
    {"id": 2, "total": "7.00", "changed_at": "2024-03-02", "lines": []},
]


@pytest.fixture
def orders():
    """The orders that the API has; a test may change them."""
    return list(ORDERS)


@pytest.fixture
def api(monkeypatch, orders):
    """The shop's API, without the network; remembers which addresses were asked."""
    asked = []

    def pages(url, token):
        asked.append(url)
        yield orders if "/orders" in url else [{"id": 7, "name": "Ada"}]

    monkeypatch.setattr(shop, "pages", pages)
    monkeypatch.setenv("SOURCES__SHOP__TOKEN", "not-a-token")
    return asked
