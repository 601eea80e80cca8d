import pytest

from shop import cents


@pytest.mark.parametrize(("price", "expected"), [("12.50", 1250), ("0.07", 7), ("0.29", 29)])
def test_cents(price, expected):
    assert cents(price) == expected
