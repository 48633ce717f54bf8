"""What network a backend has to build: everything that decides its parameters and its formulas."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gymnasium import spaces

from sb3_ext.backends.observations import encoded_size, is_image, refuse_many_axes
from sb3_ext.functional.distributions import (
    Bernoulli,
    Categorical,
    DiagGaussian,
    MultiCategorical,
    SquashedGaussian,
)

__all__ = ["NATURE_CNN", "ActionDistribution", "NetworkSpec"]

NATURE_CNN = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
"""(filters, kernel size, stride) of Mnih et al. 2015, each followed by a ReLU."""

ActionDistribution = Categorical | MultiCategorical | Bernoulli | DiagGaussian | SquashedGaussian


@dataclass(frozen=True)
class NetworkSpec:
    """An actor-critic network and its action distribution.

    Attributes:
        observation_space: Of one row, images with channels first.
        action_space: Box, Discrete, MultiDiscrete or MultiBinary.
        extractor: ``"flatten"``, ``"nature_cnn"`` or ``"combined"`` (a Dict: its images through
            NatureCNNs, the rest flattened, side by side); ``"custom"``: a torch policy of one's
            own, of which only what follows it is known.
        cnn_features: Outputs of each NatureCNN.
        share_features_extractor: Whether actor and critic share the extractor.
        normalize_images: Divide images by 255.
        normalized_image: Accept any Box of three axes as an image.
        pi: Widths of the actor's hidden layers.
        vf: Widths of the critic's hidden layers.
        activation: Name of the hidden layers' activation.
        ortho_init: Orthogonal initialization.
        log_std_init: Initial log std of a Gaussian.
        std: ``"free"`` (a parameter), ``"fixed"`` (at ``exp(log_std_init)``) or ``"state"`` (a
            second set of outputs h of the action head, ``std = low + (high - low)(tanh h + 1)/2``).
        std_range: (low, high) for ``std="state"``.
        mean: ``"linear"`` or ``"tanh"``: what the means pass through.
        use_sde: Generalized state-dependent exploration.
        full_std: gSDE: one std per feature and action, not just per feature.
        use_expln: gSDE: ``exp`` below 0 and ``log1p + 1`` above in place of ``exp``.
        squash_output: gSDE: actions through tanh.
        bf16: Torch: multiply matrices in bfloat16.
        optimizer: ``"adam"`` or ``"sgd"``.
        optimizer_kwargs: adam: ``eps``, ``betas``; sgd: ``momentum``.
        network: A network of the user's own, see :mod:`sb3_ext.backends.own_network`: what makes
            it, or that one's dotted path. It stands for extractor, hidden layers and heads.
        network_kwargs: What it is made with.
        network_seed: Of its random numbers.
    """

    observation_space: spaces.Space
    action_space: spaces.Space
    extractor: str = "flatten"
    cnn_features: int = 512
    share_features_extractor: bool = True
    normalize_images: bool = True
    normalized_image: bool = False
    pi: tuple[int, ...] = (64, 64)
    vf: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    ortho_init: bool = True
    log_std_init: float = 0.0
    std: str = "free"
    std_range: tuple[float, float] = (0.1, 1.0)
    mean: str = "linear"
    use_sde: bool = False
    full_std: bool = True
    use_expln: bool = False
    squash_output: bool = False
    bf16: bool = False
    optimizer: str = "adam"
    optimizer_kwargs: Mapping[str, Any] = field(default_factory=lambda: {"eps": 1e-5})
    network: Callable[..., Any] | str | None = None
    network_kwargs: Mapping[str, Any] = field(default_factory=dict)
    network_seed: int = 0

    @property
    def is_canonical(self) -> bool:
        """Whether the whole network is described here, so that every backend can build it."""
        return self.extractor != "custom" and self.network is None

    @cached_property
    def images(self) -> dict[str, spaces.Box]:
        """The observations that a NatureCNN reads, by key; the key of a plain image is ``""``.

        For a network of the user's own: those that are images.
        """
        if self.network is not None:
            space = self.observation_space
            parts = space.spaces if isinstance(space, spaces.Dict) else {"": space}
            return {key: part for key, part in parts.items() if is_image(part)}  # type: ignore[misc]
        if self.extractor == "nature_cnn":
            return {"": self.observation_space}  # type: ignore[dict-item]
        if self.extractor == "combined":
            return {
                key: space
                for key, space in self.observation_space.spaces.items()  # type: ignore[attr-defined]
                if is_image(space, self.normalized_image)
            }
        return {}

    def image_scale(self, key: str) -> float:
        """What an image's numbers are multiplied with: 1/255, or 1 if they come normalized."""
        return 1.0 / 255.0 if self.normalize_images and is_image(self.images[key]) else 1.0

    @cached_property
    def n_features(self) -> int:
        """Length of what the extractor hands to the hidden layers."""
        if self.extractor == "flatten":
            return encoded_size(self.observation_space)
        n = self.cnn_features * len(self.images)
        if self.extractor == "combined":
            parts = self.observation_space.spaces.items()  # type: ignore[attr-defined]
            n += sum(encoded_size(space) for key, space in parts if key not in self.images)
        return n

    @cached_property
    def distribution(self) -> ActionDistribution:
        """The action distribution, by action space."""
        space = self.action_space
        if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
            refuse_many_axes(space)
        if isinstance(space, spaces.Discrete):
            return Categorical(int(space.n))
        if isinstance(space, spaces.MultiDiscrete):
            return MultiCategorical(tuple(int(n) for n in space.nvec.reshape(-1)))
        if isinstance(space, spaces.MultiBinary):
            return Bernoulli(encoded_size(space))
        if isinstance(space, spaces.Box):
            size = encoded_size(space)
            return SquashedGaussian(size) if self.squash_output else DiagGaussian(size)
        raise NotImplementedError(f"no distribution for a {type(space).__name__} action space")

    @property
    def latent_pi(self) -> int:
        """Width of what the action head reads."""
        return self.pi[-1] if self.pi else self.n_features

    @property
    def n_action_outputs(self) -> int:
        """Outputs of the action head."""
        return self.distribution.n_params * (2 if self.std == "state" else 1)

    @property
    def log_std_shape(self) -> tuple[int, ...] | None:
        """Shape of the parameter ``log_std``, or None when there is none."""
        if not isinstance(self.action_space, spaces.Box) or self.std == "state":
            return None
        n = self.distribution.n_params
        if self.use_sde:
            return (self.latent_pi, n if self.full_std else 1)
        return (n,)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of one row's noise: for gSDE that is a matrix which serves many steps."""
        if self.use_sde:
            return (self.latent_pi, self.distribution.n_params)
        return self.distribution.noise_shape
