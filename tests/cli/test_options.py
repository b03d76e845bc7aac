"""Options with several values: as a shell's glob gives them, repeated, and with an equals sign."""

from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from dkjax.cli.options import taking_several


def parsed(arguments: list[str]) -> Any:
    """What a command gets, or its output if it refuses."""
    app, got = typer.Typer(), {}

    @app.command(cls=taking_several("--data", "--test"))
    def command(
        config: str,
        data: Annotated[list[str], typer.Option()],
        tests: Annotated[list[str] | None, typer.Option("--test")] = None,
        workdir: str = "w",
        overrides: Annotated[list[str] | None, typer.Option("--set")] = None,
        as_json: Annotated[bool, typer.Option("--json")] = False,
    ) -> None:
        got.update(config=config, data=data, tests=tests, workdir=workdir, overrides=overrides, as_json=as_json)

    result = CliRunner().invoke(app, arguments)
    return got if result.exit_code == 0 else (result.exit_code, result.output)


EXPECTED = {"config": "c", "data": ["a", "b", "x"], "tests": None, "workdir": "w", "overrides": None, "as_json": False}


@pytest.mark.parametrize(
    "arguments",
    [
        ["c", "--data", "a", "b", "x"],
        ["c", "--data", "a", "--data", "b", "x"],
        ["c", "--data=a", "b", "x"],
        ["c", "--data=a", "--data=b", "--data=x"],
        ["--data", "a", "b", "x", "--", "c"],
        ["--data", "a", "b", "--workdir", "w", "c", "--data", "x"],
    ],
)
def test_the_same_values(arguments: list[str]) -> None:
    assert parsed(arguments) == EXPECTED


def test_several_such_options_between_others() -> None:
    arguments = ["c", "--data", "a", "b", "x", "--test", "t", "u", "--json", "--set", "m.n=1", "--set", "o.p=2"]
    expected = {"tests": ["t", "u"], "overrides": ["m.n=1", "o.p=2"], "as_json": True}
    assert parsed(arguments) == EXPECTED | expected


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["c", "--data"], "--data needs at least one value"),
        (["c", "--data", "--json"], "--data needs at least one value"),
        (["c", "--data", "a", "--test", "--", "b"], "--test needs at least one value"),
        (["c"], "Missing option '--data'"),
        (["--data", "a", "c"], "Missing argument"),
    ],
)
def test_wrong_usage(arguments: list[str], text: str) -> None:
    exit_code, output = parsed(arguments)
    assert exit_code == 2
    assert text in " ".join(output.split())
    assert "Traceback" not in output
