"""A replay finds every fault by name, and none where there is none."""

from dataclasses import replace

import numpy as np
import pytest
import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env

from sb3_ext import testing
from sb3_ext.backends import backend_class
from sb3_ext.functional import noise
from sb3_ext.parity.compare import Ledger, Place, allowed_differences
from sb3_ext.parity.contents import compare_settings, compare_states, settings_of
from sb3_ext.parity.replay import replay
from sb3_ext.parity.steps import BackendSide, replay_update
from sb3_ext.ppo import JaxPPO, MlxPPO, NumpyPPO, TorchPPO
from tests.sb3_ext import suspects

torch.set_num_threads(1)

SMALL = {
    "n_steps": 32,
    "batch_size": 32,
    "n_epochs": 3,
    "seed": 0,
    "device": "cpu",
    "ent_coef": 0.01,
    "clip_range_vf": 0.2,
    "learning_rate": 3e-3,
    "policy_kwargs": {"net_arch": [16, 16]},
}
WHERE_IT_BEGINS = Place(0, 0, 0)


def pair(a, b, action="box", observation="box", n_envs=4, **changes):
    env = make_vec_env(
        lambda: suspects.Random(action, observation), n_envs=n_envs, seed=SMALL["seed"]
    )
    policy = {"box": "MlpPolicy", "dict": "MultiInputPolicy", "image": "CnnPolicy"}[observation]
    return [cls(policy, env, **(SMALL | changes)) for cls in (a, b)]


def replayed(a, b, n_updates=1, free=False, tolerance=1e-4, total_timesteps=10_000, **options):
    models = pair(a, b, **options)
    return replay(
        *models,
        n_updates=n_updates,
        free=free,
        tolerance=tolerance,
        total_timesteps=total_timesteps,
    )


# Right implementations


@pytest.mark.parametrize("action", suspects.ACTIONS)
@pytest.mark.parametrize("a, b", [(stable_baselines3.PPO, NumpyPPO), (NumpyPPO, TorchPPO)])
def test_right_implementations_agree(a, b, action):
    report = replayed(a, b, action=action, n_updates=2)
    assert report.agree, report
    assert (report.n_updates, report.n_minibatches) == (2, 2 * 3 * 4)
    assert report.largest["gradient"].share < 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"use_sde": True, "sde_sample_freq": 4},
        {"batch_size": 24},
        {"target_kl": 0.003, "learning_rate": 1e-2},
        {"normalize_advantage": False, "clip_range_vf": None, "clip_range": 0.02},
        {"policy_kwargs": {"optimizer_class": torch.optim.SGD, "net_arch": [8]}},
        {
            "policy_kwargs": {
                "optimizer_class": torch.optim.SGD,
                "optimizer_kwargs": {"momentum": 0.9},
                "net_arch": [8],
            }
        },
    ],
    ids=["gsde", "truncated minibatch", "kl", "plain", "sgd", "momentum"],
)
@pytest.mark.filterwarnings("ignore:.*truncated")
def test_they_agree_with_all_settings(changes):
    for a, b in ((NumpyPPO, stable_baselines3.PPO), (stable_baselines3.PPO, NumpyPPO)):
        report = replayed(a, b, n_updates=2, **changes)
        assert report.agree, report
        assert 0 < report.n_minibatches <= 2 * 3 * 6


def test_extensions_agree():
    changes = {
        "extensions": {
            "value_learning_rate": 1e-3,
            "value_max_grad_norm": 0.1,
            "accumulate_minibatches": 2,
            "n_rollouts_kept": 2,
            "advantage_normalization": "rollout",
            "std": "state",
        }
    }
    report = replayed(NumpyPPO, TorchPPO, n_updates=2, **changes)
    assert report.agree, report
    assert report.n_minibatches == 3 * 2 + 3 * 4  # the second update has both rollouts


@pytest.mark.parametrize("observation", ["dict", "image"])
def test_other_observations_agree(observation):
    changes = {"policy_kwargs": {"net_arch": [8]}, "n_steps": 16, "n_epochs": 1, "n_envs": 2}
    report = replayed(
        stable_baselines3.PPO,
        NumpyPPO,
        action="discrete",
        observation=observation,
        **changes,
    )
    assert report.agree, report


@pytest.mark.slow
@pytest.mark.parametrize("cls", [JaxPPO, MlxPPO])
def test_compiled_backends_agree(cls):
    pytest.importorskip({JaxPPO: "jax", MlxPPO: "mlx.core"}[cls])
    report = replayed(NumpyPPO, cls)
    assert report.agree, report


def test_a_twin_agrees_to_the_bit():
    report = replayed(NumpyPPO, NumpyPPO)
    assert report.identical
    assert "to the bit" in str(report)


# The replay is the training


def test_the_reference_learns_as_learn_does():
    a, b = pair(NumpyPPO, NumpyPPO)
    (c,) = pair(NumpyPPO, NumpyPPO)[:1]
    steps = 2 * a.n_steps * a.n_envs
    assert replay(a, b, n_updates=2, total_timesteps=steps).agree
    c.learn(steps)
    for name, value in c.actor_critic.parameters().items():
        np.testing.assert_allclose(a.actor_critic.parameters()[name], value, atol=1e-6)


def test_both_begin_where_the_reference_is_unless_free():
    """One step's difference, or the sum of a dozen."""
    rate = SMALL["learning_rate"]
    for free in (False, True):
        a, b = pair(NumpyPPO, suspects.WrongStep)
        before = a.actor_critic.parameters()["log_std"].copy()
        assert replay(a, b, n_updates=1, free=free, tolerance=1e9, total_timesteps=10_000).agree
        mine, theirs = (m.actor_critic.parameters()["log_std"] for m in (a, b))
        assert np.abs(mine - before).max() > 5 * rate
        apart = np.abs(mine - theirs).max()
        assert (apart > rate) == free, apart


# Wrong ones

FAULTS = {
    "WrongEps": ("parameter", "value_net.weight", ()),  # the bias's gradient is too large for it
    "WrongBeta2": ("exp_avg_sq", "value_net.bias", ()),
    "WrongEntropy": ("gradient", "log_std", ("ent_coef",)),
    "WrongLogStd": ("gradient", "log_std", ()),
    "NotFinite": ("gradient", "action_net.weight", ()),
    "WrongStep": ("parameter", "value_net.bias", ()),
    "WrongNorm": ("clipped_norm", "", ()),
    "WrongShape": ("values", "", ()),
    "WrongLogProb": ("log_prob", "", ()),
    "WrongLoss": ("loss", "", ("vf_coef",)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name):
    term, parameter, without = FAULTS[name]
    found = replayed(NumpyPPO, getattr(suspects, name)).difference
    assert found is not None
    assert (found.term, found.parameter, found.where) == (term, parameter, WHERE_IT_BEGINS)
    assert found.agree_without == without
    assert found.share > 1.0
    if name in ("WrongEntropy", "WrongLogStd", "NotFinite"):
        assert found.n_others == 0


@pytest.mark.parametrize("name", ["WrongLogStd", "WrongNorm"])
def test_the_reference_may_be_the_wrong_one(name):
    found = replayed(getattr(suspects, name), stable_baselines3.PPO).difference
    assert found is not None
    assert (found.term, found.parameter) == FAULTS[name][:2]


def test_the_numbers_are_those_of_both_sides():
    found = replayed(NumpyPPO, suspects.WrongLogStd).difference
    assert found.b == pytest.approx(2 * found.a)
    assert found.size == pytest.approx(abs(found.a))
    assert found.allowed < 1e-4 * found.size + 1e-5
    (index,) = found.index
    assert f"gradient of log_std[{index}] is {found.a:.9g} and {found.b:.9g}" in str(found)


def test_a_fault_that_begins_later():
    found = replayed(NumpyPPO, suspects.FlippedAfterFiveSteps).difference
    assert found.where == Place(0, 1, 1)  # the sixth of four minibatches an epoch
    assert (found.term, found.n_others) == ("gradient", 0)
    assert found.parameter == "mlp_extractor.policy_net.2.weight"
    assert found.b == pytest.approx(-found.a)
    assert "update 1, epoch 2, minibatch 2" in str(found.where)


def test_a_wrong_value_clip_shows_when_the_first_value_is_clipped():
    changes = {"clip_range_vf": 0.05, "n_epochs": 5, "learning_rate": 1e-2}
    found = replayed(NumpyPPO, suspects.WrongValueClip, **changes).difference
    assert found.where == first_clipped_minibatch(**changes)
    assert found.where != WHERE_IT_BEGINS
    assert (found.term, found.parameter) == ("gradient", "value_net.bias")
    assert found.agree_without == ("clip_range_vf",)


def first_clipped_minibatch(**changes):
    """By a training of its own: where a value first leaves its range."""
    ppo, _ = pair(NumpyPPO, NumpyPPO, **changes)
    where = []

    class Looking(type(ppo.actor_critic)):
        def loss_and_grad(self, minibatch, coefs):
            predictions, gradient = super().loss_and_grad(minibatch, coefs)
            moved = np.abs(predictions.values - minibatch.old_values).max()
            where.append(moved > coefs.clip_range_vf)
            return predictions, gradient

    looking = Looking(ppo.actor_critic.spec, ppo.actor_critic.parameters())
    ppo.actor_critic = looking
    ppo.policy.use(looking)
    ppo.learn(ppo.n_steps * ppo.n_envs)
    return Place(0, *divmod(where.index(True), 4))


def test_what_goes_wrong_before_learning():
    rollout = Place(0)
    for name, term in (("WrongNoise", "sampled actions"), ("WrongAdvantages", "advantages")):
        found = replayed(NumpyPPO, getattr(suspects, name)).difference
        assert (found.term, found.where) == (term, rollout)
    found = replayed(NumpyPPO, suspects.WrongRate, learning_rate=lambda left: 1e-3 * left)
    mine, theirs = found.difference.a, found.difference.b
    assert (found.difference.term, theirs) == ("learning_rate", pytest.approx(mine / 2))


def test_a_fault_in_the_last_update_only():
    class Late(suspects.Suspect):
        class backend_class(suspects._Flipped):  # noqa: N801
            after = 2 * 12 + 7

    found = replayed(NumpyPPO, Late, n_updates=3).difference
    assert found.where == Place(2, 1, 3)


def test_a_fault_is_found_in_a_free_run_too():
    found = replayed(NumpyPPO, suspects.FlippedAfterFiveSteps, free=True).difference
    assert found.where == Place(0, 1, 1)
    assert (found.term, found.parameter) == ("gradient", suspects._Flipped.parameter)


def test_both_not_finite():
    with pytest.raises(FloatingPointError, match="not finite"):
        replayed(suspects.NotFinite, suspects.NotFinite)


def test_other_networks_are_refused():
    a, _ = pair(NumpyPPO, NumpyPPO)
    b, _ = pair(NumpyPPO, NumpyPPO, policy_kwargs={"net_arch": [8, 16]})
    with pytest.raises(ValueError, match="shape"):
        replay(a, b)
    with pytest.raises(TypeError, match="A2C is neither"):
        replay(a, stable_baselines3.A2C("MlpPolicy", a.env))


# Pieces


def test_rows_on_the_edge_of_the_clip_range_are_moved():
    """Else one of two right sides would clip a row that the other doesn't."""
    spec = testing.SPECS["gaussian"]
    start = testing.parameters_of(spec)
    sides = [BackendSide(backend_class(name)(spec, start)) for name in ("numpy", "torch")]
    rows = testing.minibatch(spec, 32)
    found = sides[0].evaluate(rows.obs, rows.actions)
    edge = (found.log_prob - np.log(1.2)).astype(np.float32)
    rows = rows._replace(old_log_prob=edge, old_values=found.values + np.float32(0.3))
    settings = replace(testing._SETTINGS, coefs=testing.COEFFICIENTS[1])
    order = lambda epoch: noise.permutation(0, 0, epoch, 32)  # noqa: E731
    assert replay_update(*sides, rows, settings, order, Ledger(1e-4)) is None


def test_a_critic_that_is_right_leaves_only_rounding():
    """Its gradient says more of the values' last digits than of their errors."""
    spec = testing.SPECS["gaussian"]
    start = testing.parameters_of(spec)
    start["value_net.bias"][:] = 8.0
    sides = [BackendSide(backend_class(name)(spec, start)) for name in ("numpy", "torch")]
    wrong = BackendSide(suspects._ValueSign(spec, start))
    rows = testing.minibatch(spec, 32, backend=sides[0].backend)
    values = sides[0].evaluate(rows.obs, rows.actions).values
    errors = np.random.default_rng(0).standard_normal(32)
    rows = rows._replace(returns=(values + 1e-4 * (errors - errors.mean())).astype(np.float32))
    settings = replace(testing._SETTINGS, batch_size=32, n_epochs=1)
    order = lambda epoch: noise.permutation(0, 0, epoch, 32)  # noqa: E731
    ledger, before = Ledger(1e-4), sides[0].state()
    assert replay_update(*sides, rows, settings, order, ledger) is None
    beyond = ledger.largest["gradient"]
    plain = allowed_differences("gradient", {"value_net.bias": np.array(beyond.a)}, 1e-4)
    assert beyond.allowed > 2 * plain["value_net.bias"], beyond  # the rule alone wouldn't do
    sides[0].load(before)
    found = replay_update(sides[0], wrong, rows, settings, order, Ledger(1e-4))
    assert (found.term, found.parameter) == ("gradient", "value_net.weight")


def test_the_conformance_kit_says_where():
    with pytest.raises(AssertionError, match=r"update 1, epoch 2, minibatch 2: gradient of mlp"):
        testing.check_updates(suspects._Flipped, testing.SPECS["gaussian"])


def test_a_ledger_finds_not_a_number():
    a = {"": np.array([1.0, np.nan, np.inf])}
    assert Ledger(1e-4).check("values", a, {"": a[""].copy()}) is None
    for k, value in ((0, np.nan), (1, 0.0), (2, -np.inf)):
        b = {"": a[""].copy()}
        b[""][k] = value
        found = Ledger(1e-4).check("values", a, b)
        assert found is not None
        assert found.index == (k,)


def test_a_ledger_allows_what_it_says():
    a = {"": np.array([1.0, -3.0])}
    for apart, differs in ((2.9e-4, False), (3.1e-4, True)):
        found = Ledger(1e-4).check("values", a, {"": a[""] + [0.0, apart]})
        assert (found is not None) == differs


def test_settings_in_words():
    common = {"batch_size": 64, "policy_kwargs": {"net_arch": [8], "optimizer_class": "adam"}}
    a = settings_of(common | {"learning_rate": lambda left: left * 1e-3, "seed": 1, "foo": 3})
    b = settings_of(
        common | {"learning_rate": 1e-3, "seed": 1, "policy_kwargs": {"net_arch": [16]}}
    )
    assert compare_settings(a, b) == {
        "learning_rate": ("0.001 -> 0.0005 -> 0", "0.001"),
        "policy_kwargs: net_arch": ("[8]", "[16]"),
        "policy_kwargs: optimizer_class": ("adam", "default"),
    }


def test_states_are_compared():
    a, b = (BackendSide(m.actor_critic) for m in pair(NumpyPPO, NumpyPPO))
    assert compare_states(a.state(), b.state(), 1e-4).identical
    state = b.state()
    state.parameters["log_std"][1] += 0.25
    found = compare_states(a.state(), state, 1e-4)
    assert (found.parameter.parameter, found.parameter.index) == ("log_std", (1,))
    assert found.parameter.size == pytest.approx(0.25)
    assert not found.moments
    del state.parameters["log_std"]
    assert compare_states(a.state(), state, 1e-4).shapes == ["log_std is [2] and missing"]
