"""The most likely action of any of stable-baselines3's policies as an ONNX graph, traced by torch.

For algorithms and networks whose inside isn't known here.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from sb3_ext.portable.errors import ModelFileError, from_extra, reason
from sb3_ext.portable.normalizer import Normalizer
from sb3_ext.portable.onnx_graph import ACTION, OPSET, input_dtype, input_names, parts_of

__all__ = ["traced"]


class _Acting(torch.nn.Module):
    """What ``predict(deterministic=True)`` does around a policy, in torch."""

    def __init__(self, policy: Any, normalizer: Normalizer | None) -> None:
        super().__init__()
        self.policy = policy
        self.keys = list(parts_of(policy.observation_space))
        self.normalizer = normalizer

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        named = {key: self._normalized(key, x) for key, x in zip(self.keys, parts, strict=True)}
        is_dict = isinstance(self.policy.observation_space, spaces.Dict)
        action = self.policy._predict(named if is_dict else named[""], deterministic=True)
        space = self.policy.action_space
        action = action.reshape(-1, *space.shape)
        if not isinstance(space, spaces.Box):
            # SB3's Bernoulli rounds probabilities and leaves them floats.
            return action if space.dtype is None else action.to(_torch_dtype(space.dtype))
        low, high = (torch.as_tensor(x, dtype=torch.float32) for x in (space.low, space.high))
        if self.policy.squash_output:
            return low + 0.5 * (action + 1.0) * (high - low)
        return torch.maximum(torch.minimum(action, high), low)

    def _normalized(self, key: str, x: torch.Tensor) -> torch.Tensor:
        if self.normalizer is None or key not in self.normalizer.obs:
            return x
        moments, options = self.normalizer.obs[key], self.normalizer.options
        mean, std = (
            torch.as_tensor(a) for a in (moments.mean, np.sqrt(moments.var + options["epsilon"]))
        )
        limit = options["clip_obs"]
        return torch.clamp((x.double() - mean) / std, -limit, limit).float()


def traced(policy: Any, normalizer: Normalizer | None = None) -> Any:
    """An ``onnx.ModelProto``.

    Args:
        policy: Of stable-baselines3's kind, on the CPU.
        normalizer: What observations go through first.

    Raises:
        ModelFileError: the policy has a memory, or does what can't be traced.
        ImportError: ``onnx`` isn't installed.
    """
    onnx = from_extra("onnx", "an .onnx file")
    name = type(policy).__qualname__
    if hasattr(policy, "lstm_actor"):
        raise ModelFileError(f"{name} has a memory, which its action alone doesn't carry on")
    space = policy.observation_space
    names = list(input_names(space).values())
    example = tuple(
        torch.zeros((2, *(part.shape or ())), dtype=_torch_dtype(input_dtype(part)))
        + (int(np.min(part.start)) if hasattr(part, "start") else 0)
        for part in parts_of(space).values()
    )
    file: Any = io.BytesIO()  # torch's annotation knows no file objects
    policy.set_training_mode(False)
    try:
        with _quietly():
            torch.onnx.export(
                _Acting(policy, normalizer).eval(),
                example,
                file,
                input_names=names,
                output_names=[ACTION],
                dynamic_axes={key: {0: "batch"} for key in (*names, ACTION)},
                opset_version=OPSET,
                dynamo=False,  # the newer way stumbles over SB3's distributions
            )
    except Exception as error:  # whatever a policy of one's own does that torch can't trace
        raise ModelFileError(f"{name} can't be traced: {reason(error)}") from error
    return onnx.load_model_from_string(file.getvalue())


def _torch_dtype(dtype: np.dtype) -> torch.dtype:
    return torch.from_numpy(np.zeros(1, dtype)).dtype


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Torch calls its way deprecated, and warns of Python's ``if``s; what comes out is checked."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
