"""The manifest: what is written comes back, and nothing else is believed."""

import copy
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data_sets import describe, write_small

from dkjax import schemes
from dkjax.dkds.manifest import Description, Manifest, SchemeEntry, is_word, json_schema, parse_manifest
from dkjax.errors import DamagedDataSetError, DataError

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "dkds.schema.json"
HASHES = ["0" * 63 + str(number) for number in range(3)]


def manifest(**changes: Any) -> Manifest:
    shards = [
        {"file": f"shard-0000{i}.safetensors", "sha256": HASHES[i], "bytes": 1000, "records": 10} for i in range(3)
    ]
    fields = {"id": "ab" * 16, "client": "plant-a", "date": "2026-02-28", "records": 30, "software": {"dkjax": "0.1.0"}}
    return Manifest.model_validate({**describe().model_dump(), **fields, "shards": shards, **changes})


TREE = json.loads(manifest().to_bytes())


def parse(tree: Any) -> Manifest:
    return parse_manifest(tree if isinstance(tree, bytes) else json.dumps(tree).encode(), "a.dkds/manifest.json")


def refusal(tree: Any) -> str:
    with pytest.raises(DamagedDataSetError) as refused:
        parse(tree)
    assert (refused.value.kind, refused.value.shard, refused.value.record) == ("manifest", None, None)
    text = str(refused.value)
    assert text.startswith("a.dkds/manifest.json is no manifest of an encrypted data set: ")
    assert text.isprintable()
    assert len(text) < 500
    return text


def changed(place: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    tree = copy.deepcopy(TREE)
    node: Any = tree
    for name in place[:-1]:
        node = node[name]
    if value is REMOVED:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return tree


REMOVED = object()


def places(node: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a tree."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place, *(deeper for name, child in children for deeper in places(child, (*place, name)))]


def test_round_trip() -> None:
    one = manifest(class_names=["傷", "a b", "T-shirt/top"], views=2)
    assert parse(one.to_bytes()) == one
    assert list(json.loads(one.to_bytes()))[:5] == ["format", "version", "id", "client", "date"]


def test_every_scheme_for_bytes_can_be_named() -> None:
    for name in schemes.NAMES:
        scheme = schemes.by_name(name, block_size=2)
        tree = changed(("scheme",), SchemeEntry.of(scheme).model_dump())
        if name == "orthogonal":
            assert "float" in refusal(tree)
        else:
            assert parse(tree).scheme.scheme() == scheme


WRONG: dict[str, tuple[tuple[str | int, ...], Any, str]] = {
    "another format": (("format",), "tar", '"format": "dkds"'),
    "no format": (("format",), REMOVED, '"format": "dkds"'),
    "a newer version": (("version",), 2, "format version 2; this dkjax reads version 1: install a newer one"),
    "a version that is no number": (("version",), True, "format version True"),
    "no version": (("version",), REMOVED, "format version None"),
    "unknown field": (("owner",), "me", "owner: Extra inputs are not permitted"),
    "missing field": (("client",), REMOVED, "client: Field required"),
    "half a part": (("part", "of"), REMOVED, "part: index and of are both needed"),
    "part beyond the last": (("part",), {"index": 2, "of": 2}, "part 2 of 2"),
    "number as text": (("records",), "30", "records: Input should be a valid integer"),
    "number with a point": (("records",), 30.0, "records: Input should be a valid integer"),
    "truth for a number": (("views",), True, "views: Input should be a valid integer"),
    "zero views": (("views",), 0, "views: Input should be greater than or equal to 1"),
    "huge number": (("shards", 0, "bytes"), 2**53, "less than or equal to 9007199254740991"),
    "id in capitals": (("id",), "AB" * 16, "id: String should match"),
    "client with a space": (("client",), "plant a", "client: String should match"),
    "client with a line end": (("client",), "plant-a\n", "client: String should match"),
    "client with a path": (("client",), "../a", "client: String should match"),
    "long client": (("client",), "a" * 65, "client: String should have at most 64"),
    "no date": (("date",), "2026-02-30", "date: "),
    "time of day": (("date",), "2026-02-28T10:00", "date: String should match"),
    "Arabic digits": (("date",), "٢٠٢٦-٠٢-٢٨", "date: String should match"),
    "other keys": (("keys",), "eternal", "keys: Input should be 'disposable' or 'reproducible'"),
    "unknown prng": (("prng",), "rbg", "rbg"),
    "no image": (("image", "shape"), [4, 4, 0], "image.shape.2"),
    "flat image": (("image", "shape"), [4, 4], "image.shape"),
    "huge image": (("image", "shape"), [40_000, 40_000, 3], "an image of more than 1073741824 bytes"),
    "image of another kind": (("image", "dtype"), "float32", "image.dtype"),
    "image that blocks do not fit": (("image", "shape"), [4, 5, 3], "block_size=2 does not divide width=5"),
    "class twice": (("class_names",), ["a", "b", "a"], "two classes have one name"),
    "no class": (("class_names",), [], "class_names"),
    "class without a name": (("class_names", 0), "", "class_names.0"),
    "class name that moves the cursor": (("class_names", 0), "\x1b[2J", "class_names.0"),
    "class name of two lines": (("class_names", 0), "a\nb", "class_names.0"),
    "half a character": (("class_names", 0), "\ud800", "class_names.0"),
    "endless class name": (("class_names", 0), "a" * 257, "class_names.0"),
    "unknown scheme": (("scheme",), {"name": "x", "parameters": {}, "sha256": "0" * 64}, "hash of the scheme"),
    "edited scheme": (("scheme", "parameters", "fixed_blocks"), 1, "hash of the scheme"),
    "negative parameter": (("scheme", "parameters", "fixed_blocks"), -1, "scheme.parameters.fixed_blocks"),
    "records that do not add up": (("records",), 31, "the shards hold 30 records, not 31"),
    "no shard": (("shards",), [], "shards"),
    "shard twice": (("shards", 1), TREE["shards"][0], "shard 1 is called 'shard-00000.safetensors', not"),
    "one hash twice": (("shards", 1, "sha256"), HASHES[0], "two shards have one hash"),
    "shards in another order": (("shards",), TREE["shards"][::-1], "shard 0 is called"),
    "software of no name": (("software",), {"": "1"}, "software"),
    "null": (("shards",), None, "shards"),
    "name of many lines": (("a\nb" * 10_000,), 1, "a ba ba b"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    place, value, said = WRONG[name]
    assert said in refusal(changed(place, value))


@pytest.mark.parametrize(
    "file",
    [
        "../../x",
        "/etc/passwd",
        "..",
        "",
        "shard-00000.safetensors/../x",
        "a/shard-00000.safetensors",
        "shard-00000.safetensors\0",
        "shard-00000.safetensors\n",
        "shard-00000.Safetensors",
        "shard-00001.safetensors",
        "COMMIT",
        "C:\\x",
    ],
)
def test_no_way_out_of_the_folder(file: str) -> None:
    refusal(changed(("shards", 0, "file"), file))


def entry(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps({"name": name, "parameters": parameters}, sort_keys=True, separators=(",", ":"))
    return {"name": name, "parameters": parameters, "sha256": hashlib.sha256(text.encode()).hexdigest()}


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("disposable", {"block_size": 2}, "scheme.parameters: disposable has other ones"),
        ("disposable", {"block_size": 2, "fixed_blocks": 0, "fixed_pixels": 0, "more": 1}, "no parameter more"),
        ("disposable", {"block_size": 2, "fixed_blocks": 0, "fixed_pixels": "x"}, "must be a whole number"),
        ("unknown", {}, "block_size must be a whole number of at least 1"),
        ("unknown", {"block_size": 0}, "block_size must be a whole number of at least 1"),
        ("unknown", {"block_size": True}, "block_size must be a whole number of at least 1"),
        ("unknown", {"block_size": 3}, "block_size=3 does not divide height=4"),
        ("unknown", {"block_size": 2, "more": -1.5}, "scheme.parameters.more"),
        ("unknown", {"block_size": 2, "more": [1]}, "scheme.parameters.more"),
        ("unknown", {"block_size": 2, "more": "\x1b[2J"}, "scheme.parameters.more"),
        ("../unknown", {"block_size": 2}, "scheme.name"),
    ],
)
def test_a_scheme_that_cannot_be(name: str, parameters: dict[str, Any], said: str) -> None:
    assert said in refusal(changed(("scheme",), entry(name, parameters)))


def test_a_scheme_that_is_not_known_here() -> None:
    parameters = {"block_size": 2, "strength": 0.5, "kind": "soft", "twice": True}
    scheme = parse(changed(("scheme",), entry("unknown", parameters))).scheme
    assert (scheme.parameters, scheme.block_size) == (parameters, 2)
    assert "the scheme unknown does not come with dkjax" in str(scheme.missing)
    with pytest.raises(DataError, match="install the package that registers it"):
        scheme.scheme()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe{}", "codec can't decode"),
        (json.dumps(TREE).encode("utf-16"), "codec can't decode"),
        (b"[]", '"format": "dkds"'),
        (b"NaN", "NaN is no JSON"),
        (b'{"views": -Infinity}', "-Infinity is no JSON"),
        (b'{"a": 1, "a": 2}', "an object with one name twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"format": "dkds", "version": ' + b"9" * 10_000 + b"}", "limit"),
        (b'{"format": "dkds", "version": 1e400}', "format version inf"),
        (b"{" + b",".join(b'"%d": 0' % i for i in range(1000)) + b"}", "an object of 1000 names"),
        (json.dumps(TREE).encode() + b"x", "Extra data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_manifest(data: bytes, said: str) -> None:
    assert said in refusal(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    refusal(data)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_any_byte_changed(place: int, value: int) -> None:
    data = bytearray(json.dumps(TREE, indent=2).encode())
    data[place % len(data)] = value
    try:
        parse(bytes(data))
    except DamagedDataSetError as error:
        assert str(error).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(places(TREE)[1:]), JSON | st.just(REMOVED))
def test_any_change(place: tuple[str | int, ...], value: Any) -> None:
    """A change is refused, or means what it says: it comes back as it was."""
    tree = changed(place, value)
    try:
        parsed = parse(tree)
    except DamagedDataSetError as error:
        assert str(error).isprintable()
    else:
        assert json.loads(parsed.to_bytes()) == tree


BOMBS = {
    "shards": 'b\'{"format":"dkds","version":1,"shards":[\' + b"0," * (7 << 20) + b"0]}"',
    "class_names": 'b\'{"format":"dkds","version":1,"class_names":[\' + b"0," * (7 << 20) + b"0]}"',
    "names": 'b"{" + b",".join(b\'"%07d":0\' % i for i in range(1_200_000)) + b"}"',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bounded_memory(bomb: str) -> None:
    """A few hundred megabytes for 16 MiB of the worst that there is, where Python objects are counted by tens."""
    code = f"""
import resource
from dkjax.dkds.manifest import parse_manifest
from dkjax.errors import DamagedDataSetError
data = {BOMBS[bomb]}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    parse_manifest(data, "bomb")
except DamagedDataSetError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert int(run.stdout) < 400 << 10  # kilobytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plant-a", True), ("7.b_c", True), ("", False), ("a b", False), ("-a", False), ("a" * 65, False), ("ä", False)],
)
def test_pseudonyms(text: str, expected: bool) -> None:
    assert is_word(text) == expected


def test_a_description_is_one_of_the_manifest() -> None:
    assert set(Description.model_fields) < set(Manifest.model_fields)


def test_the_schema_in_the_docs_is_that_of_the_model() -> None:
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == json_schema()


def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_accepts_what_is_written(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds")
    validator().validate(json.loads((tmp_path / "a.dkds" / "manifest.json").read_text()))
    validator().validate(TREE)


# What a schema cannot say: how fields hang together, and what dkjax knows of schemes and of the calendar.
BEYOND_A_SCHEMA = {
    "part beyond the last",
    "number with a point",
    "client with a line end",
    "no date",
    "unknown prng",
    "huge image",
    "image that blocks do not fit",
    "class twice",
    "half a character",
    "unknown scheme",
    "edited scheme",
    "records that do not add up",
    "shard twice",
    "one hash twice",
    "shards in another order",
}


@pytest.mark.parametrize("name", WRONG)
def test_the_schema_refuses_what_is_wrong(name: str) -> None:
    place, value, _ = WRONG[name]
    assert validator().is_valid(changed(place, value)) == (name in BEYOND_A_SCHEMA)
