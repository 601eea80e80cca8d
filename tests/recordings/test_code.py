"""What counts as the code of a resource: a change of it makes a recording stale."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlthub_project.recordings import function_of

CodeOf = Callable[[str], str]

# what changes in the texts below
VALUE = "VALUE"

ORDERS = """
@dlt.resource
def orders():
    yield {}
"""
IN_SOURCE = """
@dlt.source
def shop():
    {}
    @dlt.resource
    def orders():
        yield page()
    return orders
"""
PAGE = """
def page(number=0):
    return [{"id": VALUE}]
"""
CLIENT = """
class Connection:
    def get(self):
        yield [{"id": VALUE}]
class Client(Connection):
    pass
"""
DOUBLED = """
def doubled(function):
    @functools.wraps(function)
    def other():
        return [*function()] * VALUE
    return other
@dlt.resource
@doubled
def orders():
    yield 1
"""

CASES = {
    "value": "IDS = [VALUE]" + ORDERS.format("IDS"),
    "value in a text": "HOST = 'shop-VALUE'" + ORDERS.format("f'https://{HOST}'"),
    "value that is set in place": "IDS = {}\nIDS['a'] = VALUE" + ORDERS.format("IDS"),
    "value that is changed in place": "IDS = {}\nIDS.update(a=VALUE)" + ORDERS.format("IDS"),
    "value within try": "try:\n    IDS = VALUE\nexcept ValueError:\n    pass"
    + ORDERS.format("IDS"),
    "lambda": "get = lambda: VALUE" + ORDERS.format("get()"),
    "function": PAGE + ORDERS.format("page()"),
    "function in a value": PAGE + "PAGES = {'a': page}" + ORDERS.format("PAGES['a']()"),
    "partial function": PAGE + "get = functools.partial(page, 8)" + ORDERS.format("get()"),
    "partial function of a source": PAGE
    + IN_SOURCE.format("page = functools.partial(globals()['page'])"),
    "inner function": IN_SOURCE.format("page = lambda: VALUE"),
    "what an inner function uses": "IDS = [VALUE]" + IN_SOURCE.format("page = lambda: IDS"),
    "base class": CLIENT + ORDERS.format("Client().get()"),
    "object": CLIENT + "client = Client()" + ORDERS.format("client.get()"),
    "method of an object of a source": CLIENT + IN_SOURCE.format("page = Client().get"),
    "object that it is called with": CLIENT
    + ORDERS.format("client.get()").replace("orders()", "orders(client)")
    + "orders = orders(Client())",
    "generator of a method": CLIENT + "orders = dlt.resource(Client().get(), name='orders')",
    "decorator": DOUBLED,
}


@pytest.fixture
def code_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CodeOf]:
    """Returns the digest of the code of `orders` in a module with a text."""
    # a folder of the user, whatever its name has in it
    folder = tmp_path / "my-site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def digest(text: str) -> str:
        (folder / "code_of_shop.py").write_text(f"import functools\nimport dlt\n{text}")
        sys.modules.pop("code_of_shop", None)
        importlib.invalidate_caches()
        module = importlib.import_module("code_of_shop")
        orders = module.shop().resources["orders"] if hasattr(module, "shop") else module.orders
        found = function_of(orders)
        assert found is not None
        return found["code"]

    yield digest
    sys.modules.pop("code_of_shop", None)


@pytest.mark.parametrize("case", CASES)
def test_change_of_what_a_function_uses_of_its_module_counts(code_of: CodeOf, case: str) -> None:
    text = CASES[case]

    first = code_of(text.replace(VALUE, "1"))
    assert code_of(text.replace(VALUE, "2")) != first
    assert code_of(text.replace(VALUE, "1")) == first


def test_what_a_function_does_not_use_and_layout_do_not_count(code_of: CodeOf) -> None:
    text = f"IDS = [1, 2]\nOTHER = 1\n{PAGE}{CLIENT}{ORDERS.format('[page(), IDS]')}"
    changed = (
        ("OTHER = 1", "import sys\nOTHER = 2"),
        ("IDS = [1, 2]", "IDS = [  # those of the shop\n    1,\n    2,\n]\n"),
        ("class Connection:", "class Connection:\n    kept = True"),
        ("def orders():", "def orders():\n    # one\n"),
        ("def page(number=0):", 'def page(number=0):\n    """A page."""\n'),
    )
    other = text
    for before, after in changed:
        assert before in other
        other = other.replace(before, after)

    assert code_of(other.replace(VALUE, "1")) == code_of(text.replace(VALUE, "1"))
