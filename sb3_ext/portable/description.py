"""What a model is besides its numbers, as JSON: spaces, network, hyperparameters, progress.

It doesn't say which backend a model was trained on: any of them goes on with it.
"""

import inspect
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from sb3_ext.backends.extensions import PPOExtensions
from sb3_ext.backends.options import network_spec
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.portable import strict
from sb3_ext.portable.errors import ModelFileError, reason
from sb3_ext.portable.normalizer import Normalizer
from sb3_ext.portable.plain_spaces import describe_space, read_space
from sb3_ext.portable.schedule_text import schedule_text
from sb3_ext.portable.schema import (
    ARGUMENTS,
    COUNTER,
    EXTENSIONS,
    EXTRACTORS,
    PROGRESS,
    policy_kwargs,
)
from sb3_ext.rollout_buffer import RolloutBuffer

__all__ = ["Description", "check_canonical", "default_arguments", "undescribable"]

FORMAT, VERSION = "sb3_ext.ppo", 1
SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf")


@dataclass(frozen=True)
class Description:
    """A PPO without its numbers.

    Attributes:
        spec: The network, with the spaces.
        extensions: Our additions.
        arguments: Of PPO's constructor, see :data:`sb3_ext.portable.schema.ARGUMENTS`.
        progress: ``num_timesteps``, ``n_updates``, ``noise`` (seed, step, update).
        normalizer: Of its observations and rewards; None: there is none.
        optimizer_step: Steps that the optimizer has made, where its moments are in the file too.
    """

    spec: NetworkSpec
    extensions: PPOExtensions
    arguments: dict[str, Any]
    progress: dict[str, Any]
    normalizer: Normalizer | None = None
    optimizer_step: int | None = None

    @property
    def policy(self) -> str:
        """Its name at SB3."""
        return EXTRACTORS[self.spec.extractor][0]

    @property
    def policy_kwargs(self) -> dict[str, Any]:
        """SB3's ``policy_kwargs`` that give this network, as plain data."""
        spec = self.spec
        size = EXTRACTORS[spec.extractor][1]
        sizes = {size: spec.cnn_features, "normalized_image": spec.normalized_image}
        return {
            "net_arch": {"pi": list(spec.pi), "vf": list(spec.vf)},
            "activation_fn": spec.activation,
            "ortho_init": spec.ortho_init,
            "log_std_init": _plain(spec.log_std_init),
            "full_std": spec.full_std,
            "use_expln": spec.use_expln,
            "squash_output": spec.squash_output,
            "share_features_extractor": spec.share_features_extractor,
            "normalize_images": spec.normalize_images,
            "features_extractor_kwargs": sizes if size else {},
            "optimizer_class": spec.optimizer,
            "optimizer_kwargs": {k: _plain(value) for k, value in spec.optimizer_kwargs.items()},
        }

    @classmethod
    def of(
        cls, model: Any, exclude: Collection[str] = (), optimizer_step: int | None = None
    ) -> Self:
        """Describe a PPO of ours.

        Args:
            model: The model.
            exclude: What to leave out, as SB3's ``save`` has it: it will be the default.
            optimizer_step: See the class.

        Raises:
            ModelFileError: it has something that only pickle can hold; the message names it.
        """
        check_canonical(model.actor_critic.spec)
        known = (*ARGUMENTS, "value_learning_rate", "rollout_buffer_class")
        if unknown := sorted(set(exclude) - set(known)):
            raise ModelFileError(f"exclude: {unknown[0]!r} is none of {', '.join(known)}")
        if not _has_plain_buffer(model) and "rollout_buffer_class" not in exclude:
            raise ModelFileError(
                "a rollout_buffer_class of your own can't be described in a file: "
                "save(..., exclude=['rollout_buffer_class'])"
            )
        defaults = default_arguments()
        env = model.get_vec_normalize_env()
        extensions = model.extensions
        if "value_learning_rate" in exclude:
            extensions = replace(extensions, value_learning_rate=None, value_max_grad_norm=None)
        return cls(
            spec=model.actor_critic.spec,
            extensions=extensions,
            arguments={
                name: defaults[name] if name in exclude else _argument(model, name)
                for name in ARGUMENTS
            },
            progress={
                "num_timesteps": int(model.num_timesteps),
                "n_updates": int(model._n_updates),
                "noise": [
                    int(x) for x in (model._noise_seed, model._noise_step, model._noise_update)
                ],
            },
            normalizer=None if env is None else Normalizer.of(env),
            optimizer_step=optimizer_step,
        )

    def text(self) -> str:
        """As JSON."""
        extensions = self.extensions.changed()
        if (name := "value_learning_rate") in extensions:
            extensions[name] = schedule_text(extensions[name], name)
        return json.dumps(
            {
                "format": FORMAT,
                "version": VERSION,
                "observation_space": describe_space(self.spec.observation_space),
                "action_space": describe_space(self.spec.action_space),
                "policy": self.policy,
                "policy_kwargs": self.policy_kwargs,
                "extensions": extensions,
                "arguments": self.arguments,
                "progress": self.progress,
                "normalizer": self.normalizer and self.normalizer.description(),
                "optimizer_step": self.optimizer_step,
            }
        )

    @classmethod
    def read(cls, text: str, most_elements: int) -> Self:
        """What :meth:`text` wrote; a normalizer's arrays are still to be filled in.

        Args:
            text: JSON.
            most_elements: How many numbers an observation or an action may have.

        Raises:
            ModelFileError: something isn't as it must be; the message says what.
        """
        content = strict.parse(text)
        _check_version(content)

        def space(value: Any, where: str) -> Any:
            return read_space(value, where, most_elements)

        policies = tuple(name for name, _ in EXTRACTORS.values())
        readers: dict[str, strict.Reader] = {
            "format": strict.text,
            "version": strict.integer(VERSION, VERSION),
            "observation_space": space,
            "action_space": space,
            "policy": strict.choice(policies),
            "policy_kwargs": policy_kwargs(content.get("policy")),
            "extensions": _extensions,
            "arguments": _arguments,
            "progress": lambda value, where: strict.record(value, where, PROGRESS),
            "normalizer": strict.optional(Normalizer.reader(most_elements)),
            "optimizer_step": strict.optional(COUNTER),
        }
        found = strict.record(content, "description", readers)
        return cls(
            spec=_spec(found),
            **{
                name: found[name]
                for name in ("extensions", "arguments", "progress", "normalizer", "optimizer_step")
            },
        )


def check_canonical(spec: NetworkSpec) -> None:
    """Whether a network is one that a description can tell.

    Raises:
        ModelFileError: it is somebody's own.
    """
    if not spec.is_canonical:
        raise ModelFileError(
            "its network is one of your own (policy, features extractor, optimizer or network), "
            "which a file of plain data can't describe: a .zip can"
        )


def default_arguments() -> dict[str, Any]:
    """What PPO's constructor takes for the described arguments where nothing is said."""
    from sb3_ext.ppo import PPO  # it imports this module

    parameters = inspect.signature(PPO.__init__).parameters
    return {name: parameters[name].default for name in ARGUMENTS}


def undescribable(model: Any) -> list[str]:
    """What a description of this model must leave out: ``exclude`` for :meth:`Description.of`."""
    values = {name: getattr(model, name) for name in SCHEDULES}
    values["value_learning_rate"] = model.extensions.value_learning_rate
    found = []
    for name, value in values.items():
        try:
            schedule_text(value, name)
        except ModelFileError:
            found.append(name)
    return found if _has_plain_buffer(model) else [*found, "rollout_buffer_class"]


def _has_plain_buffer(model: Any) -> bool:
    return model.rollout_buffer_class in (None, RolloutBuffer)


def _argument(model: Any, name: str) -> Any:
    value = getattr(model, {"stats_window_size": "_stats_window_size"}.get(name, name))
    return schedule_text(value, name) if name in SCHEDULES else _plain(value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _check_version(content: Any) -> None:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelFileError("its description is not one of a model of ours")
    if content.get("version") != VERSION:
        raise ModelFileError(
            f"its format is version {content.get('version')!r}; this sb3_ext reads {VERSION}"
        )


def _arguments(value: Any, where: str) -> dict[str, Any]:
    found = strict.record(value, where, ARGUMENTS)
    if found["normalize_advantage"] and found["batch_size"] < 2:
        raise ModelFileError(f"{where}: normalize_advantage needs a batch_size of at least 2")
    return found


def _extensions(value: Any, where: str) -> PPOExtensions:
    found = strict.record(value, where, EXTENSIONS, EXTENSIONS)
    if found.get("std_range") is not None:
        found["std_range"] = tuple(found["std_range"])
    try:
        return PPOExtensions(**found)
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{where}: {error}") from error


def _spec(found: dict[str, Any]) -> NetworkSpec:
    extractors = {policy: extractor for extractor, (policy, _) in EXTRACTORS.items()}
    options = dict(found["policy_kwargs"]["optimizer_kwargs"])
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
    try:
        spec = network_spec(
            found["observation_space"],
            found["action_space"],
            found["extensions"],
            features_extractor_class=extractors[found["policy"]],
            use_sde=found["arguments"]["use_sde"],
            **{**found["policy_kwargs"], "optimizer_kwargs": options},
        )
        spec.distribution  # noqa: B018  (refuses action spaces)
        spec.n_features  # noqa: B018  (refuses observation spaces)
    except (ValueError, TypeError, AssertionError, NotImplementedError) as error:
        raise ModelFileError(f"description: no network can be so: {reason(error)}") from error
    return spec
