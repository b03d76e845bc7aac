"""The bench of uploads: what is compared, and that it runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import script
import upload
from typer.testing import CliRunner

from dkjax.bench.table import print_tables


def measured(seconds: float) -> dict[str, Any]:
    return {"seconds": seconds, "bytes": 10**9, "peak_bytes": 100 << 20, "cpu_seconds": seconds / 2}


def test_the_best_of_each_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        upload.ALONE: [measured(4.0), measured(3.0)],
        upload.UPLOAD: [measured(4.0), {**measured(5.0), "peak_bytes": 200 << 20}],
    }
    compared = upload._compared(found)
    assert compared["share"] == pytest.approx(0.75)
    assert [row["peak_bytes"] >> 20 for row in compared["contenders"]] == [100, 200]
    machine = {"device": {"platform": "cpu", "kind": "cpu"}, "cpu_cores": 2, "versions": {"dkjax": "0.1.0"}}
    result = {**machine, "cases": [{"store": "s3", "megabytes": 1000, **compared}]}
    print_tables(result, upload.tables(result))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert ["dkjax", "upload", "250", "75%", "2.00", "200"] in lines


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(script.app(upload.main), ["--megabytes", "3", "--repeats", "1", "--json"])
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    found = json.loads(result.stdout)
    assert [case["store"] for case in found["cases"]] == ["folder", "s3"]
    for case in found["cases"]:
        assert [row["name"] for row in case["contenders"]] == [upload.ALONE, upload.UPLOAD]
        assert all(10 << 20 < row["peak_bytes"] < 300 << 20 for row in case["contenders"])
        assert 0 < case["share"] < 5
