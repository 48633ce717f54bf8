"""The peer of the speed benchmark is the same algorithm as ours, step for step."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.testing import assert_allclose

from sb3_ext.backends.base import Batch, Rates, UpdateSettings
from sb3_ext.backends.numpy_backend import NumpyActorCritic
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional.advantages import gae
from sb3_ext.functional.losses import Coefficients

jax = pytest.importorskip("jax")
pytest.importorskip("optax")

FOLDER = str(Path(__file__).parents[2] / "benchmarks")
GAMMA, LAMBDA, RATE, SIZE = 0.9, 0.95, 1e-3, 60


@pytest.fixture(scope="module")
def pure_jax() -> Any:
    sys.path.insert(0, FOLDER)
    try:
        from peers import pure_jax
    finally:
        sys.path.remove(FOLDER)
    return pure_jax


def canonical(network: Any) -> dict[str, np.ndarray]:
    named = {"log_std": network.log_std}
    for tower, head, layers in (
        ("policy_net", "action_net", network.actor),
        ("value_net", "value_net", network.critic),
    ):
        names = (f"mlp_extractor.{tower}.0", f"mlp_extractor.{tower}.2", head)
        for name, (weight, bias) in zip(names, layers, strict=True):
            named |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return {name: np.asarray(value) for name, value in named.items()}


def backend_of(peer: Any) -> NumpyActorCritic:
    spec = NetworkSpec(
        spaces.Box(-1, 1, (4,), np.float32),
        spaces.Box(-1, 1, (2,), np.float32),
        optimizer_kwargs={"eps": 1e-5},
    )
    return NumpyActorCritic(spec, canonical(peer.unravel(peer.run.parameters)))


@pytest.mark.slow  # it compiles for ten seconds
def test_the_peer_is_our_algorithm(pure_jax: Any) -> None:
    settings = pure_jax.settings_of(
        {"n_envs": 2, "n_steps": 450, "batch_size": SIZE, "n_epochs": 2, "ent_coef": 0.01}
        | {"gamma": GAMMA, "gae_lambda": LAMBDA, "learning_rate": f"lin_{RATE}"}
    )
    assert (settings.learning_rate, settings.is_linear) == (RATE, True)
    peer = pure_jax.PurePPO("SimpleAim-v0", settings, seed=3)
    # When the only update begins, progress is over: a linear rate is 0.
    before = np.asarray(peer.run.parameters)
    assert (np.asarray(peer.learn(900).run.parameters) == before).all()
    assert (np.asarray(peer.learn(1800).run.parameters) != before).any()

    ours = backend_of(peer)
    run, moved = jax.jit(peer.collect)(peer.run, jax.random.key(7))
    batch = jax.jit(peer.judge)(peer.unravel(run.parameters), moved)
    obs, actions = np.asarray(batch.obs).T, np.asarray(batch.actions).T
    found = ours.evaluate(obs, actions)
    assert_allclose(batch.log_prob, found.log_prob, atol=1e-4)

    # SimpleAim's episodes end by the time limit alone: each end is worth what lies beyond.
    done, ends = np.asarray(moved.done), np.asarray(moved.next_obs).reshape(-1, 4)
    assert done.sum(axis=0).tolist() == [3, 3]
    assert not np.asarray(moved.terminated).any()
    rewards = np.asarray(moved.rewards) + GAMMA * ours.values(ends).reshape(done.shape) * done
    values, last = found.values.reshape(done.shape), ours.values(np.asarray(run.obs))
    advantages = gae(rewards, values, done, last, GAMMA, LAMBDA).reshape(-1)
    assert_allclose(batch.advantages, advantages, atol=1e-4)
    assert_allclose(batch.returns, advantages + found.values, atol=1e-4)

    # From no moments, in the order that the peer draws.
    begun = run._replace(moments=peer.optimizer.init(run.parameters))
    key = jax.random.key(9)
    improved = jax.jit(peer.improve)(begun, batch, RATE, key)
    orders = [np.asarray(pure_jax.permutation(k, 900)) for k in jax.random.split(key, 2)]
    assert all((np.sort(order) == np.arange(900)).all() for order in orders)
    assert (orders[0] != orders[1]).any()
    log_prob, *rest = map(np.asarray, (batch.log_prob, batch.advantages, batch.returns))
    rows = Batch(obs, actions, log_prob, found.values, *rest)
    coefs = Coefficients(clip_range=0.2, ent_coef=0.01, vf_coef=0.5)
    settings = UpdateSettings(coefs, Rates(RATE), Rates(0.5), SIZE, n_epochs=2)
    before = ours.parameters()
    ours.update(rows, settings, lambda epoch: orders[epoch])
    theirs = canonical(peer.unravel(improved.parameters))
    for name, value in ours.parameters().items():
        assert np.abs(value - before[name]).max() > 1e-3
        assert_allclose(theirs[name], value, atol=1e-4, err_msg=name)
