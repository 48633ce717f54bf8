"""The network behind parameters that nobody described: what their names and shapes tell."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.backends.extensions import PPOExtensions
from sb3_ext.backends.options import network_spec
from sb3_ext.backends.own_network import PREFIX
from sb3_ext.backends.parameters import check_names_and_shapes, shapes
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.portable.errors import ModelFileError, reason

__all__ = ["infer"]


def infer(
    parameters: Mapping[str, NDArray],
    observation_space: spaces.Space,
    action_space: spaces.Space,
    extensions: PPOExtensions,
    policy_kwargs: Mapping[str, Any],
) -> NetworkSpec:
    """Infer a network.

    The arrays tell layers, extractor, gSDE and how the std is made. Activation, squashing and
    ``mean`` leave no trace in them: they are as ``policy_kwargs`` and ``extensions`` say, or SB3's.

    Args:
        parameters: Canonical ones.
        observation_space: The env's.
        action_space: The env's.
        extensions: Our additions.
        policy_kwargs: Where given, they win.

    Raises:
        ModelFileError: no network of ours for these spaces has such parameters.
    """
    if any(name.startswith(PREFIX) for name in parameters):
        raise ModelFileError("these are parameters of a network of somebody's own: use the .zip")
    log_std = parameters.get("log_std")
    has_sde = log_std is not None and log_std.ndim == 2
    if log_std is None and isinstance(action_space, spaces.Box):
        extensions = replace(extensions, std="state")
    try:
        told = {
            "net_arch": {"pi": _widths(parameters, "policy"), "vf": _widths(parameters, "value")},
            "share_features_extractor": not any(n.startswith("vf_features") for n in parameters),
            "full_std": log_std is None or log_std.shape[-1] == len(parameters["action_net.bias"]),
            **_extractor(parameters, observation_space),
            **policy_kwargs,
        }
        spec = network_spec(observation_space, action_space, extensions, **told, use_sde=has_sde)
        check_names_and_shapes(shapes(spec), parameters)
    except (ValueError, TypeError, KeyError, AssertionError, NotImplementedError) as error:
        raise ModelFileError(
            f"no network for {observation_space} and {action_space}: {reason(error)}"
        ) from error
    return spec


def _widths(parameters: Mapping[str, NDArray], tower: str) -> list[int]:
    pattern = re.compile(rf"mlp_extractor\.{tower}_net\.(\d+)\.bias")
    layers = {
        int(m[1]): len(array) for n, array in parameters.items() if (m := pattern.fullmatch(n))
    }
    return [layers[k] for k in sorted(layers)]


def _extractor(parameters: Mapping[str, NDArray], space: spaces.Space) -> dict[str, Any]:
    sizes = [
        len(array)
        for name, array in parameters.items()
        if name.startswith("features_extractor.") and name.endswith("linear.0.bias")
    ]
    name, size = "flatten", ""
    if isinstance(space, spaces.Dict):
        name, size = "combined", "cnn_output_dim"
    elif sizes:
        name, size = "nature_cnn", "features_dim"
    kwargs = {size: sizes[0]} if size and sizes else {}
    return {"features_extractor_class": name, "features_extractor_kwargs": kwargs}
