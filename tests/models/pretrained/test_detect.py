"""Kinds of files, told by their content; pickles, pointers and damage."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import SQUARE, assert_same, flat, random_params, small, timm_state
from made_up_onnx import onnx_bytes
from safetensors.numpy import save

from dkjax.errors import DataError, DkjaxError
from dkjax.models.pretrained import load_pretrained

MODEL = small(depth=1)
PARAMS = random_params(MODEL)


def _npz():
    file = io.BytesIO()
    np.savez(file, **flat(PARAMS))
    return file.getvalue()


FILES = {
    "npz": _npz(),
    "safetensors": save(timm_state(PARAMS, MODEL.depth)),
    "onnx": onnx_bytes(PARAMS, MODEL),
}


@pytest.mark.parametrize("name", ["model.bin", "model.npz", "model.safetensors", "model.onnx"])
@pytest.mark.parametrize("kind", FILES)
def test_kind_is_told_by_content(tmp_path, kind, name):
    (tmp_path / name).write_bytes(FILES[kind])
    assert_same(load_pretrained(str(tmp_path / name), MODEL, SQUARE, keep_head=True)[0], PARAMS)


class _Bomb:
    def __reduce__(self):
        return print, ("this was unpickled",)


def _torch_file():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Bomb()))
        archive.writestr("archive/data/0", b"0123")
    return file.getvalue()


@pytest.mark.parametrize("raw", [_torch_file(), pickle.dumps(_Bomb())])
def test_pickles_are_refused(tmp_path, raw, capsys):
    (tmp_path / "a.pth").write_bytes(raw)
    with pytest.raises(DkjaxError, match=r"PyTorch pickle, which can run code.*safetensors\.torch\.save_file"):
        load_pretrained(tmp_path / "a.pth", MODEL, SQUARE)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["a", "model.safetensors", "config.json"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    (tmp_path / "model.safetensors").write_bytes(FILES["safetensors"])
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    where = tmp_path / name if name != "config.json" else tmp_path / "model.safetensors"
    with pytest.raises(DataError, match="is a named pipe"):
        load_pretrained(where, MODEL, SQUARE)


def test_pickled_arrays_are_refused(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", **flat(PARAMS) | {"cls": np.array([_Bomb()])})
    with pytest.raises(DkjaxError, match="Python objects"):
        load_pretrained(tmp_path / "a.npz", MODEL, SQUARE)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "no checkpoint of a kind that is read: neither .npz nor safetensors nor ONNX"),
        (b"hello", "no checkpoint of a kind"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer.*git lfs pull"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (struct.pack("<Q", 1 << 40) + b"{}", "no checkpoint of a kind"),
        (struct.pack("<Q", 2) + b"{]", "no safetensors file that can be read"),
        (FILES["safetensors"][:-1], "no safetensors file that can be read"),
        (FILES["npz"][:200], "no NumPy archive"),
        (b"\x08\x07", "no plain ViT: it does not begin with a convolution"),
        (b"\x08\x07\xff\xff", "no ONNX file that can be read"),
    ],
)
def test_files_of_no_use_are_refused(tmp_path, raw, text):
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(DkjaxError, match=text):
        load_pretrained(tmp_path / "a", MODEL, SQUARE)


def test_places_without_a_file(tmp_path):
    with pytest.raises(DkjaxError, match=f"there is no checkpoint {tmp_path / 'a'}"):
        load_pretrained(tmp_path / "a", MODEL, SQUARE)
    with pytest.raises(DkjaxError, match=f"there is no model.safetensors in {tmp_path}"):
        load_pretrained(tmp_path, MODEL, SQUARE)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(DkjaxError, match="in several files; save them as one"):
        load_pretrained(tmp_path, MODEL, SQUARE)


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_files_are_refused_in_one_line(tmp_path, kind, data):
    raw = bytearray(FILES[kind])
    # Half of the damage goes to where the structure is, at either end.
    where = data.draw(
        st.one_of(st.integers(0, 3000), st.integers(len(raw) - 3000, len(raw) - 1), st.integers(0, len(raw) - 1))
    )
    if data.draw(st.booleans()):
        raw[where] ^= data.draw(st.integers(1, 255))
    else:
        del raw[where:]
    (tmp_path / "a").write_bytes(raw)
    try:
        params, _ = load_pretrained(tmp_path / "a", MODEL, SQUARE, keep_head=True)
    except DkjaxError as error:
        assert "\n" not in str(error)
        assert str(tmp_path / "a") in str(error)
    else:
        # What is no structure may go unnoticed but for its value: safetensors and ONNX have no checksums.
        assert kind != "npz" or all(map(np.array_equal, flat(params).values(), flat(PARAMS).values()))
