"""What has parameters: a layer, or a network made of layers."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray

__all__ = ["Module"]


class Module:
    """Parameters of its own, and those of the modules among its attributes.

    A layer lists its own in ``arrays``: for ``arrays = ("weight",)`` it has an array ``weight``,
    and ``backward`` writes the loss's derivative into another, ``d_weight``. A network has its
    layers as attributes, in lists and dicts too, and none of its own. A parameter's name is the
    path to it: ``body.layers.0.weight``.

    An actor-critic network has besides::

        forward(x) -> (outputs [B, n_outputs], values [B] or [B, 1])
        backward(d_outputs, d_values)    shaped like forward's results

    Attributes:
        arrays: Names of the layer's own parameters.
    """

    arrays: ClassVar[tuple[str, ...]] = ()

    def modules(self) -> Iterator[tuple[str, "Module"]]:
        """(path, module) of itself and of all that it is made of, each once."""
        return _modules("", self, set())

    def parameters(self) -> dict[str, NDArray]:
        """All arrays by their names."""
        return {
            f"{path}{name}": getattr(module, name)
            for path, module in self.modules()
            for name in module.arrays
        }

    def bind(self, params: Mapping[str, NDArray], grads: Mapping[str, NDArray]) -> None:
        """From now on work with these arrays; names and shapes as :meth:`parameters` has them.

        Args:
            params: What the optimizer changes.
            grads: Where ``backward`` writes; its contents are 0 before.
        """
        for path, module in self.modules():
            for name in module.arrays:
                setattr(module, name, params[f"{path}{name}"])
                setattr(module, f"d_{name}", grads[f"{path}{name}"])
        for _, module in self.modules():
            module.bound()

    def bound(self) -> None:
        """Called when the arrays are others than before: make anew what was derived from them."""


def _modules(path: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Module]]:
    children: Any = ()
    if isinstance(value, Module):
        if id(value) in seen:
            return
        seen.add(id(value))
        yield path, value
        children = vars(value).items()
    elif isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list | tuple):
        children = enumerate(value)
    for name, child in children:
        yield from _modules(f"{path}{name}.", child, seen)
