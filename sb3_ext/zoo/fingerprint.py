"""What a run can be recognized by: a hash of its parameters, and the versions it was made with."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

import sb3_ext
from sb3_ext.backends.numpy_backend import threads

PACKAGES = ("stable-baselines3", "sb3-contrib", "gymnasium", "numpy", "torch", "mujoco")
# These count where they are in use.
FRAMEWORKS = ("jax", "jaxlib", "equinox", "optax", "mlx")


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
    for package in (*PACKAGES, *(name for name in FRAMEWORKS if name in sys.modules)):
        version = _version(package)
        if version:
            found[package] = version
    return found


@functools.cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def machine() -> dict[str, str]:
    """What else the last bits of a run depend on: the processor, and who computes how on it."""
    device = "none"
    if torch.cuda.is_initialized():
        device = torch.cuda.get_device_name()
    return {
        "cpu": cpu_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "blas": _blas(),
        "blas threads": str(threads.n_threads()),
        "torch threads": str(torch.get_num_threads()),
        "gpu": device,
    }


@functools.cache
def cpu_name() -> str:
    """The processor's model, such as ``AMD EPYC 7B13``."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@functools.cache
def _blas() -> str:
    found: Any = np.show_config(mode="dicts")
    blas = found["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"
