"""A user's own :class:`Module` in the built-in network's place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ext.backends.numpy_backend.heads import make_head
from sb3_ext.backends.numpy_backend.layers import Workspace
from sb3_ext.backends.own_network import PREFIX, as_read, build, check_answer, example
from sb3_ext.backends.parameters import FlatParameters
from sb3_ext.backends.spec import NetworkSpec

__all__ = ["OwnNetwork"]


class OwnNetwork:
    """Forward and backward as :class:`Network` has them.

    The module is bound to views into the flat vectors, so that norms, clipping and the optimizer
    are operations on one vector here too.

    Args:
        spec: With a ``network``.
        dtype: float32, or float64 for checks against finite differences.

    Attributes:
        module: The user's network.
        params: The parameters, one flat vector with named views.
        grads: Their derivatives, in the same layout.
    """

    def __init__(self, spec: NetworkSpec, dtype: type | np.dtype) -> None:
        self.spec = spec
        self.module = build(spec, "numpy")
        initial = {f"{PREFIX}{name}": value for name, value in self.module.parameters().items()}
        if spec.log_std_shape is not None:
            log_std = {"log_std": np.full(spec.log_std_shape, spec.log_std_init)}
            initial = log_std | initial
        shapes = {name: value.shape for name, value in initial.items()}
        self.params, self.grads = (FlatParameters(shapes, dtype=dtype) for _ in range(2))
        self.params.load(initial)
        self.module.bind(
            *(
                {name.removeprefix(PREFIX): view for name, view in flat.views.items()}
                for flat in (self.params, self.grads)
            )
        )
        self.workspace = Workspace(dtype)
        self.head = make_head(spec, _Outputs(self.workspace), self.params.views, self.grads.views)
        self.values_shape: tuple[int, ...] = ()
        check_answer(spec, self.module.forward(example(spec, dtype=dtype)))

    def forward(self, x: Any) -> tuple[Any, NDArray]:
        """Encoded observations to (distribution parameters, values ``[B]``)."""
        outputs, values = self.module.forward(as_read(self.spec, x, raw_images=False))
        self.values_shape = values.shape
        return self.head.forward(outputs), values.reshape(-1)

    def backward(self, d_params: Any, d_values: NDArray) -> None:
        """From the derivatives of :meth:`forward`'s results to those of all parameters."""
        self.grads.vector.fill(0.0)
        d_outputs = self.workspace("d_outputs", (len(d_values), self.spec.n_action_outputs))
        self.head.backward(d_params, d_outputs)
        self.module.backward(d_outputs, d_values.reshape(self.values_shape))

    def forward_policy(self, x: Any) -> tuple[Any, NDArray]:
        """(distribution parameters, the network's outputs)."""
        outputs, _ = self.module.forward(as_read(self.spec, x, raw_images=False))
        return self.head.forward(outputs), outputs

    def forward_values(self, x: Any) -> NDArray:
        """Values ``[B]``."""
        return self.module.forward(as_read(self.spec, x, raw_images=False))[1].reshape(-1)


class _Outputs:
    """In the place of a head's linear layer: what the head is given are its outputs already."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def forward(self, outputs: NDArray) -> NDArray:
        """A copy: a head may write into it."""
        y = self.workspace("outputs", outputs.shape)
        np.copyto(y, outputs)
        return y

    def backward(self, d_y: NDArray, needs_d_x: bool = True, d_x: NDArray | None = None) -> Any:
        """The derivative as it is."""
        assert d_x is not None
        np.copyto(d_x, d_y)
        return d_x
