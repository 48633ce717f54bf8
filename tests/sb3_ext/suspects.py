"""PPOs with one fault each, and a world for any action space: what ``diff`` has to find out.

On the command line: ``zoo.py diff ppo_numpy tests.sb3_ext.suspects:WrongEps ...``.
"""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import stable_baselines3
from gymnasium import spaces

from sb3_ext import NumpyPPO
from sb3_ext.backends.numpy_backend import NumpyActorCritic
from sb3_ext.rollout_buffer import RolloutBuffer

ACTIONS = {
    "box": spaces.Box(-2, 2, (2,), np.float32),
    "discrete": spaces.Discrete(3),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(3),
}
BOX = spaces.Box(-1, 1, (3,), np.float32)
OBSERVATIONS = {
    "box": BOX,
    "image": spaces.Box(0, 255, (1, 36, 36), np.uint8),
    "dict": spaces.Dict(a=BOX, b=spaces.Discrete(3)),
}


class Random(gym.Env[Any, Any]):
    """Observations and rewards at random; episodes end and are cut off at random.

    Args:
        action: Which action space.
        observation: Which observation space.
    """

    def __init__(self, action: str = "box", observation: str = "box") -> None:
        self.action_space, self.observation_space = ACTIONS[action], OBSERVATIONS[observation]

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward, ends, is_cut_off = self.np_random.random(3)
        seen = self.observation_space.sample()
        return seen, float(reward), bool(ends < 0.05), bool(is_cut_off < 0.05), {}


gym.register("Random-v0", Random)


class Suspect(NumpyPPO):
    """Our PPO with another backend."""

    backend_class: ClassVar[type[NumpyActorCritic]] = NumpyActorCritic

    def _build(self, backend: str) -> None:
        super()._build(backend)
        old = self.actor_critic
        self.actor_critic = self.backend_class(old.spec, old.parameters())
        self.policy.use(self.actor_critic)


class _Eps(NumpyActorCritic):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.optimizer.eps = 1e-8  # type: ignore[union-attr]


class WrongEps(Suspect):
    backend_class = _Eps


class _Beta2(NumpyActorCritic):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.optimizer.betas = (0.9, 0.99)  # type: ignore[union-attr]


class WrongBeta2(Suspect):
    backend_class = _Beta2


class _ValueClip(NumpyActorCritic):
    def loss_and_grad(self, minibatch: Any, coefs: Any) -> Any:
        return super().loss_and_grad(minibatch, coefs._replace(clip_range_vf=None))


class WrongValueClip(Suspect):
    backend_class = _ValueClip


class _Entropy(NumpyActorCritic):
    def loss_and_grad(self, minibatch: Any, coefs: Any) -> Any:
        return super().loss_and_grad(minibatch, coefs._replace(ent_coef=1.1 * coefs.ent_coef))


class WrongEntropy(Suspect):
    backend_class = _Entropy


class _Scaled(NumpyActorCritic):
    """Multiplies the gradient of one parameter."""

    parameter, factor, after = "log_std", 2.0, 0

    def loss_and_grad(self, minibatch: Any, coefs: Any) -> Any:
        result = super().loss_and_grad(minibatch, coefs)
        if self.optimizer.step_count >= self.after:
            self.network.grads.views[self.parameter][...] *= self.factor
        return result


class WrongLogStd(Suspect):
    backend_class = _Scaled


class _Flipped(_Scaled):
    parameter, factor, after = "mlp_extractor.policy_net.2.weight", -1.0, 5


class FlippedAfterFiveSteps(Suspect):
    backend_class = _Flipped


class _ValueSign(_Scaled):
    parameter, factor = "value_net.weight", -1.0


class _Nan(_Scaled):
    parameter, factor = "action_net.weight", np.nan


class NotFinite(Suspect):
    backend_class = _Nan


class _Step(NumpyActorCritic):
    def apply_gradients(self, gradient: Any, learning_rate: Any, max_grad_norm: Any) -> float:
        rates = learning_rate._replace(policy=1.2 * learning_rate.policy)
        return super().apply_gradients(gradient, rates, max_grad_norm)


class WrongStep(Suspect):
    backend_class = _Step


class _Clip(NumpyActorCritic):
    def apply_gradients(self, gradient: Any, learning_rate: Any, max_grad_norm: Any) -> float:
        limits = max_grad_norm._replace(policy=2.0 * max_grad_norm.policy)
        return super().apply_gradients(gradient, learning_rate, limits)


class WrongNorm(Suspect):
    backend_class = _Clip


class _Shape(NumpyActorCritic):
    def loss_and_grad(self, minibatch: Any, coefs: Any) -> Any:
        predictions, gradient = super().loss_and_grad(minibatch, coefs)
        return predictions._replace(values=predictions.values[:, None]), gradient


class WrongShape(Suspect):
    backend_class = _Shape


class _LogProb(NumpyActorCritic):
    def loss_and_grad(self, minibatch: Any, coefs: Any) -> Any:
        predictions, gradient = super().loss_and_grad(minibatch, coefs)
        return predictions._replace(log_prob=predictions.log_prob + np.float32(1e-2)), gradient


class WrongLogProb(Suspect):
    backend_class = _LogProb


class _Noise(NumpyActorCritic):
    def actor(self, noise: Any) -> Any:
        return super().actor(1.1 * noise)


class WrongNoise(Suspect):
    backend_class = _Noise


class _Buffer(RolloutBuffer):
    """Takes an episode's end for no end."""

    def compute_returns_and_advantage(self, last_values: Any, dones: Any) -> None:
        self.episode_starts[:] = 0.0
        super().compute_returns_and_advantage(last_values, dones)


class WrongAdvantages(NumpyPPO):
    def _make_buffer(self) -> None:
        self.rollout_buffer_class = _Buffer
        super()._make_buffer()


class WrongRate(NumpyPPO):
    def _update_settings(self, progress: float) -> Any:
        return super()._update_settings(0.5 * progress)


class WrongLoss(stable_baselines3.PPO):
    """stable-baselines3's, with half of the value loss."""

    def train(self) -> None:
        whole = self.vf_coef
        self.vf_coef = 0.5 * whole
        super().train()
        self.vf_coef = whole


class NoPPO:
    pass
