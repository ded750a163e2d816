"""The public names, also after modules of the same name were imported."""

from __future__ import annotations

import importlib

import zeroidle


def test_every_public_name_is_there() -> None:
    for name in zeroidle.__all__:
        assert getattr(zeroidle, name) is not None, name


def test_the_decorator_is_not_hidden_by_the_module_of_that_name() -> None:
    module = importlib.import_module("zeroidle.endpoint")
    from zeroidle import endpoint

    assert endpoint is not module

    @endpoint(name="of-a-test")
    def add(a: int, b: int) -> int:
        return a + b

    assert add(1, 2) == 3
    assert module.Endpoint.__name__ == "Endpoint"
