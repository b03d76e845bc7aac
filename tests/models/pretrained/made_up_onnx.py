"""Small ONNX files of a ViT, in the three ways in which exporters write them."""

import numpy as np
from made_up import timm_state
from onnx import TensorProto, helper, numpy_helper


class _Writer:
    """Nodes and stored arrays in the order in which they are written."""

    def __init__(self, stored_once):
        self.nodes, self.arrays, self._stored_once = [], {}, stored_once

    def store(self, name, array):
        """Store an array; where exporters keep equal ones once, under the first name."""
        if self._stored_once:
            for other, stored in self.arrays.items():
                if np.array_equal(stored, array):
                    return other
        self.arrays[name] = np.ascontiguousarray(array)
        return name

    def node(self, kind, inputs, **attributes):
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def linear(self, x, weight, bias, name, anonymous):
        kernel = self.store(f"onnx::MatMul_{len(self.nodes)}" if anonymous else f"{name}.kernel", weight.T)
        product = self.node("MatMul", [x, kernel])
        bias = self.store(f"{name}.bias", bias)
        return self.node("Add", [bias, product] if anonymous else [product, bias])

    def norm(self, x, scale, bias, name, written_out):
        scale, bias = self.store(f"{name}.weight", scale), self.store(f"{name}.bias", bias)
        if not written_out:
            return self.node("LayerNormalization", [x, scale, bias], epsilon=1e-6, axis=-1)
        centred = self.node("Sub", [x, self.node("ReduceMean", [x], axes=[-1])])
        squared = self.node("Pow", [centred, self.constant(np.float32(2.0))])
        variance = self.node("ReduceMean", [squared], axes=[-1])
        root = self.node("Sqrt", [self.node("Add", [variance, self.constant(np.float32(1e-6))])])
        product = self.node("Mul", [self.node("Div", [centred, root]), scale])
        return self.node("Add", [product, bias])

    def constant(self, value):
        return self.node("Constant", [], value=numpy_helper.from_array(np.asarray(value)))

    def gelu(self, x, written_out):
        if not written_out:
            return self.node("Gelu", [x], approximate="none")
        half = self.node("Erf", [self.node("Div", [x, self.constant(np.float32(2**0.5))])])
        half = self.node("Add", [half, self.constant(np.float32(1.0))])
        return self.node("Mul", [self.node("Mul", [x, half]), self.constant(np.float32(0.5))])


def onnx_model(params, model, style="fused", gammas=None, edit=None):
    """Write a ViT for square images as ONNX.

    Styles: `fused` has query, key and value in one product and operators of their own for norm and GELU; `apart` has
    three products in the order key, value, query and everything written out, as older exporters; `stored_once` is
    `fused` with equal arrays stored once.
    """
    state = timm_state(params, model.depth)
    written_out = style == "apart"
    write = _Writer(stored_once=style == "stored_once")
    shape = [0, -1, model.heads, model.width // model.heads]
    kernel = write.store("patch_embed.proj.weight", state["patch_embed.proj.weight"])
    bias = write.store("patch_embed.proj.bias", state["patch_embed.proj.bias"])
    size = [model.patch_size] * 2
    x = write.node("Conv", ["images", kernel, bias], kernel_shape=size, strides=size, pads=[0] * 4)
    x = write.node("Reshape", [x, write.constant(np.array([0, model.width, -1]))])
    x = write.node("Transpose", [x], perm=[0, 2, 1])
    x = write.node("Concat", [write.store("cls_token", state["cls_token"]), x], axis=1)
    positions = state["pos_embed"]
    if written_out:
        # As folded by an exporter of a network that resizes: the class token's row lies apart.
        row, rest = write.store("onnx::Concat_1", positions[:, :1]), write.store("onnx::Reshape_2", positions[:, 1:])
        x = write.node("Add", [x, write.node("Concat", [row, write.node("Identity", [rest])], axis=1)])
    else:
        x = write.node("Add", [x, write.store("pos_embed", positions)])
    for layer in range(model.depth):
        part = {name.removeprefix(f"blocks.{layer}."): array for name, array in state.items()}

        def linear(x, name, part=part, layer=layer):
            return write.linear(x, part[f"{name}.weight"], part[f"{name}.bias"], f"blocks.{layer}.{name}", written_out)

        def norm(x, name, part=part, layer=layer):
            return write.norm(x, part[f"{name}.weight"], part[f"{name}.bias"], f"blocks.{layer}.{name}", written_out)

        def scale(x, branch, layer=layer):
            if gammas is None:
                return x
            return write.node("Mul", [x, write.store(f"blocks.{layer}.ls{branch}.gamma", gammas[layer, branch])])

        normed = norm(x, "norm1")
        if written_out:
            weights = np.split(part["attn.qkv.weight"], 3)
            biases = np.split(part["attn.qkv.bias"], 3)
            heads = {}
            for i, name in ((1, "key"), (2, "value"), (0, "query")):
                product = write.linear(normed, weights[i], biases[i], f"blocks.{layer}.{name}", anonymous=True)
                reshaped = write.node("Reshape", [product, write.constant(np.array(shape))])
                heads[name] = write.node("Transpose", [reshaped], perm=[0, 2, 1, 3])
            query, key, value = heads["query"], heads["key"], heads["value"]
        else:
            fused = linear(normed, "attn.qkv")
            fused = write.node("Reshape", [fused, write.constant(np.array([0, -1, 3, *shape[2:]]))])
            fused = write.node("Transpose", [fused], perm=[2, 0, 3, 1, 4])
            query, key, value = (write.node("Gather", [fused, write.constant(np.array(i))], axis=0) for i in range(3))
        key = write.node("Transpose", [key], perm=[0, 1, 3, 2])
        scores = write.node("Mul", [write.node("MatMul", [query, key]), write.constant(np.float32(shape[-1] ** -0.5))])
        mixed = write.node("MatMul", [write.node("Softmax", [scores], axis=-1), value])
        mixed = write.node("Transpose", [mixed], perm=[0, 2, 1, 3])
        mixed = write.node("Reshape", [mixed, write.constant(np.array([0, -1, model.width]))])
        x = write.node("Add", [x, scale(linear(mixed, "attn.proj"), 1)])
        hidden = write.gelu(linear(norm(x, "norm2"), "mlp.fc1"), written_out)
        x = write.node("Add", [x, scale(linear(hidden, "mlp.fc2"), 2)])
    x = write.norm(x, state["norm.weight"], state["norm.bias"], "norm", written_out)
    x = write.node("Gather", [x, write.constant(np.array(0))], axis=1)
    head = [write.store("head.weight", state["head.weight"]), write.store("head.bias", state["head.bias"])]
    x = write.node("Gemm", [x, *head], transB=1)
    if edit is not None:
        x = edit(write, x)
    side = model.patch_size * int((positions.shape[1] - 1) ** 0.5)
    graph = helper.make_graph(
        write.nodes,
        "vit",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in write.arrays.items()],
    )
    # ReduceMean takes its axes as an attribute up to 17; Gelu exists from 20 on.
    opset = 17 if written_out else 20
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def onnx_bytes(params, model, **options):
    return onnx_model(params, model, **options).SerializeToString()
