"""The stored vectors: well-formed, made again by the NumPy reference, and reproduced by the JAX package.

The two share no code, so that their agreement says that docs/spec.md is complete.
"""

import contextlib
import functools
import json
import threading
from collections import defaultdict
from pathlib import Path

import jax
import jax.numpy as jnp
import jsonschema
import numpy as np
import pytest
from jax.extend.random import threefry2x32_p
from vectors import by_reference, make

from dkjax import keys, prng
from dkjax.cipher import decrypt, encrypt, native, permutations, schemes
from dkjax.errors import DkjaxError
from dkjax.runtime.secret_memory import SecretWords

FOLDER = Path(__file__).with_name("vectors")
STORED = {file: json.loads((FOLDER / f"{file}.json").read_text(encoding="utf-8")) for file in make.ABOUT}
CASES = {file: content["cases"] for file, content in STORED.items()}
PUBLISHED = {
    "chacha20_block: RFC 8439 2.3.2": "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e",
    "chacha20_block: RFC 8439 2.4.2": "224f51f3401bd9e12fde276fb8631ded8c131f823d2c06e27e4fcaec9ef3cf78",
    "chacha20_block: RFC 8439 A.1 #1": "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7",
    "chacha20_block: RFC 8439 A.1 #2": "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed",
    "chacha20_block: RFC 8439 A.1 #3": "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a",
    "chacha20_block: RFC 8439 A.1 #4": "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca",
    "chacha20_block: RFC 8439 A.1 #5": "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7",
    # 6b200159 99ba4efe, 1cb996fc bb002be7 and c4923a9c 483df7a0, as little-endian bytes
    "threefry2x32_block: Random123 zeros": "5901206bfe4eba99",
    "threefry2x32_block: Random123 ones": "fc96b91ce72b00bb",
    "threefry2x32_block: Random123 pi": "9c3a92c4a0f73d48",
}


# The files


@pytest.mark.parametrize("file", CASES)
def test_files_keep_to_the_schema(file):
    schema = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(STORED[file], schema, jsonschema.Draft202012Validator)


def test_the_schema_refuses_what_is_wrong():
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "schema.json").read_text(encoding="utf-8")))
    case = CASES["schemes"][0]
    for wrong in (
        case | {"operation": "rot13"},
        case | {"error": "ArgumentError"},
        case | {"input": case["input"] | {"seed": 0}},
        case | {"expected": case["expected"] | {"sha256": "0" * 63}},
        CASES["invalid"][0] | {"error": "ValueError"},
    ):
        assert validator.is_valid(STORED["schemes"] | {"cases": [case]})
        assert not validator.is_valid(STORED["schemes"] | {"cases": [wrong]})


def test_there_are_enough_cases_and_each_has_a_name():
    names = [case["id"] for cases in CASES.values() for case in cases]
    assert len(names) >= 200
    assert len(set(names)) == len(names)
    assert {case["input"]["scheme"] for case in CASES["schemes"]} == set(schemes.NAMES) - {"orthogonal"}


def test_published_values():
    stored = {case["id"]: case["expected"]["first"] for case in CASES["keystream"]}
    for name, published in PUBLISHED.items():
        assert stored[name].startswith(published), name


def test_reference_makes_the_files(tmp_path):
    make.write(tmp_path)
    for file in CASES:
        assert (tmp_path / f"{file}.json").read_bytes() == (FOLDER / f"{file}.json").read_bytes(), file


# The JAX package


def typed(prng_name: str, texts: list[str], shape: list[int] | tuple[int, ...]) -> jax.Array:
    return prng.wrap_key(jnp.array(by_reference.keys_of(texts, list(shape))), prng_name)


def secret(text: str) -> SecretWords:
    words = by_reference.keys_of([text], [])
    kept = SecretWords(len(words))
    kept.words[:] = words
    return kept


def of_key(key: jax.Array) -> dict:
    return by_reference.of_words(np.asarray(jax.random.key_data(key)))


def of_secret(holder: keys.Ratchet | keys.RoundKeys) -> dict:
    return by_reference.of_words(holder._key.words)


def cases_of(operation: str) -> list[dict]:
    return [case for cases in CASES.values() for case in cases if case["operation"] == operation]


def grouped(operation: str, *names: str) -> list[list[dict]]:
    """The cases of an operation that agree in some inputs, and so are one program."""
    groups = defaultdict(list)
    for case in cases_of(operation):
        groups[tuple(case["input"][name] for name in names)].append(case)
    return list(groups.values())


def check(cases: list[dict], found: list[dict]) -> None:
    for case, one in zip(cases, found, strict=True):
        assert one == case["expected"], case["id"]


def inputs_of(cases: list[dict], name: str) -> list:
    return [case["input"][name] for case in cases]


def test_chacha20_blocks():
    cases = cases_of("chacha20_block")
    words = [np.stack([by_reference.words_of(text) for text in inputs_of(cases, name)]) for name in ("key", "nonce")]
    counters = np.array(inputs_of(cases, "counter"), np.uint32)
    blocks = jax.vmap(prng.chacha20_block)(words[0], counters, words[1])
    check(cases, [by_reference.of_words(np.asarray(block)) for block in blocks])


def test_threefry2x32_blocks():
    cases = cases_of("threefry2x32_block")
    k0, k1 = by_reference.keys_of(inputs_of(cases, "key"), [len(cases)]).T
    c0, c1 = np.array(inputs_of(cases, "counter"), np.uint32).T
    found = np.stack(threefry2x32_p.bind(*map(jnp.array, (k0, k1, c0, c1))), axis=1)
    check(cases, [by_reference.of_words(pair) for pair in found])


@pytest.mark.parametrize("operation", ["split", "bits"])
def test_split_and_bits(operation):
    for cases in grouped(operation, "prng", "count"):
        count = cases[0]["input"]["count"]
        keys = typed(cases[0]["input"]["prng"], inputs_of(cases, "key"), [len(cases)])
        if operation == "split":
            found = jax.random.key_data(jax.vmap(lambda key, count=count: jax.random.split(key, count))(keys))
        else:
            found = jax.vmap(lambda key, count=count: jax.random.bits(key, (count,), jnp.uint32))(keys)
        check(cases, [by_reference.of_words(words) for words in np.asarray(found)])


def test_fold_in():
    for cases in grouped("fold_in", "prng"):
        keys = typed(cases[0]["input"]["prng"], inputs_of(cases, "key"), [len(cases)])
        children = jax.vmap(jax.random.fold_in)(keys, jnp.array(inputs_of(cases, "data"), jnp.uint32))
        check(cases, [of_key(child) for child in children])


def test_roots_and_rounds():
    for case in cases_of("root"):
        ratchet = keys.reproducible(int(case["input"]["seed"]), prng=case["input"]["prng"])
        check([case], [of_secret(ratchet)])
    for case in cases_of("advance"):
        name = case["input"]["prng"]
        ratchet = keys.Ratchet(secret(case["input"]["root"]), mode="reproducible", prng=name)
        round_keys = ratchet.next_round()
        check([case], [{"next_root": of_secret(ratchet), "round_key": of_secret(round_keys)}])


def test_keys_of_clients():
    for case in cases_of("client_key") + cases_of("image_keys"):
        name, key = case["input"]["prng"], case["input"]["round_key"]
        round_keys = keys.RoundKeys(secret(key), mode="reproducible", prng=name, round_number=1, lock=threading.RLock())
        check([case], [of_key(round_keys.for_client(case["input"]["client"], case["input"].get("count")))])


def test_ratchet():
    for case in cases_of("ratchet"):
        ratchet = keys.reproducible(int(case["input"]["seed"]), prng=case["input"]["prng"])
        for _ in range(case["input"]["round"] - 1):
            ratchet.next_round().discard()
        with ratchet.next_round() as round_keys:
            check([case], [of_key(round_keys.for_client(case["input"]["client"], case["input"]["count"]))])


# One program for all cases of a PRNG, which compiles in half the time of one for each.


@pytest.mark.parametrize("prng_name", prng.NAMES)
def test_permutations(prng_name):
    groups = [each for each in grouped("permutation", "prng", "n", "fixed") if each[0]["input"]["prng"] == prng_name]
    sizes = [(cases[0]["input"]["n"], cases[0]["input"]["fixed"]) for cases in groups]

    @jax.jit
    def draw(keys):
        return [
            jax.vmap(lambda key, n=n, fixed=fixed: permutations.sample(key, n, fixed))(keys[i])
            for i, (n, fixed) in enumerate(sizes)
        ]

    keys = [typed(prng_name, inputs_of(cases, "key"), [len(cases)]) for cases in groups]
    for cases, drawn in zip(groups, draw(keys), strict=True):
        assert drawn.dtype == np.int32
        check(
            cases, [by_reference.of_values(one, by_reference.FIRST_VALUES["permutation"]) for one in np.asarray(drawn)]
        )


def program_of(case: dict) -> str:
    """What two cases agree in if they are one program: all but the keys."""
    return json.dumps({name: value for name, value in case["input"].items() if name != "keys"})


def runs_natively(case: dict) -> bool:
    """Whether a case is for the native kernel, where there is one."""
    inputs = case["input"]
    scheme = schemes.by_name(inputs["scheme"], **inputs["parameters"])
    plan = native.plan_of(scheme, tuple(inputs["shape"][-3:]), np.dtype(inputs["dtype"]), inverse=False)
    return inputs["prng"] == "chacha20" and plan is not None


@functools.cache
def encrypted_of(prng_name: str, kernel: str) -> dict[str, np.ndarray]:
    """The encrypted images of all cases of a PRNG and a kernel, by the cases' names."""
    programs = defaultdict(list)
    for case in CASES["schemes"]:
        if case["input"]["prng"] == prng_name and (kernel == "xla" or runs_natively(case)):
            programs[program_of(case)].append(case)

    @jax.jit
    def run(image_keys, images):
        encrypted = {}
        for program in programs:
            inputs = json.loads(program)
            scheme = schemes.by_name(inputs["scheme"], **inputs["parameters"])
            encrypted[program] = encrypt(scheme, image_keys[program], images[program])
        return encrypted

    found = {}
    for turn in range(max(map(len, programs.values()))):
        # Who has no case left takes part with the first one again.
        cases = {program: of_it[turn % len(of_it)] for program, of_it in programs.items()}
        inputs = {program: case["input"] for program, case in cases.items()}
        image_keys = {program: typed(prng_name, each["keys"], each["key_shape"]) for program, each in inputs.items()}
        images = {
            program: by_reference.images_of(each["shape"], each["dtype"], each["modulus"])
            for program, each in inputs.items()
        }
        with native.turned_off() if kernel == "xla" else contextlib.nullcontext():
            encrypted = run(image_keys, images)
        found |= {cases[program]["id"]: np.asarray(each) for program, each in encrypted.items()}
    return found


@pytest.mark.parametrize("case", CASES["schemes"], ids=lambda case: case["id"])
def test_schemes(case):
    check_scheme(case, "xla")


@pytest.mark.skipif(not native.status().runs, reason=native.status().reason)
@pytest.mark.parametrize("case", [*filter(runs_natively, CASES["schemes"])], ids=lambda case: case["id"])
def test_schemes_natively(case):
    check_scheme(case, "native")


def check_scheme(case: dict, kernel: str) -> None:
    encrypted = encrypted_of(case["input"]["prng"], kernel)[case["id"]]
    assert encrypted.dtype == case["input"]["dtype"]
    assert list(encrypted.shape) == case["input"]["shape"]
    check([case], [by_reference.of_values(encrypted, by_reference.FIRST_VALUES["encrypt"])])


# What must be refused


def _make_key(prng: str, shape: list[int], dtype: str) -> None:
    _wrap(np.zeros(shape, dtype), prng)


_wrap = prng.wrap_key
_words = prng.key_words


def _use_scheme(
    prng: str, scheme: str, parameters: dict, key_shape: list[int], shape: list[int], dtype: str, inverse: bool
) -> None:
    image_keys = _wrap(jnp.zeros((*key_shape, _words(prng)), jnp.uint32), prng)
    (decrypt if inverse else encrypt)(schemes.by_name(scheme, **parameters), image_keys, np.zeros(shape, dtype))


def _make_image_keys(prng: str, client: object, count: object) -> None:
    with keys.reproducible(0, prng=prng).next_round() as round_keys:
        round_keys.for_client(client, count)


REFUSED = {
    "make_key": _make_key,
    "make_root": lambda prng, seed: keys.reproducible(seed, prng=prng),
    "make_disposable_root": lambda prng: keys.disposable(prng=prng),
    "make_scheme": lambda scheme, parameters: schemes.by_name(scheme, **parameters),
    "use_scheme": _use_scheme,
    "make_image_keys": _make_image_keys,
}


@pytest.mark.parametrize("case", CASES["invalid"], ids=lambda case: case["id"])
def test_invalid(case):
    with pytest.raises(DkjaxError) as refusal:
        REFUSED[case["operation"]](**case["input"])
    assert type(refusal.value).__name__ == case["error"]
