"""Engines that run in this process; `cargo xtask engines` runs all of them."""

import sys

import pytest

from conftest import PROGRAM, ROOT

sys.path.insert(0, str(ROOT / "python/engines"))
import check  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def wanted(folder):
    return check.prepare(folder, PROGRAM, 3000)


@pytest.mark.parametrize("engine", ["duckdb_udf", "polars_batches"])
def test_rows_through_an_engine_are_those_of_the_program(engine, folder, wanted):
    pytest.importorskip(engine.partition("_")[0])
    found = check.check(engine, folder, wanted)
    assert (found["rows"], found["lost"], found["doubled"], found["difference"]) == (3000, 0, 0, 0.0)
    assert found["nulls"] == wanted["embedding"].null_count() > 0
