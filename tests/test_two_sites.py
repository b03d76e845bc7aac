"""The page on two sites and a server: every command of it, in a fresh clone."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "two_sites.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "dkjax"
    if (ROOT / ".git").exists():
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", folder], check=True)
    else:  # a source distribution
        shutil.copytree(ROOT / "dkjax", folder / "dkjax")
    return folder


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """An account at an S3 store, a process of its own."""
    sys.path.insert(0, str(ROOT / "tests" / "transport"))
    from sites import KEYS, moto

    with moto("plants") as options:
        yield {**KEYS, "AWS_ENDPOINT_URL": options["endpoint"], "AWS_REGION": "us-east-1", "STORE": "s3://plants/inbox"}


def test_every_command_runs(clone: Path, s3: dict[str, str]) -> None:
    # `dkjax` and `python` are those of this environment, with the clone's code.
    (clone / "bin").mkdir()
    (clone / "bin" / "dkjax").write_text(f"#!{sys.executable}\nfrom dkjax.cli.main import main\n\nmain()\n")
    (clone / "bin" / "dkjax").chmod(0o755)
    path = os.pathsep.join([str(clone / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(clone), "XDG_CONFIG_HOME": str(clone / "config"), **s3}
    said = []
    for block in BLOCKS:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], cwd=clone, env=env, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, (block, ran.stdout, ran.stderr)
        said.append(ran.stdout)
    output = "\n".join(said)
    where = "import dkjax; print(dkjax.__file__)"
    found = subprocess.run(["python", "-c", where], cwd=clone, env=env, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(clone / "dkjax" / "__init__.py")
    assert "Nothing was written" in output
    assert "server/plant-b.dkds is whole: 718 images" in output
    assert "plant-a     719" in output
    assert "plant-a: accepted: received/plant-a-" in output
    assert re.search(r"made from\n  plant-a: 719 images, disposable .*\n  plant-b: 718 images", output)
    assert "2 tickets" not in output
    assert "1 ticket of plant-b revoked" in output
    assert output.count("trained on it: runs/") == 2
    assert [path.name[:7] for path in (clone / "received").glob("*.dkds")] == ["plant-a"]
    for name in ("plant-a.png", "plant-b.png", "asked.png"):
        assert (clone / name).exists()
    results = (clone / "runs/plants/results.json").read_text()
    assert "IMG_" not in results
    # Far above the tenth that guessing gives: what the page shows is a training that works.
    assert json.loads(results)["test_accuracy"]["test_photos"] > 0.7


def test_there_is_something_to_run() -> None:
    assert sum(block.count("dkjax ") for block in BLOCKS) >= 9
