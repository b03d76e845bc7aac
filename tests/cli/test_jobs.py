"""Shares of the work: as written, and as job arrays tell them."""

import pytest

from dkjax.cli.jobs import parse_share
from dkjax.errors import ConfigError

SLURM = {
    "SLURM_ARRAY_TASK_ID": "14",
    "SLURM_ARRAY_TASK_MIN": "10",
    "SLURM_ARRAY_TASK_STEP": "2",
    "SLURM_ARRAY_TASK_COUNT": "5",
}
KUBERNETES = {"JOB_COMPLETION_INDEX": "3"}


@pytest.mark.parametrize(
    ("text", "environ", "share"),
    [
        ("0/1", {}, (0, 1)),
        ("7/8", SLURM, (7, 8)),
        ("auto", SLURM, (2, 5)),
        ("auto/9", SLURM, (2, 9)),
        ("auto/4", KUBERNETES, (3, 4)),
        ("auto/20", {"SLURM_ARRAY_TASK_ID": "14"}, (14, 20)),
        ("auto/20", {**KUBERNETES, "SLURM_ARRAY_TASK_ID": "14"}, (14, 20)),
    ],
)
def test_share(text, environ, share):
    assert parse_share(text, environ) == share


def test_all_tasks_of_an_array_cover_everything_once():
    tasks = [{**SLURM, "SLURM_ARRAY_TASK_ID": str(number)} for number in range(10, 20, 2)]
    assert [parse_share("auto", task) for task in tasks] == [(i, 5) for i in range(5)]


@pytest.mark.parametrize(
    ("text", "environ", "said"),
    [
        ("3", {}, "expected i/n"),
        ("a/b", {}, "expected i/n"),
        ("-1/4", {}, "expected i/n"),
        ("1/2/3", {}, "expected i/n"),
        ("4/4", {}, "share 4 of 4 does not exist"),
        ("0/0", {}, "does not exist"),
        ("auto", {}, "JOB_COMPLETION_INDEX"),
        ("auto", KUBERNETES, "SLURM_ARRAY_TASK_COUNT"),
        ("auto/2", KUBERNETES, "share 3 of 2"),
        ("auto/2", {"JOB_COMPLETION_INDEX": "x"}, "JOB_COMPLETION_INDEX"),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_ID": "8"}, "does not exist"),
    ],
)
def test_what_is_refused(text, environ, said):
    with pytest.raises(ConfigError, match=said):
        parse_share(text, environ)
