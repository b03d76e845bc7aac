"""The pages say what the code does: every key is documented, every link leads somewhere, the README's code runs."""

import inspect
import math
import re
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml

import dkjax
from dkjax.config import EncryptConfig, SimulationConfig, parse_config
from dkjax.errors import KeyDiscardedError
from dkjax.models import pretrained
from dkjax.models.vit import vit

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


SECTIONS = {**EncryptConfig.model_fields, **SimulationConfig.model_fields}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_configuration_key_is_documented(section):
    page = (ROOT / "docs" / "configuration.md").read_text()
    heading = "## `[[arms]]`" if section == "arms" else f"## `[{section}]`"
    assert heading in page
    text = page.partition(heading)[2].partition("\n## ")[0]
    annotation = SECTIONS[section].annotation
    model = annotation.__args__[0] if section == "arms" else annotation
    rows = set(
        re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("|")))
    )
    assert set(model.model_fields) <= rows


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert str(citation["version"]) == dkjax.__version__ == project["version"]
    assert (citation["cff-version"], citation["type"], citation["license"]) == ("1.2.0", "software", project["license"])
    (paper,) = citation["references"]
    assert paper["url"] in (ROOT / "README.md").read_text()
    assert [author["family-names"] for author in paper["authors"]] == ["Aso", "Shiota", "Kiya"]


def test_a_source_distribution_has_every_file_of_the_top_level():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    included = set(tool["hatch"]["build"]["targets"]["sdist"]["include"])
    files = {path.name for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".")}
    assert files - included <= {"pyproject.toml", "PKG-INFO"}  # which hatchling always includes
    assert all((ROOT / name).exists() for name in included)


def test_python_of_the_readme_runs():
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    before, after = code.split("dkjax.encrypt(scheme, image_keys, images)                          #")
    names = {"images": np.arange(2 * 224 * 224 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 224, 224, 3)}
    exec(before, names)
    with pytest.raises(KeyDiscardedError):
        dkjax.encrypt(names["scheme"], names["image_keys"], names["images"])
    assert "KeyDiscardedError" in after
    bits = dkjax.key_space_bits(names["scheme"], (224, 224, 3))
    promised = re.search(r"'transform': ([\d.]+)", after).group(1)
    assert f"{bits['transform']:.1f}" == promised


def test_a_client_in_one_call_as_in_the_readme(tmp_path, monkeypatch):
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    names = {"dkjax": dkjax, "scheme": dkjax.schemes.disposable(), "images": images, "labels": [0, 1, 1]}
    exec(code, names)
    assert [len(names["upload"].pool), names["data_set"].manifest.records] == [3, 3]
    assert not np.array_equal(names["upload"].pool[:]["image"], images)
    assert (tmp_path / "plant-a.dkds" / "COMMIT").is_file()


SCHEMES_PAGE = ROOT / "docs" / "schemes.md"


@pytest.mark.parametrize("name", dkjax.schemes.NAMES)
def test_every_scheme_is_documented_with_its_steps(name):
    rows = [line.split("|") for line in SCHEMES_PAGE.read_text().splitlines() if line.startswith(f"| `{name}` ")]
    ((_, _, steps, _, restriction, *_),) = rows
    scheme = dkjax.schemes.by_name(name)
    assert re.findall(r"`(\w+)", steps) == [type(step).__name__ for step in scheme.transforms]
    takes = re.findall(r"`(\w+)`", restriction)
    assert takes == list(inspect.signature(getattr(dkjax.schemes, name)).parameters)[1:]


def test_a_scheme_of_your_own():
    names = {"__name__": "my_cipher"}
    try:
        for code in re.findall(r"```python\n(.*?)```", SCHEMES_PAGE.read_text(), re.DOTALL):
            exec(code, names)
    finally:
        dkjax.schemes.unregister("add_and_scramble")
    assert names["scheme"].name == "add_and_scramble"
    assert dict(names["scheme"].parameters) == {"block_size": 8, "times": 2}
    assert not np.array_equal(names["encrypted"], names["images"])
    assert names["bits"]["transform"] == pytest.approx(np.log2(float(math.factorial(16))) + 16 * 8)


def test_python_of_the_page_on_pretrained_weights_runs(tmp_path, monkeypatch, capsys):
    model = vit("mu", patch_size=16, num_classes=3)
    params = model.init(jax.random.key(0), (64, 64, 3))
    pretrained.export_params(params, model, (64, 64, 3), tmp_path / "weights.npz", to="npz")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "pretrained.md").read_text(), re.DOTALL):
        exec(code, names)
    assert "pos_embedding from 4x4 to 14x14" in capsys.readouterr().out
    assert names["logits"].shape == (5, 10)


def test_configurations_of_the_page_on_pretrained_weights_are_valid():
    fragments = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "pretrained.md").read_text(), re.DOTALL)
    assert len(fragments) == 3
    for fragment in map(tomllib.loads, fragments):
        data = {"source": "digits"} | fragment.pop("data", {})
        config = parse_config({"data": data, "arms": [{"name": "plain"}], **fragment})
        assert config.model.pretrained is not None


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_recipes_begin_with_their_command(config):
    assert config.read_text().startswith(f"# dkjax simulate configs/{config.name}\n")
