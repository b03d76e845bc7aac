"""An ONNX file as a chain of the layers that carry weights, whatever the exporter called them.

Exporters rename weights, transpose them, and store equal ones once under the first name they had; so names say
little. What a weight is for is read off the graph instead: which node uses it and what its input is.
"""

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dkjax.errors import DataError, MissingPackageError
from dkjax.runtime.install import how_to_install


@dataclasses.dataclass(frozen=True)
class Step:
    """One layer in the order of computation.

    Attributes:
        kind: what it does.
        input: name of the value that it reads.
        output: name of the value that it computes.
        arrays: `kernel` [inputs, outputs] and `bias` of a linear map, with `scale` [outputs] where LayerScale
            follows; `kernel` [M, M, C, D] and `bias` of a convolution; `scale`, `bias` of a layer norm.
        detail: epsilon of a layer norm; "exact" or "tanh" of a GELU.
    """

    kind: Literal["convolution", "linear", "norm", "softmax", "gelu"]
    input: str
    output: str
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    detail: float | str | None = None


# FLOAT, FLOAT16, DOUBLE, BFLOAT16
_FLOATING = (1, 10, 11, 16)


class Graph:
    """The nodes of an ONNX file, the constants, and the steps that they form.

    Attributes:
        path: the file.
        steps: in order of computation.
        weights: shapes of the stored arrays that are weights rather than shapes and single numbers, by name.
        unread: values that a vector was added to, or that it scaled, and that are no part of a step.
    """

    def __init__(self, path: Path) -> None:
        proto = _load(path)
        self.path = path
        self._nodes = list(proto.graph.node)
        self._producers = {name: node for node in self._nodes for name in node.output}
        self._initializers = {tensor.name: tensor for tensor in proto.graph.initializer}
        self.weights = {
            name: tensor.dims
            for name, tensor in self._initializers.items()
            if tensor.dims and tensor.data_type in _FLOATING
        }
        self.unread: set[str] = set()
        self.steps = self._find_steps()

    def constant(self, name: str) -> np.ndarray | None:
        """Return a value that does not depend on the input, or None."""
        from onnx import numpy_helper

        if name in self._initializers:
            return np.asarray(numpy_helper.to_array(self._initializers[name]))
        node = self._producers.get(name)
        if node is None:
            return None
        if node.op_type == "Constant":
            for name in ("value", "value_int", "value_ints", "value_float", "value_floats"):
                value = _attribute(node, name)
                if value is not None:
                    return np.asarray(numpy_helper.to_array(value) if name == "value" else value)
            return None
        if node.op_type in ("Identity", "Cast", "CastLike"):
            return self.constant(node.input[0])
        if node.op_type == "Unsqueeze":  # of a single number, on its way into a shape
            array = self.constant(node.input[0])
            return None if array is None or array.size != 1 else array.reshape(1)
        if node.op_type == "Transpose":
            array = self.constant(node.input[0])
            return None if array is None else array.transpose(_attribute(node, "perm"))
        return None

    def producer(self, name: str) -> Any:
        """Return the node that computes a value, or None for inputs and stored arrays."""
        return self._producers.get(name)

    def upstream(self, name: str, stops: Collection[str]) -> tuple[set[str], list[Any]]:
        """Go back from a value to the nearest of `stops`, but not to the shapes of values.

        Returns:
            Those of `stops` that were reached, and the nodes on the way.
        """
        found, nodes, seen, waiting = set(), [], set(), [name]
        while waiting:
            value = waiting.pop()
            if value in seen:
                continue
            seen.add(value)
            if value in stops:
                found.add(value)
            elif (node := self._producers.get(value)) is not None and node.op_type != "Shape":
                nodes.append(node)
                # The second input of CastLike says the type alone.
                waiting.extend(node.input[:1] if node.op_type == "CastLike" else node.input)
        return found, nodes

    def reshapes_of(self, name: str) -> list[list[int | None]]:
        """List the shapes that a value is brought to, None for sizes that depend on the input."""
        return [
            self.integers(node.input[1]) for node in self._nodes if node.op_type == "Reshape" and name in node.input
        ]

    def integers(self, name: str) -> list[int | None]:
        """Return a shape as far as it is known: None for what depends on the input."""
        array = self.constant(name)
        if array is not None:
            return [int(value) for value in array.reshape(-1)]
        node = self._producers.get(name)
        if node is None or node.op_type != "Concat":
            return []
        return [value for part in node.input for value in self.integers(part) or [None]]

    def _find_steps(self) -> list[Step]:
        steps: dict[str, Step] = {}
        for node in self._nodes:
            step = self._step(node, steps)
            if step is not None:
                steps[step.output] = step
        return list(steps.values())

    def _step(self, node: Any, steps: dict[str, Step]) -> Step | None:
        """Turn a node into a step, or let it extend the step before it, which then computes the node's value."""
        output = node.output[0]
        match node.op_type:
            case "Conv":
                kernel = self._floats(node.input[1])
                if kernel is None or kernel.ndim != 4:
                    return None
                side = list(kernel.shape[2:])
                if _attribute(node, "strides") != side or any(_attribute(node, "pads", ())):
                    return None
                bias = self._floats(node.input[2]) if len(node.input) > 2 else None
                return Step("convolution", node.input[0], output, _with_bias(kernel.transpose(2, 3, 1, 0), bias))
            case "MatMul" | "Gemm":
                kernel = self._floats(node.input[1])
                if kernel is None or kernel.ndim != 2:
                    return None
                kernel = kernel.T if _attribute(node, "transB") else kernel
                bias = self._floats(node.input[2]) if len(node.input) > 2 else None
                return Step("linear", node.input[0], output, _with_bias(kernel, bias))
            case "LayerNormalization":
                scale, bias = self._floats(node.input[1]), self._floats(node.input[2])
                if scale is None or bias is None:
                    return None
                return Step(
                    "norm", node.input[0], output, {"scale": scale, "bias": bias}, _attribute(node, "epsilon", 1e-5)
                )
            case "Softmax":
                return Step("softmax", node.input[0], output)
            case "Gelu" | "FastGelu" | "Erf" | "Tanh":
                tanh = node.op_type in ("FastGelu", "Tanh") or _attribute(node, "approximate") == b"tanh"
                return Step("gelu", node.input[0], output, detail="tanh" if tanh else "exact")
            case "Add" | "Mul":
                return self._extend(node, steps)
        return None

    def _extend(self, node: Any, steps: dict[str, Step]) -> Step | None:
        """A vector that is added to a linear map, or that scales it; or the end of a layer norm written out."""
        for value, other in (tuple(node.input), tuple(node.input)[::-1]):
            vector = self._floats(other)
            if vector is None or vector.ndim != 1 or not vector.size:
                continue
            value = self._without_identities(value)
            before = steps.get(value)
            if before is not None and before.kind == "linear" and len(vector) == before.arrays["kernel"].shape[1]:
                if node.op_type == "Add" and "scale" not in before.arrays:
                    arrays = before.arrays | {"bias": before.arrays["bias"] + vector}
                elif node.op_type == "Mul" and "scale" not in before.arrays:
                    arrays = before.arrays | {"scale": vector}
                else:
                    continue
                del steps[value]
                return Step("linear", before.input, node.output[0], arrays)
            if node.op_type == "Add" and (norm := self._norm_before(value, vector)) is not None:
                self.unread.discard(value)
                return Step("norm", norm[0], node.output[0], *norm[1:])
            if vector.size > 1:
                self.unread.add(node.output[0])
        return None

    def _without_identities(self, value: str) -> str:
        """Go back past nodes that do nothing, such as a dropout leaves where nothing is optimised."""
        for _ in self._nodes:
            node = self._producers.get(value)
            if node is None or node.op_type != "Identity":
                break
            value = node.input[0]
        return value

    def _norm_before(self, value: str, bias: np.ndarray) -> tuple[str, dict[str, np.ndarray], float] | None:
        """Input, arrays and epsilon of a layer norm of which `value` is all but the bias: `x / root * vector`."""
        product = self._producers.get(value)
        if product is None or product.op_type != "Mul":
            return None
        for quotient, factor in (tuple(product.input), tuple(product.input)[::-1]):
            scale, division = self._floats(factor), self._producers.get(quotient)
            if scale is None or scale.shape != bias.shape or division is None or division.op_type != "Div":
                continue
            centred = self._producers.get(division.input[0])
            root = self._producers.get(division.input[1])
            variance = None if root is None or root.op_type != "Sqrt" else self._producers.get(root.input[0])
            if centred is None or centred.op_type != "Sub" or variance is None or variance.op_type != "Add":
                continue
            for name in variance.input:
                epsilon = self._floats(name)
                if epsilon is not None and epsilon.size == 1:
                    return centred.input[0], {"scale": scale, "bias": bias}, float(epsilon.reshape(()))
        return None

    def _floats(self, name: str) -> np.ndarray | None:
        array = self.constant(name)
        return None if array is None or array.dtype.kind not in "fV" else array


def _attribute(node: Any, name: str, default: Any = None) -> Any:
    from onnx import helper

    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def _with_bias(kernel: np.ndarray, bias: np.ndarray | None) -> dict[str, np.ndarray]:
    """Exporters leave away a bias that is zero."""
    return {"kernel": kernel, "bias": np.zeros(kernel.shape[-1], kernel.dtype) if bias is None else bias}


def _load(path: Path) -> Any:
    """Read the file, and weights stored beside it, with the package `onnx`, which checks where those lie."""
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError(f"ONNX files are read with the package onnx: {how_to_install('onnx')}") from error
    try:
        return onnx.load(path)
    except MemoryError:
        raise
    except Exception as error:
        # Protocol buffers, and the weights they point to, fail in more ways than anybody lists.
        line = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is no ONNX file that can be read: {line[:200]}") from error
