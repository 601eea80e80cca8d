"""What decorators of a test replace is replaced while its data are loaded, and not afterwards."""

from __future__ import annotations

import os
import urllib.request
from typing import Any
from unittest import mock

import pytest

from pytest_dlthub.templates.decorators import decorated

URL = "https://api.shop.invalid/orders"


class Api:
    name = "real"


@mock.patch.object(Api, "name", "patched")
@mock.patch.dict(os.environ, {"OF_A_TEST": "yes"})
def patched() -> None: ...


def test_patches_hold_in_the_block_alone() -> None:
    with decorated(patched):
        assert (Api.name, os.environ["OF_A_TEST"]) == ("patched", "yes")

    assert Api.name == "real"
    assert "OF_A_TEST" not in os.environ


def test_patches_end_with_a_load_that_fails() -> None:
    with pytest.raises(OSError, match="no load"), decorated(patched):
        raise OSError("no load")

    assert Api.name == "real"


def test_a_test_that_replaces_nothing_is_left_alone() -> None:
    opened = urllib.request.urlopen
    with decorated(lambda: opened):
        pass
    with decorated(None):
        pass


def test_stubs_of_responses_answer_in_the_load_and_stay_for_the_test() -> None:
    responses = pytest.importorskip("responses")
    requests = pytest.importorskip("requests")
    stubs: Any = responses.RequestsMock(assert_all_requests_are_fired=True)
    stubs.add("GET", URL, json=[1])
    stubs.add("GET", f"{URL}/unused", json=[2])

    @responses.activate
    def of_module() -> None: ...

    def own() -> Any:
        return stubs

    with decorated(own):
        assert requests.get(URL, timeout=5).json() == [1]
        # one that has not been asked is no error of the load
    assert len(stubs.registered()) == 2

    with decorated(of_module), pytest.raises(requests.ConnectionError, match="Connection refused"):
        requests.get(URL, timeout=5)

    # a load that fails takes them with it: the test does not run
    with pytest.raises(OSError, match="no load"), decorated(own):
        raise OSError("no load")
    assert stubs.registered() == []


def test_stubs_that_a_fixture_has_started_go_on_after_the_load() -> None:
    responses = pytest.importorskip("responses")
    requests = pytest.importorskip("requests")
    with responses.RequestsMock(assert_all_requests_are_fired=False) as stubs:
        stubs.add("GET", URL, json=[1])

        def own() -> Any:
            return stubs

        with decorated(own):
            pass
        assert requests.get(URL, timeout=5).json() == [1]


def test_a_mocker_answers_nothing_in_the_load_that_the_test_tells_it_later() -> None:
    requests_mock = pytest.importorskip("requests_mock")
    requests = pytest.importorskip("requests")
    mocker = requests_mock.Mocker()

    @mocker
    def test(mocked: Any) -> None: ...

    with decorated(test), pytest.raises(requests_mock.NoMockAddress):
        requests.get(URL, timeout=5)
    # each call of the test has one of its own
    assert not mocker.called
