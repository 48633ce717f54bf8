"""What a run can be recognized by: a hash of its parameters, and the versions it was made with."""

from __future__ import annotations

import contextlib
import hashlib
import platform
from importlib import metadata

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

import sb3_ext

PACKAGES = ("stable-baselines3", "sb3-contrib", "gymnasium", "numpy", "torch", "mujoco")


def parameters_hash(model: BaseAlgorithm) -> str:
    """A fingerprint of a model's parameters: equal runs have equal ones, bit for bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.policy.state_dict().items()):
        array = tensor.detach().cpu().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def is_finite(model: BaseAlgorithm) -> bool:
    """Whether a model's parameters are numbers: a diverged one cannot act."""
    tensors = model.policy.state_dict().values()
    return all(np.isfinite(tensor.detach().cpu().numpy()).all() for tensor in tensors)


def versions() -> dict[str, str]:
    """What the run was made with."""
    found = {
        "sb3-ext": sb3_ext.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
