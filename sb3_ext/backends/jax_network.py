"""A user's own ``equinox.Module`` as actor and critic in the JAX backend."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from sb3_ext.backends.autograd import Outputs
from sb3_ext.backends.own_network import as_read, build, check_answer, check_parameters, example
from sb3_ext.backends.spec import NetworkSpec

__all__ = ["OwnNetwork", "named_leaves"]


class OwnNetwork(eqx.Module):
    """From encoded observations to :class:`Outputs`; its leaves are what is learned.

    Args:
        spec: With a ``network``.
    """

    log_std: Any
    network: Any  # the user's module, with None for whatever isn't an array of floats
    fixed: "_Fixed" = eqx.field(static=True)

    def __init__(self, spec: NetworkSpec) -> None:
        self.log_std = None
        if spec.log_std_shape is not None:
            self.log_std = jnp.full(spec.log_std_shape, spec.log_std_init, jnp.float32)
        module = build(spec, "jax")
        self.network, rest = eqx.partition(module, eqx.is_inexact_array)
        self.fixed = _Fixed(spec, rest)
        check_parameters(spec, named_leaves(self.network))
        check_answer(spec, jax.eval_shape(module, example(spec)))

    @property
    def module(self) -> Any:
        """The user's module, whole."""
        return eqx.combine(self.network, self.fixed.rest)

    def __call__(self, x: Any, actor_only: bool = False) -> Outputs:
        actions, values = self.module(as_read(self.fixed.spec, x, raw_images=True))
        return Outputs(actions, None, values.reshape(-1), self.log_std)


class _Fixed:
    """What isn't learned; JAX compares it by identity, as there may be arrays among it."""

    def __init__(self, spec: NetworkSpec, rest: Any) -> None:
        self.spec, self.rest = spec, rest


def named_leaves(tree: Any) -> dict[str, Any]:
    """A tree's arrays by the paths to them, in the tree's order."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
