"""A user's own ``mlx.nn.Module`` as actor and critic in the MLX backend."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

from sb3_ext.backends.autograd import Outputs
from sb3_ext.backends.own_network import (
    as_read,
    build,
    check_answer,
    check_parameters,
    example,
    seed_of,
)
from sb3_ext.backends.spec import NetworkSpec

__all__ = ["OwnNetwork"]


class OwnNetwork(nn.Module):
    """From encoded observations to :class:`Outputs`.

    Args:
        spec: With a ``network``.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        if spec.log_std_shape is not None:
            self.log_std = mx.full(spec.log_std_shape, spec.log_std_init)
        self.spec = spec
        self.network = _made(spec)

    def __call__(self, x: Any, actor_only: bool = False) -> Outputs:
        actions, values = self.network(as_read(self.spec, x, raw_images=True))
        return Outputs(actions, None, values.reshape(-1), self.get("log_std"))


def _made(spec: NetworkSpec) -> Any:
    """The module, from the spec's seed; whoever draws from MLX's generator notices nothing."""
    state: Any = mx.random.state
    high, low = map(int, np.array(state[0]))
    mx.random.seed(seed_of(spec))
    try:
        network = build(spec, "mlx")
        check_parameters(spec, dict(tree_flatten(network.parameters())))
        x = example(spec)
        x = {key: mx.array(x[key]) for key in x} if isinstance(x, dict) else mx.array(x)
        check_answer(spec, network(x))
        mx.eval(network.parameters())
    finally:
        mx.random.seed(high << 32 | low)  # a seed's key is the seed itself
    return network
