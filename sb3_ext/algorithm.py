"""What PPO is beside its algorithm: its network on a backend, chosen, built, seeded, and files."""

import copy
from collections import deque
from typing import Any, ClassVar, Self

import numpy as np
import torch
from stable_baselines3.common import policies as sb3_policies
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import get_device, get_system_info

from sb3_ext.backends import BACKENDS, create
from sb3_ext.backends.base import ActorCritic, Batch
from sb3_ext.backends.choice import for_run
from sb3_ext.backends.options import NeedsBackendError, NeedsTorchError
from sb3_ext.backends.sb3_format import sb3_policy_kwargs
from sb3_ext.policy import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
    make_policy,
    sb3_policy,
)
from sb3_ext.portable.model_file import ModelFile, is_model_file, load_model, save_model
from sb3_ext.rollout_buffer import RolloutBuffer, our_buffer
from sb3_ext.vec_env.jax_world import jax_world

__all__ = ["BackendAlgorithm"]


class BackendAlgorithm(BaseAlgorithm):
    """An on-policy algorithm of stable-baselines3's kind whose network is a backend's.

    Attributes:
        policy: What SB3 knows: it predicts, and has the parameters under SB3's names.
        actor_critic: The backend's network, with its gradient and optimizer.
        backend: As asked for; ``"auto"`` is settled by ``actor_critic.name``.
        extensions: See :class:`PPOExtensions`.
        rollout_buffer: Where rollouts are.
    """

    policy_aliases: ClassVar[dict[str, type[sb3_policies.BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    own_backend: ClassVar[str | None] = None
    policy: Any
    actor_critic: ActorCritic
    backend: str
    extensions: Any
    n_steps: int
    n_epochs: int
    batch_size: int
    gamma: float
    gae_lambda: float
    rollout_buffer_class: type | None
    rollout_buffer_kwargs: dict[str, Any]
    rollout_buffer: Any
    _asked_device: str
    _noise_seed: int
    _kept: deque[Batch]

    # Building

    def _make_buffer(self) -> None:
        sizes: Any = {
            "buffer_size": self.n_steps,
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "gamma": self.gamma,
            "gae_lambda": self.gae_lambda,
            "n_envs": self.n_envs,
        }
        cls = our_buffer(self.rollout_buffer_class)
        if cls is None and not hasattr(self.rollout_buffer_class, "compute_returns_and_advantage"):
            name = getattr(self.rollout_buffer_class, "__qualname__", self.rollout_buffer_class)
            raise ValueError(f"rollout_buffer_class={name} is no rollout buffer")
        self.rollout_buffer_class = cls or self.rollout_buffer_class
        # Another class is filled from ours at the end of each rollout.
        options = self.rollout_buffer_kwargs
        self._collected = RolloutBuffer(**sizes) if cls is None else cls(**sizes, **options)
        self.rollout_buffer: Any = self._collected
        if cls is None:
            theirs: Any = self.rollout_buffer_class
            self.rollout_buffer = theirs(**sizes, device=self.device, **options)

    def _make_policy(self) -> None:
        own, name = self.own_backend, self.backend
        if own is not None and name not in ("auto", own):
            raise ValueError(f"{type(self).__name__} is the {own} backend, not {name!r}")
        name = own or name
        if name not in ("auto", *BACKENDS):
            raise ValueError(f"unknown backend {name!r}: choose auto, {', '.join(BACKENDS)}")
        reason = ""
        if name == "auto":  # learn() may change its mind, when it knows how long the run is
            reason = self._build_what_suits()
        else:
            self._build(name)
        if self.verbose >= 1:
            print(f"Using the {self.actor_critic.name} backend{reason}")

    def _build_what_suits(self) -> str:
        """NumPy, or what it has to be or is faster; returns what is said of that."""
        if jax_world(self.env) is not None:
            self._build("jax")
            return ", for a JaxWorldVecEnv"
        try:
            self._build("numpy")
        except NeedsBackendError as error:
            backend, reason = error.backend, error.what
        else:
            spec = self.actor_critic.spec
            if not (spec.images and spec.is_canonical):
                return ""
            backend, reason = "torch", "images"
        self._build(backend)
        return f", for {reason}"

    def _reconsider(self, total_timesteps: int) -> None:
        """Under ``"auto"``: hand a long run's network to a backend that has to compile first."""
        if self.backend != "auto" or self.own_backend or self.actor_critic.name != "numpy":
            return
        if not self.actor_critic.spec.is_canonical:
            return
        name, reason = for_run(total_timesteps * self.n_epochs // self.batch_size)
        if name == "numpy":
            return
        old = self.actor_critic
        self.actor_critic = create(name, old.spec, old.parameters())
        self.actor_critic.load_optimizer_state(old.optimizer_state())
        self.policy.use(self.actor_critic)
        if self.verbose >= 1:
            print(f"Using the {name} backend: {reason}")

    def _build(self, backend: str) -> None:
        if backend != "torch":
            if self.rollout_buffer is not self._collected:
                name = type(self.rollout_buffer).__qualname__
                ours = "one derived from sb3_ext.rollout_buffer.RolloutBuffer, or "
                raise NeedsTorchError(f"rollout_buffer_class={name}", ours)
            if torch.device(self._asked_device.replace("auto", "cpu")).type != "cpu":
                raise NeedsTorchError(f"device={self._asked_device!r}", "device='cpu', or ")
        self.device = get_device(self._asked_device if backend == "torch" else "cpu")
        self.policy, self.actor_critic = make_policy(
            self.policy_class,
            self.observation_space,
            self.action_space,
            self.lr_schedule,
            backend=backend,
            extensions=self.extensions,
            noise_seed=self._noise_seed,
            device=self.device,
            use_sde=self.use_sde,
            **self.policy_kwargs,
        )

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed all generators, as SB3 does, and the noise streams."""
        super().set_random_seed(seed)
        if seed is not None:
            self._noise_seed = int(seed) % 2**63
            if isinstance(self.__dict__.get("policy"), ActorCriticPolicy):
                self.policy.set_noise_seed(self._noise_seed)
        elif self._noise_seed < 0:
            # SB3 without a seed obeys the global generator, which RL Zoo seeds.
            self._noise_seed = int(np.random.randint(2**31))  # noqa: NPY002

    # Files

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []

    def _excluded_save_params(self) -> list[str]:
        ours = ["_kept", "_collected", "_asked_device", "_present", "_ahead", "_program"]
        return [*super()._excluded_save_params(), *ours, "actor_critic"]

    def save(self, path: Any, exclude: Any = None, include: Any = None) -> None:
        """Save as SB3 does; ``stable_baselines3.PPO.load`` opens the file too.

        A path that ends in ``.safetensors`` or ``.npz`` gets numbers and a description, and no
        pickle, see docs/export.md. There ``include=["policy.optimizer"]`` adds the optimizer's
        moments, and ``exclude`` names arguments that shall be the default again.

        Raises:
            ModelFileError: such a file can't hold the model; a ValueError that says what of it.
        """
        if is_model_file(path):
            save_model(self, path, exclude or (), include or ())
            return
        twin = copy.copy(self)  # with the names that SB3 knows
        twin.policy_class = sb3_policy(self.policy_class)
        if self.rollout_buffer_class is RolloutBuffer:
            twin.rollout_buffer_class = None
        twin.policy_kwargs = sb3_policy_kwargs(self.policy_kwargs)
        twin.extensions = self.extensions.changed()
        BaseAlgorithm.save(twin, path, exclude, include)

    def snapshot(self) -> dict[str, Any]:
        """What files leave out of it and a training that goes on exactly needs."""
        drawn = None
        if isinstance(self.policy, ActorCriticPolicy):
            drawn = self.policy.noise_drawn
        return {"kept": list(self._kept), "noise_drawn": drawn}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from :meth:`snapshot`, after ``load``."""
        self._kept = deque(snapshot["kept"], maxlen=self.extensions.n_rollouts_kept)
        if snapshot["noise_drawn"] is not None:
            self.policy.noise_drawn = snapshot["noise_drawn"]

    @classmethod
    def load(
        cls,
        path: Any,
        env: Any = None,
        device: Any = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> Self:
        """As SB3's; nothing of a ``.safetensors`` or an ``.npz`` is executed.

        Raises:
            ModelFileError: the file is damaged or tampered with; a ValueError that says where.
        """
        if not is_model_file(path):
            return super().load(
                path, env, device, custom_objects, print_system_info, force_reset, **kwargs
            )
        if not force_reset:
            raise ValueError(f"{path} holds no episode to go on with: force_reset=True")
        if print_system_info:
            get_system_info()
        return load_model(cls, path, env, device, (custom_objects or {}), **kwargs)

    def set_parameters(
        self, load_path_or_dict: Any, exact_match: bool = True, device: Any = "auto"
    ) -> None:
        """As SB3's; of a ``.safetensors`` or an ``.npz`` it takes the canonical parameters."""
        path = load_path_or_dict
        if is_model_file(path):
            found, known = ModelFile.read(path).parameters, self.actor_critic.parameters()
            if not exact_match:
                found = {name: found.get(name, value) for name, value in known.items()}
            self.actor_critic.load_parameters(found)
            return
        super().set_parameters(load_path_or_dict, exact_match, device)
