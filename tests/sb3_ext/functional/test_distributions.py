"""Distributions: against SB3's, against finite differences in float64, and in every framework."""

import importlib.util

import numpy as np
import pytest
import torch
from stable_baselines3.common import distributions as sb3

from sb3_ext.functional import noise
from sb3_ext.functional.distributions import (
    Bernoulli,
    Categorical,
    DiagGaussian,
    GaussianParams,
    MultiCategorical,
    SquashedGaussian,
)
from sb3_ext.functional.xp import FUNCTIONS, namespace

np_xp = namespace("numpy")
B = 6
FRAMEWORKS = [
    name
    for name, module in [("torch", "torch"), ("jax", "jax"), ("mlx", "mlx.core")]
    if importlib.util.find_spec(module.split(".")[0])
]


def cases():
    rng = np.random.default_rng(0)
    mean, log_std = rng.standard_normal((B, 3)), rng.standard_normal(3) * 0.3
    row_log_std = rng.standard_normal((B, 3)) * 0.3
    actions = rng.standard_normal((B, 3))
    return {
        "categorical": (Categorical(4), (rng.standard_normal((B, 4)) * 2,), rng.integers(0, 4, B)),
        "multi": (
            MultiCategorical((2, 3)),
            (rng.standard_normal((B, 5)) * 2,),
            np.stack([rng.integers(0, 2, B), rng.integers(0, 3, B)], 1),
        ),
        "bernoulli": (Bernoulli(3), (rng.standard_normal((B, 3)) * 2,), rng.integers(0, 2, (B, 3))),
        "gaussian": (DiagGaussian(3), (mean, log_std), actions),
        "gaussian, std per row": (DiagGaussian(3), (mean, row_log_std), actions),
        "squashed": (SquashedGaussian(3), (mean, row_log_std), np.tanh(actions)),
    }


CASES = cases()


def pack(params):
    return params[0] if len(params) == 1 else GaussianParams(*params)


def as_sb3(name, params):
    tensors = [torch.as_tensor(p) for p in params]
    if name == "categorical":
        return sb3.CategoricalDistribution(4).proba_distribution(*tensors)
    if name == "multi":
        return sb3.MultiCategoricalDistribution([2, 3]).proba_distribution(*tensors)
    if name == "bernoulli":
        return sb3.BernoulliDistribution(3).proba_distribution(*tensors)
    if name == "squashed":
        return sb3.SquashedDiagGaussianDistribution(3).proba_distribution(*tensors)
    return sb3.DiagGaussianDistribution(3).proba_distribution(*tensors)


@pytest.mark.parametrize("name", CASES)
def test_equals_stable_baselines3(name):
    dist, params, actions = CASES[name]
    theirs = as_sb3(name, params)
    ours = dist.evaluate(np_xp, pack(params), actions)
    given = actions.astype(float) if name == "bernoulli" else actions
    expected = theirs.log_prob(torch.as_tensor(given))
    np.testing.assert_allclose(ours.log_prob, expected.numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(dist.mode(np_xp, pack(params)), theirs.mode().numpy())
    entropy = theirs.entropy()
    if entropy is None:
        assert ours.entropy is None
    else:
        np.testing.assert_allclose(np.broadcast_to(ours.entropy, B), entropy.numpy(), rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_gradient_against_finite_differences(name):
    dist, params, actions = CASES[name]
    rng = np.random.default_rng(1)
    d_log_prob = rng.standard_normal(B)
    evaluation = dist.evaluate(np_xp, pack(params), actions)
    d_entropy = None if evaluation.entropy is None else rng.standard_normal(B)

    def loss(*changed):
        result = dist.evaluate(np_xp, pack(changed), actions)
        total = result.log_prob @ d_log_prob
        return total if d_entropy is None else total + np.sum(result.entropy * d_entropy)

    gradient = dist.gradient(np_xp, evaluation, d_log_prob, d_entropy)
    gradients = gradient if isinstance(gradient, tuple) else (gradient,)
    for k, (param, d_param) in enumerate(zip(params, gradients, strict=True)):
        assert d_param.shape == param.shape
        for index in np.ndindex(param.shape):
            step = np.zeros_like(param)
            step[index] = 1e-6
            up = loss(*(p + step if j == k else p for j, p in enumerate(params)))
            down = loss(*(p - step if j == k else p for j, p in enumerate(params)))
            assert d_param[index] == pytest.approx((up - down) / 2e-6, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_frequencies_of_samples(name):
    dist, params, _ = CASES[name]
    n = 20_000
    one_row = [p[:1] if p.ndim == 2 else p for p in params]
    many = [np.repeat(p, n, 0) if p.ndim == 2 else p for p in one_row]
    block = noise.draw(dist.noise_kind, 0, 1, 0, n, 1, dist.noise_shape, np.float64)[:, 0]
    samples = dist.sample(np_xp, pack(many), block)
    torch.manual_seed(0)
    theirs = as_sb3(name, many if len(many) == 1 else np.broadcast_arrays(*many)).sample().numpy()
    tolerance = 0.05
    np.testing.assert_allclose(samples.mean(0), theirs.mean(0), atol=tolerance)
    np.testing.assert_allclose(samples.std(0), theirs.std(0), atol=tolerance)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", CASES)
def test_frameworks_agree_with_numpy(name, framework):
    dist, params, actions = CASES[name]
    xp = namespace(framework)
    array = {"torch": torch.as_tensor}.get(framework)
    if framework == "jax":
        array = importlib.import_module("jax.numpy").asarray
    elif framework == "mlx":
        array = importlib.import_module("mlx.core").array
    single = [np.asarray(p, np.float32) for p in params]
    a = actions.astype(np.int32 if actions.dtype.kind == "i" else np.float32)
    block = noise.draw(dist.noise_kind, 0, 1, 0, 1, B, dist.noise_shape)[0]
    ours = dist.evaluate(np_xp, pack(single), a)
    theirs = dist.evaluate(xp, pack([array(p) for p in single]), array(a))
    np.testing.assert_allclose(np.asarray(theirs.log_prob), ours.log_prob, rtol=1e-4, atol=1e-5)
    if ours.entropy is not None:
        np.testing.assert_allclose(np.asarray(theirs.entropy), ours.entropy, rtol=1e-4, atol=1e-5)
    sample = dist.sample(xp, pack([array(p) for p in single]), array(block))
    np.testing.assert_allclose(
        np.asarray(sample), dist.sample(np_xp, pack(single), block), rtol=1e-4, atol=1e-5
    )


def test_namespaces_are_closed_and_unknown_ones_refused():
    for framework in ["numpy", *FRAMEWORKS]:
        assert set(vars(namespace(framework))) == set(FUNCTIONS)
    with pytest.raises(ValueError, match="unknown array framework"):
        namespace("cupy")
