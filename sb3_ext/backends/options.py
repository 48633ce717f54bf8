"""stable-baselines3's ``policy_kwargs`` to a network specification, or a refusal by name.

Classes are recognized by their names, so that this module imports neither torch nor SB3 and YAML
files can say ``tanh``, ``sgd`` or ``nature_cnn`` instead.
"""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from gymnasium import spaces

from sb3_ext.backends.extensions import PPOExtensions
from sb3_ext.backends.observations import is_image
from sb3_ext.backends.spec import NATURE_CNN, NetworkSpec

__all__ = [
    "NeedsBackendError",
    "NeedsTorchError",
    "custom_spec",
    "network_spec",
    "own_network_spec",
]

_ACTIVATIONS = {
    "Tanh": "tanh",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "ELU": "elu",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Softplus": "softplus",
    "Identity": "identity",
}
_EXTRACTORS = {
    "FlattenExtractor": "flatten",
    "NatureCNN": "nature_cnn",
    "CombinedExtractor": "combined",
}
_OPTIMIZERS = {"Adam": "adam", "SGD": "sgd"}
_OPTIMIZER_KWARGS = {"adam": {"eps", "betas"}, "sgd": {"momentum"}}
_HOMES = ("torch.", "stable_baselines3.")


class NeedsBackendError(ValueError):
    """An option that only one backend can honor.

    Args:
        what: The option.
        problem: The rest of the message.
        backend: Which one.
    """

    def __init__(self, what: str, problem: str, backend: str) -> None:
        super().__init__(f"{what} {problem}")
        self.what, self.backend = what, backend


class NeedsTorchError(NeedsBackendError):
    """An option that only the torch backend can honor.

    Args:
        what: The option.
        instead: What to use with another backend.
    """

    def __init__(self, what: str, instead: str = "") -> None:
        problem = f"is not available without torch: use {instead}backend='torch'"
        super().__init__(what, problem, "torch")


def _name_of(option: str, value: Any, known: Mapping[str, str]) -> str:
    """A known name from a string or from one of torch's or SB3's own classes."""
    if isinstance(value, str):
        for class_name, name in known.items():
            if value.lower() in (name, class_name.lower()):
                return name
    elif getattr(value, "__name__", None) in known and value.__module__.startswith(_HOMES):
        return known[value.__name__]
    shown = value if isinstance(value, str) else getattr(value, "__qualname__", repr(value))
    raise NeedsTorchError(
        f"policy_kwargs: {option}={shown}", f"one of {', '.join(known.values())}, or "
    )


def _widths(name: str, widths: Any) -> tuple[int, ...]:
    if not isinstance(widths, Sequence) or isinstance(widths, str):
        raise ValueError(f"policy_kwargs: net_arch[{name!r}] must be a list, not {widths!r}")
    for width in widths:
        if not isinstance(width, Integral) or isinstance(width, bool) or width < 1:
            raise ValueError(f"policy_kwargs: net_arch has a layer of {width!r} units")
    return tuple(map(int, widths))


def _towers(net_arch: Any, extractor: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if net_arch is None:
        net_arch = [] if extractor == "nature_cnn" else [64, 64]
    if isinstance(net_arch, list) and net_arch and isinstance(net_arch[0], dict):
        warnings.warn(
            "net_arch=[dict(pi=..., vf=...)] is outdated, pass net_arch=dict(pi=..., vf=...)",
            stacklevel=2,
        )
        net_arch = net_arch[0]
    if not isinstance(net_arch, dict):
        both = _widths("pi", net_arch)
        return both, both
    if unknown := net_arch.keys() - {"pi", "vf"}:
        raise ValueError(f"policy_kwargs: net_arch knows pi and vf, not {sorted(unknown)}")
    return _widths("pi", net_arch.get("pi", [])), _widths("vf", net_arch.get("vf", []))


def _check_image(space: Any, already_normalized: bool) -> None:
    assert is_image(space, already_normalized), (
        f"NatureCNN reads images (uint8, 3 axes, limits 0 and 255), not {space}: use MlpPolicy or "
        "MultiInputPolicy, or normalize_images=False for images that are normalized already"
    )
    _, height, width = space.shape
    for _, size, stride in NATURE_CNN:
        height, width = (height - size) // stride + 1, (width - size) // stride + 1
    if min(height, width) < 1:
        raise ValueError(f"NatureCNN needs images of at least 36 x 36 pixels, not {space.shape}")


def _optimizer(optimizer_class: Any, kwargs: Mapping[str, Any] | None) -> tuple[str, dict]:
    name = _name_of("optimizer_class", optimizer_class, _OPTIMIZERS)
    if kwargs is None:
        return name, {"eps": 1e-5} if name == "adam" else {}
    if unknown := kwargs.keys() - _OPTIMIZER_KWARGS[name]:
        raise NeedsTorchError(
            f"policy_kwargs: optimizer_kwargs {sorted(unknown)} of {name}",
            f"{sorted(_OPTIMIZER_KWARGS[name])}, or ",
        )
    return name, dict(kwargs)


def _extractor_options(extractor: str, kwargs: Mapping[str, Any] | None) -> tuple[int, bool]:
    """(features of a NatureCNN, whether images come normalized)."""
    size_key = {"nature_cnn": "features_dim", "combined": "cnn_output_dim"}.get(extractor, "")
    known = {size_key, "normalized_image"} if size_key else set()
    kwargs = kwargs or {}
    if unknown := kwargs.keys() - known:
        raise ValueError(
            f"policy_kwargs: features_extractor_kwargs of {extractor} are "
            f"{sorted(map(str, known)) or 'none'}, not {sorted(unknown)}"
        )
    default = 256 if extractor == "combined" else 512
    return kwargs.get(size_key, default), kwargs.get("normalized_image", False)


def network_spec(
    observation_space: spaces.Space,
    action_space: spaces.Space,
    extensions: PPOExtensions,
    *,
    features_extractor_class: Any,
    net_arch: Any = None,
    activation_fn: Any = "tanh",
    ortho_init: bool = True,
    use_sde: bool = False,
    log_std_init: float = 0.0,
    full_std: bool = True,
    use_expln: bool = False,
    squash_output: bool = False,
    features_extractor_kwargs: Mapping[str, Any] | None = None,
    share_features_extractor: bool = True,
    normalize_images: bool = True,
    optimizer_class: Any = "adam",
    optimizer_kwargs: Mapping[str, Any] | None = None,
) -> NetworkSpec:
    """Translate. The arguments are those of SB3's ``ActorCriticPolicy``.

    Raises:
        ValueError: an option that can't be honored; the message says what to use instead.
        AssertionError: as SB3, for ``squash_output`` without gSDE and NatureCNN without images.
    """
    assert use_sde or not squash_output, "squash_output=True is only available with use_sde=True"
    extractor = _name_of("features_extractor_class", features_extractor_class, _EXTRACTORS)
    cnn_features, normalized = _extractor_options(extractor, features_extractor_kwargs)
    normalized = normalized or not normalize_images
    if extractor == "nature_cnn":
        _check_image(observation_space, normalized)
    if (extractor == "combined") != isinstance(observation_space, spaces.Dict):
        raise ValueError(f"the extractor {extractor} can't read {observation_space}")
    pi, vf = _towers(net_arch, extractor)
    optimizer, optimizer_options = _optimizer(optimizer_class, optimizer_kwargs)
    spec = NetworkSpec(
        observation_space=observation_space,
        action_space=action_space,
        extractor=extractor,
        cnn_features=cnn_features,
        share_features_extractor=share_features_extractor,
        normalize_images=normalize_images,
        normalized_image=normalized,
        pi=pi,
        vf=vf,
        activation=_name_of("activation_fn", activation_fn, _ACTIVATIONS),
        ortho_init=ortho_init,
        log_std_init=log_std_init,
        std=extensions.std,
        std_range=extensions.std_range or (0.1, 1.0),
        mean=extensions.mean,
        bf16=extensions.bf16,
        use_sde=use_sde,
        full_std=full_std,
        use_expln=use_expln,
        squash_output=squash_output,
        optimizer=optimizer,
        optimizer_kwargs=optimizer_options,
    )
    _check_extensions(spec, extensions)
    for space in spec.images.values():
        _check_image(space, normalized)
    return spec


def own_network_spec(
    observation_space: spaces.Space,
    action_space: spaces.Space,
    extensions: PPOExtensions,
    *,
    seed: int,
    network: Any = None,
    network_kwargs: Mapping[str, Any] | None = None,
    log_std_init: float = 0.0,
    normalize_images: bool = True,
    optimizer_class: Any = "adam",
    optimizer_kwargs: Mapping[str, Any] | None = None,
    use_sde: bool = False,
    **others: Any,
) -> NetworkSpec:
    """The same for a network of the user's own; ``seed`` is that of its random numbers.

    Raises:
        ValueError: an option of the built-in network, or one that needs to know its inside.
        TypeError: an unknown option.
    """
    if network is None:
        raise ValueError("policy_kwargs: network must be a class, a function or a dotted path")
    known = inspect.signature(network_spec).parameters
    for name in others:
        if name not in known:
            raise TypeError(f"policy_kwargs: unexpected argument {name!r} beside network")
        raise ValueError(
            f"policy_kwargs: {name} belongs to the built-in network, not to one of your own: "
            "give network_kwargs"
        )
    if use_sde:
        raise ValueError("use_sde needs the actor's last hidden layer: not with your own network")
    if extensions.value_learning_rate is not None:
        raise ValueError(
            "extensions: value_learning_rate needs to know which parameters are the critic's: "
            "not with your own network"
        )
    optimizer, optimizer_options = _optimizer(optimizer_class, optimizer_kwargs)
    spec = NetworkSpec(
        observation_space=observation_space,
        action_space=action_space,
        normalize_images=normalize_images,
        log_std_init=log_std_init,
        std=extensions.std,
        std_range=extensions.std_range or (0.1, 1.0),
        mean=extensions.mean,
        bf16=extensions.bf16,
        optimizer=optimizer,
        optimizer_kwargs=optimizer_options,
        network=network,
        network_kwargs=dict(network_kwargs or {}),
        network_seed=seed,
    )
    _check_extensions(spec, extensions)
    return spec


def _check_extensions(spec: NetworkSpec, extensions: PPOExtensions) -> None:
    own = {"std": spec.std != "free", "mean": spec.mean != "linear"}
    for name, is_set in own.items():
        if is_set and not isinstance(spec.action_space, spaces.Box):
            raise ValueError(
                f"extensions: {name}={getattr(spec, name)!r} needs continuous (Box) actions, "
                f"not {spec.action_space}"
            )
        if is_set and spec.use_sde and (name, spec.std) != ("std", "fixed"):
            raise ValueError(f"extensions: {name}={getattr(spec, name)!r} can't go with use_sde")
    if extensions.value_learning_rate is not None and spec.images and spec.share_features_extractor:
        raise ValueError(
            "extensions: value_learning_rate needs networks of their own: "
            "set policy_kwargs=dict(share_features_extractor=False)"
        )


def custom_spec(
    observation_space: spaces.Space,
    action_space: spaces.Space,
    extensions: PPOExtensions,
    **policy_kwargs: Any,
) -> NetworkSpec:
    """What is known of a torch policy of one's own: the distribution that follows it."""
    known = ("use_sde", "full_std", "use_expln", "squash_output", "log_std_init")
    spec = NetworkSpec(
        observation_space=observation_space,
        action_space=action_space,
        extractor="custom",
        std=extensions.std,
        std_range=extensions.std_range or (0.1, 1.0),
        mean=extensions.mean,
        bf16=extensions.bf16,
        **{name: policy_kwargs[name] for name in known if name in policy_kwargs},
    )
    _check_extensions(spec, extensions)
    return spec
