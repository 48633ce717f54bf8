"""The actor-critic network: extractor, two towers of hidden layers, action head and value head.

When actor and critic have equal widths, their layers lie side by side in arrays ``[2, out, in]``
and pass together: half as many operations, each twice as large, which at PPO's usual sizes is what
the time goes into. The named canonical parameters are views into these arrays.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ext.backends.numpy_backend.activations import ACTIVATIONS
from sb3_ext.backends.numpy_backend.extractors import make_extractor
from sb3_ext.backends.numpy_backend.heads import make_head
from sb3_ext.backends.numpy_backend.layers import Linear, Tower, Workspace
from sb3_ext.backends.parameters import FlatParameters, shapes
from sb3_ext.backends.spec import NetworkSpec

__all__ = ["Network"]

POLICY, VALUE = "mlp_extractor.policy_net", "mlp_extractor.value_net"


class Network:
    """Forward and backward over the whole network.

    Args:
        spec: What to build.
        dtype: float32, or float64 for checks against finite differences.

    Attributes:
        params: The parameters, one flat vector with named views.
        grads: Their derivatives, in the same layout; :meth:`backward` writes all of them.
    """

    def __init__(self, spec: NetworkSpec, dtype: type | np.dtype) -> None:
        if spec.activation not in ACTIVATIONS:
            raise ValueError(
                f"the numpy backend has no activation {spec.activation!r}: "
                f"choose from {', '.join(ACTIVATIONS)}"
            )
        self.spec = spec
        self.params = FlatParameters(shapes(spec), _side_by_side(spec), dtype)
        self.grads = FlatParameters(shapes(spec), self.params.order, dtype)
        self.workspace = Workspace(dtype)
        params, grads = self.params.views, self.grads.views
        self.extractor = make_extractor(spec, "features_extractor.", params, grads)
        self.vf_extractor = self.extractor
        if not spec.share_features_extractor and self.extractor.has_parameters:
            self.vf_extractor = make_extractor(spec, "vf_features_extractor.", params, grads)
        # Each tower alone, for acting and for values; the training pass may fuse them.
        self.pi_tower = self._tower(len(spec.pi), [POLICY])
        self.vf_tower = self._tower(len(spec.vf), [VALUE])
        self.is_fused = spec.pi == spec.vf and len(spec.pi) > 0
        if self.is_fused:
            self.both_towers = self._tower(len(spec.pi), [POLICY, VALUE])
        self.head = make_head(spec, self._linear(["action_net"]), params, grads)
        self.value_layer = self._linear(["value_net"])

    def _linear(self, names: list[str]) -> Linear:
        arrays = []
        for flat in (self.params, self.grads):
            for kind in ("weight", "bias"):
                full = [f"{name}.{kind}" for name in names]
                arrays.append(flat.stacked(full) if len(full) > 1 else flat.views[full[0]])
        return Linear(*arrays)

    def _tower(self, n_layers: int, names: list[str]) -> Tower:
        layers = [self._linear([f"{name}.{2 * k}" for name in names]) for k in range(n_layers)]
        return Tower(layers, ACTIVATIONS[self.spec.activation])

    def forward(self, x: Any) -> tuple[Any, NDArray]:
        """Encoded observations to (distribution parameters, values ``[B]``)."""
        features = vf_features = self.extractor.forward(x)
        if self.vf_extractor is not self.extractor:
            vf_features = self.vf_extractor.forward(x)
        if self.is_fused:
            both = features[None]
            if vf_features is not features:
                both = np.stack([features, vf_features])
            latent_pi, latent_vf = self.both_towers.forward(both)
        else:
            latent_pi = self.pi_tower.forward(features)
            latent_vf = self.vf_tower.forward(vf_features)
        return self.head.forward(latent_pi), self.value_layer.forward(latent_vf)[:, 0]

    def backward(self, d_params: Any, d_values: NDArray) -> None:
        """From the derivatives of :meth:`forward`'s results to those of all parameters."""
        spec, n = self.spec, len(d_values)
        if self.is_fused:
            d_latents = self.workspace("d_latents", (2, n, spec.pi[-1]))
            d_pi, d_vf = d_latents
        else:
            d_pi = self.workspace("d_pi", (n, spec.latent_pi))
            d_vf = self.workspace("d_vf", (n, spec.vf[-1] if spec.vf else spec.n_features))
        self.head.backward(d_params, d_pi)
        self.value_layer.backward(d_values[:, None], d_x=d_vf)
        learns = self.extractor.has_parameters
        d_features: Any
        if self.is_fused:
            d_features = self.both_towers.backward(d_latents, learns)
        else:
            d_features = (
                self.pi_tower.backward(d_pi, learns),
                self.vf_tower.backward(d_vf, learns),
            )
        if learns:
            self._backward_features(*d_features)

    def _backward_features(self, d_pi: NDArray, d_vf: NDArray) -> None:
        if self.vf_extractor is self.extractor:
            self.extractor.backward(d_pi + d_vf)
        else:
            self.extractor.backward(d_pi)
            self.vf_extractor.backward(d_vf)

    def forward_policy(self, x: Any) -> tuple[Any, NDArray]:
        """(distribution parameters, the actor's last hidden layer)."""
        latent = self.pi_tower.forward(self.extractor.forward(x))
        return self.head.forward(latent), latent

    def forward_values(self, x: Any) -> NDArray:
        """Values ``[B]``."""
        latent = self.vf_tower.forward(self.vf_extractor.forward(x))
        return self.value_layer.forward(latent)[:, 0]


def _side_by_side(spec: NetworkSpec) -> list[str]:
    """An order of the parameters in which the two towers' equal layers are neighbors."""
    names = list(shapes(spec))
    tower = [name for name in names if name.startswith((POLICY, VALUE))]
    rest = [name for name in names if name not in tower]
    pairs = []
    for k in range(max(len(spec.pi), len(spec.vf))):
        for kind in ("weight", "bias"):
            pairs += [f"{net}.{2 * k}.{kind}" for net in (POLICY, VALUE)]
    return [name for name in pairs if name in tower] + rest
