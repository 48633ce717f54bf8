"""The NumPy backend: gradients against finite differences and against SB3, optimizers, noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import ACTIVATION_NAMES, CASES, COEFS, OURS, sb3_loss

from sb3_ext.backends.base import Rates, UpdateSettings
from sb3_ext.backends.numpy_backend import NumpyActorCritic
from sb3_ext.backends.parameters import FlatParameters, initialize, shapes
from sb3_ext.functional import noise
from sb3_ext.functional.distributions import GaussianParams
from sb3_ext.functional.losses import Coefficients, ppo_loss, ppo_rows
from sb3_ext.functional.xp import namespace
from sb3_ext.portable.npz import load_npz, save_npz
from sb3_ext.testing import minibatch, parameters_of

xp = namespace("numpy")
SPECS = {name: case.spec for name, case in CASES.items()} | OURS
SPECS |= {
    f"activation {name}": replace(CASES["gaussian"].spec, activation=name)
    for name in ACTIVATION_NAMES
}
SPECS |= {
    f"activation {name}, own towers": replace(CASES["towers of their own"].spec, activation=name)
    for name in ("relu", "silu")
}


def loss_of(backend, batch, coefs):
    rows = ppo_rows(xp, *backend.evaluate(batch.obs, batch.actions), *batch[2:], coefs)
    return ppo_loss(xp, rows, coefs)


def stop_gradient_into_the_variance(backend):
    """From now on gSDE's variance sees the latent features that it saw last."""
    head = backend.network.head
    latent_squared = head.latent_squared.copy()

    def forward(latent):
        variance = latent_squared @ head._scale() ** 2 + head.epsilon
        return GaussianParams(head.layer.forward(latent), 0.5 * np.log(variance))

    head.forward = forward


@pytest.mark.parametrize("coefs", COEFS)
@pytest.mark.parametrize("name", SPECS)
def test_gradient_against_finite_differences(name, coefs):
    spec, coefs = SPECS[name], COEFS[coefs]
    backend = NumpyActorCritic(spec, parameters_of(spec), dtype=np.float64)
    batch = minibatch(spec, backend=backend)
    _, gradient = backend.loss_and_grad(batch, coefs)
    gradient = gradient.copy()
    vector = backend.network.params.vector
    if spec.use_sde:
        stop_gradient_into_the_variance(backend)
    rng = np.random.default_rng(2)
    start = vector.copy()
    # A NatureCNN has a ReLU's kink around every corner: a smaller step may miss it.
    sizes = (1e-5, 1e-6, 2e-7) if spec.images else (1e-5,)
    views = backend.network.params.views_of(np.arange(len(vector)))
    # Every parameter array by a random direction, and some single numbers of each.
    for parameter, indices in views.items():
        for probe in range(4):
            direction = np.zeros_like(vector)
            if probe == 0:
                direction[indices.ravel()] = rng.standard_normal(indices.size)
                direction /= np.linalg.norm(direction)
            else:
                direction[rng.choice(indices.ravel())] = 1.0
            if name == "fixed std" and parameter == "log_std":
                assert gradient @ direction == 0.0
                continue
            differences = []
            for size in sizes:
                losses = []
                for step in (size, -size):
                    vector[:] = start + step * direction
                    losses.append(loss_of(backend, batch, coefs))
                differences.append((losses[0] - losses[1]) / (2 * size))
            vector[:] = start
            ours = gradient @ direction
            expected = min(differences, key=lambda difference: abs(difference - ours))
            assert ours == pytest.approx(expected, rel=1e-6, abs=1e-8), parameter


@pytest.mark.parametrize("coefs", COEFS)
@pytest.mark.parametrize("name", CASES)
def test_gradient_and_loss_terms_equal_stable_baselines3(name, coefs):
    case, coefs = CASES[name], COEFS[coefs]
    parameters = parameters_of(case.spec)
    backend = NumpyActorCritic(case.spec, parameters)
    batch = minibatch(case.spec, backend=backend)
    policy = case.sb3_policy(parameters)
    loss, terms = sb3_loss(policy, batch, coefs)
    loss.backward()
    predictions, gradient = backend.loss_and_grad(batch, coefs)
    rows = ppo_rows(xp, *predictions, *batch[2:], coefs)
    ours = (rows.policy.mean(), rows.value.mean(), -rows.entropy.mean())
    np.testing.assert_allclose(ours, terms, rtol=1e-5, atol=1e-6)
    outside = np.abs(rows.ratio - 1) > coefs.clip_range
    assert outside.any()
    assert not outside.all()
    theirs = dict(policy.named_parameters())
    assert list(theirs) == list(shapes(case.spec))  # SB3's optimizer numbers them in this order
    for parameter, part in backend.named_gradients(gradient).items():
        expected = theirs[parameter].grad
        expected = np.zeros_like(part) if expected is None else expected.numpy()
        np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-5, err_msg=parameter)


@pytest.mark.parametrize("kind", ["adam", "adam, eps", "sgd", "sgd, momentum"])
def test_optimizers_equal_torch(kind):
    kwargs = {"adam, eps": {"eps": 1e-5, "betas": (0.8, 0.99)}, "sgd, momentum": {"momentum": 0.9}}
    name, options = kind.split(",")[0], kwargs.get(kind, {})
    spec = replace(CASES["gaussian"].spec, optimizer=name, optimizer_kwargs=options)
    backend = NumpyActorCritic(spec, parameters_of(spec))
    tensor = torch.tensor(backend.network.params.vector.copy(), requires_grad=True)
    cls = torch.optim.Adam if name == "adam" else torch.optim.SGD
    optimizer = cls([tensor], lr=1e-2, **options)
    rng = np.random.default_rng(0)
    for scale in (0.001, 1.0, 0.1, 3.0, 0.0):
        gradient = (scale * rng.standard_normal(len(tensor))).astype(np.float32)
        tensor.grad = torch.tensor(gradient.copy())
        norm = torch.nn.utils.clip_grad_norm_([tensor], 0.5)
        optimizer.step()
        assert backend.apply_gradients(gradient, Rates(1e-2), Rates(0.5)) == pytest.approx(
            norm.item()
        )
        np.testing.assert_allclose(
            backend.network.params.vector, tensor.detach().numpy(), rtol=1e-5, atol=1e-6
        )
    # The state moves to another instance, which then goes on identically.
    twin = NumpyActorCritic(spec, backend.parameters())
    twin.load_optimizer_state(backend.optimizer_state())
    for each in (backend, twin):
        each.apply_gradients(np.full_like(gradient, 0.01), Rates(1e-2), Rates(0.5))
    np.testing.assert_allclose(
        twin.network.params.vector, backend.network.params.vector, rtol=1e-6, atol=1e-7
    )


def test_separate_rates_and_norms():
    spec = CASES["towers of their own"].spec
    backend = NumpyActorCritic(spec, parameters_of(spec))
    before = backend.parameters()
    _, gradient = backend.loss_and_grad(minibatch(spec, backend=backend), Coefficients(0.2))
    expected = {
        True: np.sqrt(
            sum((g**2).sum() for n, g in backend.named_gradients(gradient).items() if "value" in n)
        ),
        False: np.sqrt(
            sum(
                (g**2).sum()
                for n, g in backend.named_gradients(gradient).items()
                if "value" not in n
            )
        ),
    }
    backend.apply_gradients(gradient, Rates(0.0, 1e-2), Rates(1e-3, 1e-4))
    after, clipped = backend.parameters(), backend.named_gradients(gradient)
    for name in before:
        assert (before[name] == after[name]).all() == ("value" not in name)
    for is_value, limit in ((True, 1e-4), (False, 1e-3)):
        assert expected[is_value] > limit
        norm = np.sqrt(sum((g**2).sum() for n, g in clipped.items() if ("value" in n) == is_value))
        assert norm == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_accumulated_minibatches_are_one_batch(accumulate):
    spec = CASES["gaussian"].spec
    settings = UpdateSettings(
        Coefficients(0.2),
        Rates(1e-2),
        Rates(0.5),
        4,
        2,
        normalize_minibatch=False,
        accumulate=accumulate,
    )
    whole = replace(settings, batch_size=4 * accumulate, accumulate=1)
    results = []
    for each in (settings, whole):
        backend = NumpyActorCritic(spec, parameters_of(spec), np.float64)
        rollout = minibatch(spec, 18, backend=backend)  # the last step is incomplete
        stats = backend.update(rollout, each, lambda epoch: noise.permutation(0, 0, epoch, 18))
        assert len(stats.grad_norms) == 2 * -(-18 // (4 * accumulate))
        results.append(backend.network.params.vector)
    np.testing.assert_allclose(*results, rtol=1e-9, atol=1e-12)


def test_incomplete_steps_can_be_dropped():
    spec = CASES["gaussian"].spec
    backend = NumpyActorCritic(spec, parameters_of(spec))
    settings = UpdateSettings(
        Coefficients(0.2), Rates(1e-2), Rates(0.5), 4, 1, accumulate=2, drop_incomplete=True
    )
    rollout = minibatch(spec, 18, backend=backend)
    stats = backend.update(rollout, settings, lambda _: np.arange(18))
    assert len(stats.grad_norms) == 2


def test_kl_stops_before_the_step():
    spec = CASES["gaussian"].spec
    backend = NumpyActorCritic(spec, parameters_of(spec))
    rollout = minibatch(spec, 16, backend=backend)
    settings = UpdateSettings(Coefficients(0.2), Rates(1e-2), Rates(0.5), 8, 5, target_kl=1e-6)
    before = backend.parameters()
    stats = backend.update(rollout, settings, lambda _: np.arange(16))
    assert stats.n_epochs == 1
    assert stats.stopped_kl is not None
    assert stats.stopped_kl > 1.5e-6
    for name, value in backend.parameters().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("name", SPECS)
def test_acting_equals_the_distribution(name):
    """act, actor, values and evaluate agree with each other, in one chunk or many."""
    spec = SPECS[name]
    backend = NumpyActorCritic(spec, parameters_of(spec))
    n = 1100 if spec.extractor == "flatten" else 140  # two whole chunks and a bit
    batch = minibatch(spec, n)
    block = noise.draw(spec.distribution.noise_kind, 0, 1, 0, 2, n, spec.noise_shape)
    actions = backend.actor(block)(1, batch.obs).copy()
    np.testing.assert_array_equal(actions, backend.act(batch.obs, block[1]))
    assert (actions != backend.act(batch.obs, None)).any()
    predictions = backend.evaluate(batch.obs, actions)
    np.testing.assert_allclose(backend.values(batch.obs), predictions.values, rtol=1e-4, atol=1e-5)
    assert np.isfinite(predictions.log_prob).all()
    if not spec.use_sde:
        params = backend.distribution_params(batch.obs)
        packed = params[0] if len(params) == 1 else GaussianParams(*params)
        again = spec.distribution.evaluate(xp, packed, actions)
        np.testing.assert_allclose(again.log_prob, predictions.log_prob, rtol=1e-4, atol=1e-4)


def test_not_finite_gradient_names_the_parameter_and_changes_nothing():
    spec = CASES["gaussian"].spec
    backend = NumpyActorCritic(spec, parameters_of(spec))
    before = backend.parameters()
    _, gradient = backend.loss_and_grad(minibatch(spec, backend=backend), Coefficients(0.2))
    backend.network.grads.views["action_net.bias"][1] = np.inf
    with pytest.raises(FloatingPointError, match=r"action_net\.bias"):
        backend.apply_gradients(gradient, Rates(1e-2), Rates(0.5))
    for name, value in backend.parameters().items():
        np.testing.assert_array_equal(value, before[name])


def test_initial_parameters_have_sb3s_gains():
    spec = replace(CASES["gaussian"].spec, pi=(64, 64), vf=(64, 64))
    parameters = initialize(spec, np.random.default_rng(0))
    for name, gain in [
        ("mlp_extractor.policy_net.2.weight", np.sqrt(2)),
        ("action_net.weight", 0.01),
        ("value_net.weight", 1.0),
    ]:
        w = parameters[name]
        np.testing.assert_allclose(w @ w.T, gain**2 * np.eye(len(w)), atol=1e-5)
    assert all((v == 0).all() for n, v in parameters.items() if n.endswith("bias"))
    plain = initialize(replace(CASES["gaussian"].spec, ortho_init=False), np.random.default_rng(0))
    assert 0 < np.abs(plain["mlp_extractor.policy_net.0.bias"]).max() <= 1 / np.sqrt(3)


def test_flat_parameters_refuse_wrong_dictionaries(tmp_path):
    flat = FlatParameters({"a": (2, 3), "b": (2,)})
    good = {"a": np.ones((2, 3)), "b": np.zeros(2)}
    flat.load(good)
    assert flat.vector.sum() == 6
    with pytest.raises(KeyError, match="missing"):
        flat.load({"a": good["a"]})
    with pytest.raises(ValueError, match="shape"):
        flat.load(good | {"b": np.zeros(3)})
    save_npz(tmp_path / "p.npz", flat.copy())
    assert {k: v.tolist() for k, v in load_npz(tmp_path / "p.npz").items()} == {
        k: v.tolist() for k, v in flat.copy().items()
    }


def test_unknown_activation():
    with pytest.raises(ValueError, match="no activation 'gelu'"):
        NumpyActorCritic(replace(CASES["gaussian"].spec, activation="gelu"), {})
