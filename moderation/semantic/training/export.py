"""Writes the network as an int8 ONNX graph for onnxruntime on the CPU. Needs the `onnx` package (for training only).

The graph is written node by node: every matrix of the layers is int8 per output channel, symmetric, with activations
quantised as they come (DynamicQuantizeMatMul); attention, normalisation and GELU are onnxruntime's fused operators.
Inputs: `embedded` float32 (windows, tokens, 384), the word vectors; `mask` int32 (windows, tokens), 1 for a token.
Output: `cosines` float32 (windows, prototypes).
"""

from pathlib import Path
from typing import Any

import numpy
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from moderation.semantic.training.network import ATTENTION_SHARPNESS, DEPTH, EPSILON, HEADS, WIDTH, Network

FUSED = "com.microsoft"
OPSET, IR_VERSION = 17, 8
STEPS = 64
"""Of 127: two products of a byte and a weight then fit the 16 bits in which processors without VNNI add them up, so
that none of them saturates where others do not.
"""


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, rows: numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.generic]]) -> str:
        self.weights.append(numpy_helper.from_array(numpy.ascontiguousarray(rows), name))
        return name

    def node(self, kind: str, inputs: list[str], outputs: str | list[str], domain: str = "", **facts: Any) -> str:
        names = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(kind, inputs, names, name=names[0], domain=domain, **facts))
        return names[0]

    def quantised(self, given: str, rows: torch.Tensor, bias: torch.Tensor, out: str) -> str:
        """`given` @ rows.T + bias with int8 rows. `rows`: (out, in), one scale per output."""
        values = rows.detach().numpy().T
        scale = numpy.maximum(numpy.abs(values).max(axis=0), 1e-12) / STEPS
        whole = numpy.clip(numpy.rint(values / scale), -STEPS, STEPS).astype(numpy.int8)
        inputs = [
            given,
            self.weight(f"{out}.int8", whole),
            self.weight(f"{out}.scale", scale.astype(numpy.float32)),
            self.weight(f"{out}.zero", numpy.zeros(len(scale), numpy.int8)),
            self.weight(f"{out}.bias", bias.detach().numpy()),
        ]
        return self.node("DynamicQuantizeMatMul", inputs, out, FUSED)


def write_onnx(network: Network, path: Path) -> None:
    """Writes the graph; equal networks give equal files."""
    graph = _Graph()
    layers = network.layers
    state = {name: rows.detach() for name, rows in layers.state_dict().items()}

    graph.weight("one", numpy.array([1], numpy.int64))
    graph.weight("zero", numpy.array([0], numpy.int64))
    graph.weight("positions", state["positions"].numpy())
    graph.node("Shape", ["embedded"], "length", start=1, end=2)
    graph.node("Slice", ["positions", "zero", "length", "zero"], "here")
    graph.node("Add", ["embedded", "here"], "placed")
    norm = [graph.weight(f"norm.{kind}", state[f"norm.{kind}"].numpy()) for kind in ("weight", "bias")]
    states = graph.node("LayerNormalization", ["placed", *norm], "layer0", axis=-1, epsilon=EPSILON)

    for number in range(DEPTH):
        own = {name: state[f"stack.{number}.{name}"] for name in _names(state, number)}
        prefix = f"layer{number}."
        wide = [torch.cat([own[f"{part}.{kind}"] for part in ("query", "key", "value")]) for kind in ("weight", "bias")]
        graph.quantised(states, wide[0], wide[1], prefix + "three")
        parts = [prefix + part for part in ("query", "key", "value")]
        graph.node("Split", [prefix + "three"], parts, axis=2)
        graph.node("MultiHeadAttention", [*parts, "", "mask"], prefix + "mixed", FUSED, num_heads=HEADS)
        graph.quantised(prefix + "mixed", own["joined.weight"], own["joined.bias"], prefix + "joined")
        states = _added(graph, states, prefix + "joined", own, "attended", prefix + "attended")
        graph.quantised(states, own["up.weight"], own["up.bias"], prefix + "up")
        graph.node("Gelu", [prefix + "up"], prefix + "gelu", FUSED)
        graph.quantised(prefix + "gelu", own["down.weight"], own["down.bias"], prefix + "down")
        states = _added(graph, states, prefix + "down", own, "finished", f"layer{number + 1}")

    _cosines(graph, network, states)
    inputs = [
        helper.make_tensor_value_info("embedded", TensorProto.FLOAT, ["windows", "tokens", WIDTH]),
        helper.make_tensor_value_info("mask", TensorProto.INT32, ["windows", "tokens"]),
    ]
    rows = len(network.unsafe) + len(network.safe)
    output = helper.make_tensor_value_info("cosines", TensorProto.FLOAT, ["windows", rows])
    whole = helper.make_graph(graph.nodes, "fluxgate_semantic", inputs, [output], graph.weights)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fluxgate")
    path.write_bytes(model.SerializeToString(deterministic=True))


def _names(state: dict[str, torch.Tensor], number: int) -> list[str]:
    prefix = f"stack.{number}."
    return [name.removeprefix(prefix) for name in state if name.startswith(prefix)]


def _added(graph: _Graph, states: str, step: str, own: dict[str, torch.Tensor], norm: str, out: str) -> str:
    rows = [graph.weight(f"{out}.{kind}", own[f"{norm}.{kind}"].numpy()) for kind in ("weight", "bias")]
    return graph.node("SkipLayerNormalization", [states, step, *rows], out, FUSED, epsilon=EPSILON)


def _cosines(graph: _Graph, network: Network, states: str) -> None:
    """Mean pooling and the cosines to the prototypes, in float32."""
    prototypes = torch.nn.functional.normalize(torch.cat([network.unsafe, network.safe]), dim=1).detach().numpy()
    graph.weight("prototypes", prototypes.T)
    graph.node("Cast", ["mask"], "share", to=TensorProto.FLOAT)
    graph.weight("last", numpy.array([2], numpy.int64))
    graph.node("Unsqueeze", ["share", "last"], "shares")
    graph.node("Mul", [states, "shares"], "kept")
    graph.node("ReduceSum", ["kept", "one"], "summed", keepdims=0)
    graph.node("LpNormalization", ["summed"], "pooled", axis=-1, p=2)
    if not network.attention:
        graph.node("MatMul", ["pooled", "prototypes"], "cosines")
        return
    # Every definition reads the tokens itself, as in `network.py`.
    graph.node("MatMul", ["pooled", "prototypes"], "whole")
    graph.node("LpNormalization", [states], "units", axis=-1, p=2)
    graph.node("MatMul", ["units", "prototypes"], "near")
    graph.weight("sharpness", numpy.array([ATTENTION_SHARPNESS], numpy.float32))
    graph.weight("unit", numpy.array([1.0], numpy.float32))
    graph.weight("far", numpy.array([-1e4], numpy.float32))
    graph.node("Mul", ["near", "sharpness"], "sharp")
    graph.node("Sub", ["unit", "shares"], "absent")
    graph.node("Mul", ["absent", "far"], "hidden")
    graph.node("Add", ["sharp", "hidden"], "scores")
    graph.node("Softmax", ["scores"], "weights", axis=1)
    graph.node("Transpose", ["weights"], "turned", perm=[0, 2, 1])
    graph.node("MatMul", ["turned", states], "read")
    graph.node("LpNormalization", ["read"], "readings", axis=-1, p=2)
    graph.weight("rows", prototypes)
    graph.node("Mul", ["readings", "rows"], "products")
    graph.node("ReduceSum", ["products", "last"], "apart", keepdims=0)
    graph.node("Add", ["whole", "apart"], "both")
    graph.weight("half", numpy.array([0.5], numpy.float32))
    graph.node("Mul", ["both", "half"], "cosines")
