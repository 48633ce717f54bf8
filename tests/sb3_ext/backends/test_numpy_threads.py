"""BLAS's threads: all there are in updates, one while few rows act."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from sb3_ext.backends.numpy_backend import NumpyActorCritic, threads
from sb3_ext.backends.parameters import initialize
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional import noise
from sb3_ext.zoo.hyperparams import Settings
from sb3_ext.zoo.preparation import set_threads


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before, of_torch = threads.n_threads(), torch.get_num_threads()
    threads.set_n_threads(2)
    if threads.n_threads() != 2:
        pytest.skip("this BLAS can't be told")
    monkeypatch.setattr(threads, "most", lambda: 2)
    yield
    threads.set_n_threads(before)
    torch.set_num_threads(of_torch)


@pytest.mark.parametrize(("n_rows", "width", "seen"), [(64, 256, 1), (64, 8, 2), (512, 256, 2)])
def test_few_rows_act_on_one(n_rows: int, width: int, seen: int) -> None:
    """But where BLAS takes one anyway nothing is asked, which would cost as much as acting."""
    spec = NetworkSpec(spaces.Box(-1, 1, (16,)), spaces.Discrete(4), pi=(width, width))
    network = NumpyActorCritic(spec, initialize(spec, noise.generator(0, noise.INITIAL)))
    counted = []
    forward: Any = network.network.forward_policy

    def counting(obs: Any) -> Any:
        counted.append(threads.n_threads())
        return forward(obs)

    network.network.forward_policy = counting  # type: ignore[method-assign]
    act = network.actor(np.zeros((1, n_rows, 4), np.float32))
    act(0, np.zeros((n_rows, 16), np.float32))
    assert counted == [seen]
    assert threads.n_threads() == 2


@pytest.mark.parametrize(
    ("requested", "batch_size", "net_arch", "chosen"),
    [
        (-1, 512, [256, 256], 2),
        (-1, 2048, {"pi": [64], "vf": [128, 128]}, 2),
        (-1, 256, [256, 256], 1),
        (-1, 4096, None, 1),
        (1, 4096, [512, 512], 1),
        (2, 64, None, 2),
    ],
)
def test_the_zoo_chooses_for_the_policy(
    requested: int, batch_size: int, net_arch: Any, chosen: int
) -> None:
    algorithm = {"policy": "MlpPolicy", "batch_size": batch_size}
    if net_arch is not None:
        algorithm["policy_kwargs"] = {"net_arch": net_arch}
    threads.set_n_threads(1)  # as by a run before it in the same process
    told = set_threads(requested, Settings({}, algorithm, 1000))
    assert threads.n_threads() == chosen
    assert torch.get_num_threads() == max(requested, 1)
    assert told.startswith(f"PyTorch threads: {max(requested, 1)}")
    assert ("NumPy's 2" in told) == (requested < 1 and chosen == 2)
