"""Feature extractors: from encoded observations to one row of features each."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sb3_ext.backends.numpy_backend.activations import ACTIVATIONS
from sb3_ext.backends.numpy_backend.layers import Conv2d, Linear
from sb3_ext.backends.spec import NATURE_CNN, NetworkSpec

__all__ = ["Combined", "Extractor", "Flatten", "NatureCNN", "make_extractor"]

Views = dict[str, NDArray]


class Extractor(Protocol):
    """What the network asks of an extractor."""

    has_parameters: bool

    def forward(self, x: Any) -> NDArray:
        """Encoded observations to features ``[B, n]``."""

    def backward(self, d_features: NDArray) -> None:
        """Write the parameters' derivatives."""


class Flatten:
    """The observation's numbers in a row."""

    has_parameters = False

    def forward(self, x: NDArray) -> NDArray:
        """``[B, ...]`` to ``[B, n]``."""
        return x.reshape(len(x), -1)

    def backward(self, d_features: NDArray) -> None:
        """Nothing to learn."""


class NatureCNN:
    """Three convolutions and a linear layer, a ReLU after each (Mnih et al. 2015).

    Args:
        prefix: Of the parameters' names.
        params: All parameters by name.
        grads: Where their derivatives go.
    """

    has_parameters = True

    def __init__(self, prefix: str, params: Views, grads: Views) -> None:
        def arrays(name: str) -> list[NDArray]:
            names = (f"{prefix}{name}.weight", f"{prefix}{name}.bias")
            return [views[full] for views in (params, grads) for full in names]

        self.convolutions = [
            Conv2d(stride, *arrays(f"cnn.{2 * k}")) for k, (_, _, stride) in enumerate(NATURE_CNN)
        ]
        self.linear = Linear(*arrays("linear.0"))
        self.relu = ACTIVATIONS["relu"]
        self.maps: list[NDArray] = []
        self.features: Any = None

    def forward(self, x: NDArray) -> NDArray:
        """``[B, C, H, W]`` to ``[B, n]``."""
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        self.maps = []
        for convolution in self.convolutions:
            x = self.relu.forward(convolution.forward(x))
            self.maps.append(x)
        # Canonical weights of the linear layer expect channels first.
        flat = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(len(x), -1)
        self.features = self.relu.forward(self.linear.forward(flat))
        return self.features

    def backward(self, d_features: NDArray) -> None:
        """Through the linear layer and the convolutions; the images need no derivative."""
        d_z = self.relu.backward(d_features.copy(), self.features, self.features, self.features)
        d_flat = self.linear.backward(d_z)
        b, height, width, channels = self.maps[-1].shape
        assert d_flat is not None
        d_map: Any = np.ascontiguousarray(
            d_flat.reshape(b, channels, height, width).transpose(0, 2, 3, 1)
        )
        for k in (2, 1, 0):
            y = self.maps[k]
            d_map = self.convolutions[k].backward(self.relu.backward(d_map, y, y, y), k > 0)


class Combined:
    """A Dict observation: a NatureCNN for each image, the rest flattened, side by side."""

    def __init__(self, spec: NetworkSpec, prefix: str, params: Views, grads: Views) -> None:
        self.parts: dict[str, Flatten | NatureCNN] = {
            key: NatureCNN(f"{prefix}extractors.{key}.", params, grads)
            if key in spec.images
            else Flatten()
            for key in spec.observation_space.spaces  # type: ignore[attr-defined]
        }
        self.has_parameters = bool(spec.images)
        self.widths: list[int] = []

    def forward(self, x: dict[str, NDArray]) -> NDArray:
        """A dict of ``[B, ...]`` to ``[B, n]``, in the space's order of keys."""
        features = [part.forward(x[key]) for key, part in self.parts.items()]
        self.widths = [part.shape[1] for part in features]
        return np.concatenate(features, axis=1)

    def backward(self, d_features: NDArray) -> None:
        """Each part gets its own columns."""
        stop = 0
        for part, width in zip(self.parts.values(), self.widths, strict=True):
            stop += width
            part.backward(d_features[:, stop - width : stop])


def make_extractor(spec: NetworkSpec, prefix: str, params: Views, grads: Views) -> Extractor:
    """The extractor that a spec names; ``prefix`` is ``"features_extractor."`` or the critic's."""
    if spec.extractor == "flatten":
        return Flatten()
    if spec.extractor == "nature_cnn":
        return NatureCNN(prefix, params, grads)
    return Combined(spec, prefix, params, grads)
