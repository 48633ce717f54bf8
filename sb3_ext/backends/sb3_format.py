"""What stable-baselines3's files hold: torch's classes for our names, torch's optimizer states.

Only the policy's face imports this module; the networks don't need torch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN

from sb3_ext.backends.base import ActorCritic

__all__ = ["OptimizerFace", "sb3_policy_kwargs"]

_TORCH = {
    "activation_fn": {
        "tanh": torch.nn.Tanh,
        "relu": torch.nn.ReLU,
        "leaky_relu": torch.nn.LeakyReLU,
        "elu": torch.nn.ELU,
        "sigmoid": torch.nn.Sigmoid,
        "silu": torch.nn.SiLU,
        "softplus": torch.nn.Softplus,
        "identity": torch.nn.Identity,
    },
    "optimizer_class": {"adam": torch.optim.Adam, "sgd": torch.optim.SGD},
    "features_extractor_class": {
        "flatten": FlattenExtractor,
        "nature_cnn": NatureCNN,
        "combined": CombinedExtractor,
    },
}


def sb3_policy_kwargs(policy_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """``policy_kwargs`` with the classes that SB3 expects in place of their names."""

    def translate(key: str, value: Any) -> Any:
        if key not in _TORCH or not isinstance(value, str):
            return value
        by_class_name = {cls.__name__.lower(): cls for cls in _TORCH[key].values()}
        return (_TORCH[key] | by_class_name)[value.lower()]

    return {key: translate(key, value) for key, value in policy_kwargs.items()}


class OptimizerFace:
    """The backend's optimizer as SB3 stores it: a torch optimizer's state dict.

    Attributes:
        param_groups: One group, as torch has it.
    """

    def __init__(self, backend: ActorCritic, learning_rate: float) -> None:
        spec = backend.spec
        self.backend, self.names = backend, list(backend.parameters())
        cls = _TORCH["optimizer_class"][spec.optimizer]
        options = dict(spec.optimizer_kwargs)
        template = cls([torch.nn.Parameter(torch.zeros(1))], lr=learning_rate, **options)
        self.param_groups = template.state_dict()["param_groups"]
        self.param_groups[0]["params"] = list(range(len(self.names)))

    def state_dict(self) -> dict[str, Any]:
        """Moments by the parameters' numbers, as CPU tensors."""
        state = self.backend.optimizer_state()
        moments = {key: named for key, named in state.items() if key != "step"}
        has_step = self.param_groups[0].get("betas") is not None  # SGD counts no steps
        by_number: dict[int, dict[str, torch.Tensor]] = {}
        for number, name in enumerate(self.names):
            entry = {key: torch.tensor(named[name]) for key, named in moments.items()}
            if entry and has_step:
                entry = {"step": torch.tensor(float(state["step"])), **entry}
            if entry:
                by_number[number] = entry
        return {"state": by_number, "param_groups": [dict(group) for group in self.param_groups]}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Set what :meth:`state_dict` or a torch optimizer of the same network gave.

        Raises:
            ValueError: the state belongs to another network or another optimizer.
        """
        group = state_dict["param_groups"][0]
        if len(state_dict["param_groups"]) != 1 or len(group["params"]) != len(self.names):
            raise ValueError("the optimizer state belongs to a network with other parameters")
        entries = state_dict["state"]
        state: dict[str, Any] = {"step": 0}
        for number, entry in entries.items():
            for key, value in entry.items():
                if key == "step":
                    state["step"] = int(value)
                elif value is not None:
                    state.setdefault(key, {})[self.names[int(number)]] = np.asarray(value)
        known = {"step", "exp_avg", "exp_avg_sq"} if "betas" in self.param_groups[0] else set()
        if unknown := state.keys() - (known or {"step", "momentum_buffer"}):
            raise ValueError(f"the optimizer state has {sorted(unknown)}, which no {self.kind} has")
        self.backend.load_optimizer_state(self._complete(state))
        self.param_groups[0].update(
            {key: value for key, value in group.items() if key in ("lr", "initial_lr")}
        )

    @property
    def kind(self) -> str:
        """``Adam`` or ``SGD``."""
        return "Adam" if "betas" in self.param_groups[0] else "SGD"

    def _complete(self, state: dict[str, Any]) -> dict[str, Any]:
        """Torch leaves out parameters that never had a gradient: their moments are 0."""
        zeros = {name: np.zeros_like(v) for name, v in self.backend.parameters().items()}
        return {key: v if key == "step" else zeros | v for key, v in state.items()}
