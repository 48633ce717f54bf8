"""A user's own ``torch.nn.Module`` as actor and critic behind stable-baselines3's policy face."""

from typing import Any

import torch
from stable_baselines3.common import policies as sb3
from stable_baselines3.common.distributions import Distribution, make_proba_distribution
from stable_baselines3.common.preprocessing import preprocess_obs

from sb3_ext.backends.autograd import Outputs, action_params
from sb3_ext.backends.own_network import (
    as_read,
    build,
    check_answer,
    check_parameters,
    example,
    seed_of,
)
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.backends.torch_backend.policies import from_start, from_zero
from sb3_ext.functional.xp import namespace

__all__ = ["NetworkPolicy"]


class NetworkPolicy(sb3.BasePolicy):
    """A policy around a module that gives the distribution's parameters and values.

    Args:
        spec: With a ``network``.
        lr_schedule: Learning rate by remaining progress.
        optimizer_class: Any of torch's.
        optimizer_kwargs: Its further arguments; None: SB3's for PPO.

    Attributes:
        network: The user's module.
        log_std: Of a Gaussian whose std isn't the network's.
    """

    log_std: torch.nn.Parameter

    def __init__(
        self,
        spec: NetworkSpec,
        lr_schedule: Any = lambda _: 3e-4,
        optimizer_class: Any = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if optimizer_kwargs is None and optimizer_class is torch.optim.Adam:
            optimizer_kwargs = {"eps": 1e-5}
        super().__init__(
            spec.observation_space,
            spec.action_space,
            normalize_images=spec.normalize_images,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )
        self.spec = spec
        self.action_dist = make_proba_distribution(spec.action_space)
        if spec.log_std_shape is not None:
            self.log_std = torch.nn.Parameter(torch.full(spec.log_std_shape, spec.log_std_init))
        self.network = _made(spec)
        check_parameters(spec, dict(self.network.named_parameters()))
        self.optimizer = optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )

    def outputs(self, obs: Any) -> Outputs:
        """What the network says of observations as the env gave them."""
        space = self.observation_space
        x = preprocess_obs(from_zero(space, obs), space, self.normalize_images)
        actions, values = self.network(as_read(self.spec, x, raw_images=False))
        return Outputs(actions, None, values.reshape(-1), getattr(self, "log_std", None))

    def _distribution(self, outputs: Outputs) -> Distribution:
        params = action_params(namespace("torch"), self.spec, outputs)
        if not isinstance(params, tuple):
            params = (params,)
        return self.action_dist.proba_distribution(*params)

    def forward(
        self, obs: Any, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions ``[B, ...]``, values ``[B, 1]`` and log-probabilities ``[B]``."""
        outputs = self.outputs(obs)
        distribution = self._distribution(outputs)
        actions = distribution.get_actions(deterministic=deterministic)
        shaped = actions.reshape(-1, *self.action_space.shape)  # type: ignore[misc]
        return shaped, outputs.values[:, None], distribution.log_prob(actions)

    def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
        actions = self.get_distribution(observation).get_actions(deterministic=deterministic)
        return from_start(self.action_space, actions)

    def evaluate_actions(
        self, obs: Any, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Values ``[B, 1]``, log-probabilities and entropies ``[B]``."""
        outputs = self.outputs(obs)
        distribution = self._distribution(outputs)
        return outputs.values[:, None], distribution.log_prob(actions), distribution.entropy()

    def predict_values(self, obs: Any) -> torch.Tensor:
        """Values ``[B, 1]``."""
        return self.outputs(obs).values[:, None]

    def get_distribution(self, obs: Any) -> Distribution:
        """SB3's distribution object."""
        return self._distribution(self.outputs(obs))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "spec": self.spec,
            "lr_schedule": self._dummy_schedule,
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
        }


def _made(spec: NetworkSpec) -> torch.nn.Module:
    """The module, from the spec's seed; whoever draws from torch's generator notices nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(spec))
        network = build(spec, "torch")
        x = example(spec)
        x = (
            {key: torch.as_tensor(part) for key, part in x.items()}
            if isinstance(x, dict)
            else torch.as_tensor(x)
        )
        was_training = network.training
        network.eval()  # a batch norm shall not count the example
        with torch.no_grad():
            check_answer(spec, network(x))  # lazy layers get their shapes here
        return network.train(was_training)
