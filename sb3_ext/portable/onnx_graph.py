"""A PPO's most likely action as an ONNX graph, from its canonical parameters.

Everything between what the env shows and what it is given stands in the graph: VecNormalize's
normalization, one-hot vectors, images / 255, the network, clipping to the action space or unscaling
from tanh, ``Discrete(start=...)``. The value function doesn't.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.backends.observations import is_image
from sb3_ext.backends.spec import NATURE_CNN, NetworkSpec
from sb3_ext.portable.errors import from_extra
from sb3_ext.portable.normalizer import Normalizer

__all__ = ["ACTION", "OPSET", "graph_of", "input_dtype", "input_names", "parts_of"]

OPSET, IR_VERSION = 17, 8  # of 2022: any runtime in use reads them
ACTION = "action"
"""Name of the output."""

_ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "tanh": ("Tanh", {}),
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "elu": ("Elu", {"alpha": 1.0}),
    "sigmoid": ("Sigmoid", {}),
    "softplus": ("Softplus", {}),
    "identity": ("Identity", {}),
}
_TAKEN_AS_THEY_ARE = ("float32", "float64", "uint8", "int8", "int32", "int64")


def parts_of(space: spaces.Space) -> dict[str, spaces.Space]:
    """The parts of a Dict by their keys; any other space alone, under ``""``."""
    return dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}


def input_names(space: spaces.Space) -> dict[str, str]:
    """By the observation's keys, the names of a graph's inputs: the keys, or ``obs``."""
    return {key: key or "obs" for key in parts_of(space)}


def input_dtype(space: spaces.Space) -> np.dtype:
    """What an input takes: what the env gives where runtimes know the type, else float32."""
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return np.dtype(np.int64)
    name = np.dtype(space.dtype).name
    return np.dtype(name if name in _TAKEN_AS_THEY_ARE else "float32")


class _Graph:
    """Nodes and constants under construction; every operation has one output."""

    def __init__(self) -> None:
        self.onnx = from_extra("onnx", "an .onnx file")
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray] = {}

    def __call__(self, operation: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operation.lower()}_{len(self.nodes)}"
        node = self.onnx.helper.make_node(operation, list(inputs), [name], name=name, **attributes)
        self.nodes.append(node)
        return name

    def constant(self, value: Any, dtype: Any = np.float32, name: str = "") -> str:
        name = name or f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def cast(self, x: str, dtype: Any) -> str:
        to = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self("Cast", x, to=to)

    def linear(self, x: str, name: str, parameters: Mapping[str, NDArray]) -> str:
        weight, bias = (
            self.constant(parameters[f"{name}.{kind}"], name=f"{name}.{kind}")
            for kind in ("weight", "bias")
        )
        return self("Gemm", x, weight, bias, transB=1)

    def activation(self, x: str, name: str) -> str:
        if name == "silu":
            return self("Mul", x, self("Sigmoid", x))
        operation, attributes = _ACTIVATIONS[name]
        return self(operation, x, **attributes)

    def model(self, spec: NetworkSpec, action: str, action_dtype: Any) -> Any:
        helper = self.onnx.helper

        def info(name: str, dtype: Any, shape: tuple[int, ...] | None) -> Any:
            tensor = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            return helper.make_tensor_value_info(name, tensor, ["batch", *(shape or ())])

        names = input_names(spec.observation_space)
        parts = parts_of(spec.observation_space)
        self.nodes.append(helper.make_node("Identity", [action], [ACTION], name=ACTION))
        return helper.make_model(
            helper.make_graph(
                self.nodes,
                "policy",
                [info(names[key], input_dtype(part), part.shape) for key, part in parts.items()],
                [info(ACTION, action_dtype, spec.action_space.shape)],
                [self.onnx.numpy_helper.from_array(v, k) for k, v in self.constants.items()],
            ),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="sb3_ext",
        )


def graph_of(
    spec: NetworkSpec, parameters: Mapping[str, NDArray], normalizer: Normalizer | None = None
) -> Any:
    """An ``onnx.ModelProto``.

    Args:
        spec: A canonical network.
        parameters: Its parameters.
        normalizer: What observations go through first; its statistics have the shapes of the
            network's observations.

    Raises:
        ImportError: ``onnx`` isn't installed.
    """
    graph = _Graph()
    names = input_names(spec.observation_space)
    features = []
    for key, part in parts_of(spec.observation_space).items():
        x = names[key]
        if normalizer is not None and key in normalizer.obs:
            x = _normalized(graph, x, key, normalizer)
        features.append(_features(graph, x, key, part, spec, parameters))
    latent = features[0] if len(features) == 1 else graph("Concat", *features, axis=1)
    for k in range(len(spec.pi)):
        latent = graph.linear(latent, f"mlp_extractor.policy_net.{2 * k}", parameters)
        latent = graph.activation(latent, spec.activation)
    outputs = graph.linear(latent, "action_net", parameters)
    if isinstance(spec.action_space, spaces.Box):
        return graph.model(spec, _continuous(graph, outputs, spec), np.float32)
    action, dtype = _discrete(graph, outputs, spec.action_space)
    return graph.model(spec, action, dtype)


def _normalized(graph: _Graph, x: str, key: str, normalizer: Normalizer) -> str:
    """As VecNormalize: in float64, since a large mean takes float32's digits."""
    moments, limit = normalizer.obs[key], normalizer.options["clip_obs"]
    std = np.sqrt(moments.var + normalizer.options["epsilon"])
    x = graph("Sub", graph.cast(x, np.float64), graph.constant(moments.mean, np.float64))
    x = graph("Div", x, graph.constant(std, np.float64))
    low, high = (graph.constant(bound, np.float64) for bound in (-limit, limit))
    return graph.cast(graph("Clip", x, low, high), np.float32)


def _features(
    graph: _Graph,
    x: str,
    key: str,
    space: spaces.Space,
    spec: NetworkSpec,
    parameters: Mapping[str, NDArray],
) -> str:
    """One part of the observation as a row of numbers, ``[batch, n]``."""
    if isinstance(space, spaces.Discrete):
        start = graph.constant(space.start, np.int64)
        column = graph("Unsqueeze", graph("Sub", x, start), graph.constant([1], np.int64))
        return _one_hot(graph, column, np.arange(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        from_zero = graph("Sub", x, graph.constant(space.start, np.int64))
        columns = np.repeat(np.arange(len(space.nvec)), space.nvec)
        repeated = graph("Gather", from_zero, graph.constant(columns, np.int64), axis=1)
        return _one_hot(graph, repeated, np.concatenate([np.arange(n) for n in space.nvec]))
    x = graph.cast(x, np.float32)
    if spec.normalize_images and is_image(space):
        x = graph("Mul", x, graph.constant(1.0 / 255.0))
    if key not in spec.images:
        size = math.prod(space.shape or ())
        return graph("Reshape", x, graph.constant([-1, size], np.int64))
    prefix = f"features_extractor.{f'extractors.{key}.' if key else ''}"
    for k, (_, _, stride) in enumerate(NATURE_CNN):
        weight, bias = (
            graph.constant(parameters[name], name=name)
            for name in (f"{prefix}cnn.{2 * k}.weight", f"{prefix}cnn.{2 * k}.bias")
        )
        x = graph("Relu", graph("Conv", x, weight, bias, strides=[stride, stride]))
    return graph("Relu", graph.linear(graph("Flatten", x, axis=1), f"{prefix}linear.0", parameters))


def _one_hot(graph: _Graph, x: str, values: NDArray) -> str:
    return graph.cast(graph("Equal", x, graph.constant(values, np.int64)), np.float32)


def _discrete(graph: _Graph, logits: str, space: spaces.Space) -> tuple[str, Any]:
    if isinstance(space, spaces.MultiBinary):
        positive = graph("Greater", logits, graph.constant(0.0))
        return graph.cast(positive, space.dtype), space.dtype
    start = graph.constant(getattr(space, "start", 0), np.int64)
    if isinstance(space, spaces.Discrete):
        best = graph("ArgMax", logits, axis=1, keepdims=0)
    else:
        assert isinstance(space, spaces.MultiDiscrete)
        ends = np.cumsum(space.nvec)
        axis = graph.constant([1], np.int64)
        chunks = [
            graph(
                "Slice",
                logits,
                graph.constant([end - n], np.int64),
                graph.constant([end], np.int64),
                axis,
            )
            for end, n in zip(ends, space.nvec, strict=True)
        ]
        best = graph(
            "Concat", *(graph("ArgMax", chunk, axis=1, keepdims=1) for chunk in chunks), axis=1
        )
    return graph("Add", best, start), np.int64


def _continuous(graph: _Graph, outputs: str, spec: NetworkSpec) -> str:
    space: Any = spec.action_space
    size = spec.distribution.n_params
    if spec.std == "state":  # the other half makes the std
        first, last, axis = (graph.constant([value], np.int64) for value in (0, size, 1))
        outputs = graph("Slice", outputs, first, last, axis)
    if spec.mean == "tanh" or spec.squash_output:
        outputs = graph("Tanh", outputs)
    low, high = (limit.reshape(-1).astype(np.float32) for limit in (space.low, space.high))
    if spec.squash_output:
        half = graph.constant(0.5 * (high - low))
        shifted = graph("Add", outputs, graph.constant(1.0))
        action = graph("Add", graph.constant(low), graph("Mul", shifted, half))
    else:
        action = graph("Max", graph("Min", outputs, graph.constant(high)), graph.constant(low))
    return graph("Reshape", action, graph.constant([-1, *space.shape], np.int64))
