"""What may stand where in a model's description."""

import sys
from typing import Any

from sb3_ext.backends.numpy_backend.activations import ACTIVATIONS
from sb3_ext.portable import strict

__all__ = ["ARGUMENTS", "COUNTER", "EXTENSIONS", "EXTRACTORS", "PROGRESS", "policy_kwargs"]

_AT_LEAST_0 = strict.number(0.0)
_ABOVE_0 = strict.number(sys.float_info.min)
_MANY = strict.integer(1, 2**31)


COUNTER = strict.integer(0, 2**63 - 1)
"""Something counted."""


def _positive_schedule(value: Any, where: str) -> float | str:
    return strict.schedule(value, where) if isinstance(value, str) else _ABOVE_0(value, where)


ARGUMENTS: dict[str, strict.Reader] = {
    "learning_rate": strict.schedule,
    # A rollout's buffer is allocated when a model is loaded.
    "n_steps": strict.integer(1, 2**24),
    "batch_size": _MANY,
    "n_epochs": _MANY,
    "gamma": strict.number(0.0, 1.0),
    "gae_lambda": strict.number(0.0, 1.0),
    "clip_range": strict.schedule,
    "clip_range_vf": strict.optional(_positive_schedule),
    "normalize_advantage": strict.boolean,
    "ent_coef": strict.number(),
    "vf_coef": strict.number(),
    "max_grad_norm": _AT_LEAST_0,
    "use_sde": strict.boolean,
    "sde_sample_freq": strict.integer(-1, 2**31),
    "target_kl": strict.optional(_AT_LEAST_0),
    "stats_window_size": _MANY,
    "seed": strict.optional(strict.integer(0, 2**32 - 1)),
}
"""Arguments of PPO's constructor that a file holds."""

EXTENSIONS: dict[str, strict.Reader] = {
    "value_learning_rate": strict.optional(strict.schedule),
    "value_max_grad_norm": strict.optional(_AT_LEAST_0),
    "accumulate_minibatches": _MANY,
    "drop_incomplete": strict.boolean,
    "n_rollouts_kept": _MANY,
    "advantage_normalization": strict.optional(strict.choice(("minibatch", "rollout", "off"))),
    "std": strict.choice(("free", "fixed", "state")),
    "std_range": strict.optional(strict.sequence(_AT_LEAST_0, 2)),
    "mean": strict.choice(("linear", "tanh")),
    "min_inference_size": strict.optional(_MANY),
    "bf16": strict.boolean,
}
"""Fields of :class:`PPOExtensions`; those that are missing are as they are by default."""

PROGRESS: dict[str, strict.Reader] = {
    "num_timesteps": COUNTER,
    "n_updates": COUNTER,
    "noise": strict.sequence(COUNTER, 3),
}
"""How far a training has come; ``noise`` is (seed, step, update)."""

EXTRACTORS = {
    "flatten": ("MlpPolicy", ""),
    "nature_cnn": ("CnnPolicy", "features_dim"),
    "combined": ("MultiInputPolicy", "cnn_output_dim"),
}
"""By extractor: the policy's name at SB3, and what the size of a NatureCNN is called."""

_WIDTHS = strict.sequence(_MANY)
_TOWERS: dict[str, strict.Reader] = {"pi": _WIDTHS, "vf": _WIDTHS}
_OPTIMIZERS: dict[str, dict[str, strict.Reader]] = {
    "adam": {
        "eps": strict.number(0.0, 1.0),
        "betas": strict.sequence(strict.number(0.0, 1.0 - 2.0**-53), 2),
    },
    "sgd": {"momentum": _AT_LEAST_0},
}
_POLICY_KWARGS: dict[str, strict.Reader] = {
    "net_arch": lambda value, where: strict.record(value, where, _TOWERS),
    "activation_fn": strict.choice(tuple(ACTIVATIONS)),
    "ortho_init": strict.boolean,
    "log_std_init": strict.number(-100.0, 100.0),
    "full_std": strict.boolean,
    "use_expln": strict.boolean,
    "squash_output": strict.boolean,
    "share_features_extractor": strict.boolean,
    "normalize_images": strict.boolean,
    "optimizer_class": strict.choice(tuple(_OPTIMIZERS)),
}


def policy_kwargs(policy: Any) -> strict.Reader:
    """A reader of SB3's ``policy_kwargs`` as plain data, for a policy by its name at SB3."""
    size = {name: size for name, size in EXTRACTORS.values()}.get(str(policy), "")
    extractor = {size: _MANY, "normalized_image": strict.boolean} if size else {}

    def read(value: Any, where: str) -> dict[str, Any]:
        optimizer = value.get("optimizer_class") if isinstance(value, dict) else None
        options = _OPTIMIZERS.get(str(optimizer), {})
        return strict.record(
            value,
            where,
            {
                **_POLICY_KWARGS,
                "features_extractor_kwargs": lambda v, w: strict.record(v, w, extractor),
                "optimizer_kwargs": lambda v, w: strict.record(v, w, options, options),
            },
        )

    return read
