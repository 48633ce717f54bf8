"""``zoo.py diff``: the verdict, the exit code, and what is refused."""

import tempfile
import zipfile
from pathlib import Path

import pytest
import stable_baselines3
from stable_baselines3.common.env_util import make_vec_env

from sb3_ext import NumpyPPO

SUSPECTS = "tests.sb3_ext.suspects"
SMALL = ("-params", "n_steps:32", "n_epochs:2", "batch_size:64")
RANDOM = ("--gym-packages", SUSPECTS, "--env", "Random-v0", "--updates", 1, *SMALL, "n_envs:4")


def lines(result):
    assert "Traceback" not in result.err
    return result.out.splitlines()


# Two algorithms


@pytest.mark.parametrize(
    "a, b, env, changes",
    [
        ("ppo", "ppo_numpy", "SimpleAim-v0", SMALL),
        ("ppo_numpy", "ppo", "TargetReach-v0", ("-params", "n_epochs:3")),
        ("ppo", "ppo_torch", "CartPole-v1", ()),
        ("ppo_torch", "ppo_numpy", "Pendulum-v1", SMALL),
    ],
)
def test_they_agree(zoo, a, b, env, changes):
    result = zoo("diff", a, b, "--env", env, "--updates", 1, *changes)
    assert result.code == 0, result.out
    assert lines(result)[0].startswith(f"{a} and {b} agree ")


@pytest.mark.slow
@pytest.mark.parametrize("b", ["ppo_jax", "ppo_mlx"])
def test_compiled_backends_agree(zoo, b):
    pytest.importorskip({"ppo_jax": "jax", "ppo_mlx": "mlx.core"}[b])
    result = zoo("diff", "ppo_numpy", b, "--env", "SimpleAim-v0", "--updates", 1, *SMALL)
    assert result.code == 0, result.out


@pytest.mark.parametrize("action", ["box", "discrete", "multidiscrete", "multibinary"])
def test_they_agree_on_every_action_space(zoo, action):
    result = zoo("diff", "ppo_numpy", "ppo", *RANDOM, "--env-kwargs", f"action:{action}")
    assert result.code == 0, result.out
    n = 2 * 32 * 4 // 64
    verdict = f"ppo_numpy and ppo agree within 0.0001: 1 update, {n} minibatches"
    assert lines(result)[0] == verdict


def test_the_entry_of_the_world_is_used(zoo):
    """Its normalizer, its preset and the notice where nothing is tuned."""
    result = zoo(
        "diff", "ppo", "ppo_numpy", *RANDOM, "normalize:True", "--env-kwargs", "action:box"
    )
    assert result.code == 0, result.out
    assert "nothing is tuned for this world" in result.out
    preset = ("--preset", "original", "-params", "n_steps:64", "n_epochs:1")
    result = zoo("diff", "ppo_numpy", "ppo_torch", "--env", "SimpleAim-v0", *preset)
    assert result.code == 0, result.out
    assert "entry 'SimpleAim-v0@original'" in result.out


def test_the_verdict_stands_first_and_the_table_after(zoo):
    result = zoo("diff", "ppo_numpy", f"{SUSPECTS}:WrongLogStd", *RANDOM)
    assert result.code == 1
    verdict, *rest = lines(result)
    assert verdict.startswith(
        f"ppo_numpy and {SUSPECTS}:WrongLogStd differ in update 1, epoch 1, minibatch 1: "
        "gradient of log_std["
    )
    table = {line.split()[0]: line for line in rest if line}
    assert table["gradient"].endswith("<- differs")
    assert not table["log_prob"].endswith("<- differs")
    assert "parameter" not in table  # it ended before
    quiet = zoo("diff", "ppo_numpy", f"{SUSPECTS}:WrongLogStd", *RANDOM, "--verbose", 0)
    assert lines(quiet) == [verdict]


def test_one_line_from_each_kind_of_fault(zoo):
    for name, says in (
        ("WrongEntropy", "gradient of log_std"),
        ("WrongNorm", "clipped_norm is 0."),
        ("WrongNoise", "sampled actions["),
        ("WrongLoss", "loss is "),
    ):
        changes = ("ent_coef:0.01", "max_grad_norm:0.1")
        result = zoo("diff", "ppo_numpy", f"{SUSPECTS}:{name}", *RANDOM, *changes)
        assert result.code == 1
        assert says in lines(result)[0], result.out
    result = zoo("diff", "ppo_numpy", f"{SUSPECTS}:WrongEntropy", *RANDOM, "ent_coef:0.01")
    assert lines(result)[0].endswith("both agree without ent_coef")


def test_tolerance_and_free(zoo):
    wrong = ("diff", "ppo_numpy", f"{SUSPECTS}:WrongLogProb", *RANDOM)  # by 0.01
    assert zoo(*wrong).code == 1
    assert zoo(*wrong, "--tolerance", 0.1).code == 0
    result = zoo("diff", "ppo_numpy", f"{SUSPECTS}:WrongLogStd", *RANDOM, "--free")
    assert result.code == 1
    assert "log_std" in lines(result)[0]


def test_the_seed_decides(zoo):
    outputs = [
        zoo("diff", "ppo_numpy", f"{SUSPECTS}:WrongLogStd", *RANDOM, "--seed", seed).out
        for seed in (0, 0, 1)
    ]
    assert outputs[0] == outputs[1] != outputs[2]


def test_nothing_is_written(zoo, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    zoo("diff", "ppo", "ppo_numpy", *RANDOM)
    assert list(tmp_path.rglob("*")) == [scratch]


# Two files


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Saved models of CartPole-v1 by name."""
    folder = tmp_path_factory.mktemp("models")
    options = {"n_steps": 64, "batch_size": 32, "n_epochs": 2, "device": "cpu"}
    options["policy_kwargs"] = {"net_arch": [8]}

    def save(name, cls, learn=256, env="CartPole-v1", policy="MlpPolicy", **changes):
        model = cls(policy, make_vec_env(env, 2, seed=0), **(options | {"seed": 0} | changes))
        model.learn(learn)
        model.save(folder / f"{name}.zip")
        return model

    model = save("ours", NumpyPPO)
    save("theirs", stable_baselines3.PPO)
    save("other seed", NumpyPPO, seed=1)
    save("wide", NumpyPPO, policy_kwargs={"net_arch": [16]})
    save("pendulum", NumpyPPO, env="Pendulum-v1")
    stable_baselines3.A2C("MlpPolicy", "CartPole-v1").save(folder / "a2c.zip")
    parameters = model.get_parameters()
    parameters["policy"]["action_net.weight"][1, 3] += 0.5
    model.set_parameters(parameters)
    model.learning_rate, model.gamma = 1e-3, 0.9
    model.save(folder / "changed.zip")
    return {path.stem: path for path in folder.glob("*.zip")}


def test_a_model_and_itself(zoo, models):
    result = zoo("diff", models["ours"], models["ours"], "--env", "CartPole-v1", "--updates", 1)
    assert result.code == 0, result.out
    assert "are identical; from A's state both go on alike" in lines(result)[0]
    assert "agree to the bit" in result.out


def test_what_differs_is_named(zoo, models):
    result = zoo("diff", models["ours"], models["changed"], "--env", "CartPole-v1")
    assert result.code == 1
    verdict = lines(result)[0]
    assert "differ in 2 settings (learning_rate, gamma) and 1 of " in verdict
    assert verdict.endswith("; from A's state both go on alike")
    assert "learning_rate: 0.0003 and 0.001" in result.out
    assert "gamma: 0.99 and 0.9" in result.out
    assert "parameter action_net.weight[1, 3] is " in result.out
    assert "5.0e-01 apart" in result.out
    assert "optimizer   the same" in result.out
    assert "KL(A || B) is about" in result.out


def test_without_a_world_only_the_files_are_compared(zoo, models):
    result = zoo("diff", models["ours"], models["other seed"])
    assert result.code == 1
    assert "differ in 1 setting (seed), " in lines(result)[0]
    assert "the optimizer's state" in lines(result)[0]
    assert "nothing was replayed: --env ID" in result.out
    assert zoo("diff", models["ours"], models["ours"]).code == 0


def test_other_networks(zoo, models):
    result = zoo("diff", models["ours"], models["wide"], "--env", "CartPole-v1")
    assert result.code == 1
    assert "parameters of another shape (mlp_extractor.policy_net.0.weight, " in lines(result)[0]
    assert "mlp_extractor.policy_net.0.weight is [8, 4] and [16, 4]" in result.out
    assert "nothing was replayed: the networks are not the same" in result.out


def test_models_of_both_kinds_go_on_alike(zoo, models):
    for a, b in (("ours", "theirs"), ("theirs", "ours")):
        result = zoo("diff", models[a], models[b], "--env", "CartPole-v1", "--updates", 1)
        assert result.code == 1  # their parameters differ
        assert lines(result)[0].endswith("; from A's state both go on alike"), result.out


def test_one_model_in_two_algorithms(zoo, models):
    for other, code in (("ppo", 0), ("ppo_torch", 0), (f"{SUSPECTS}:WrongNorm", 1)):
        sides = (models["ours"], f"{other}:{models['ours']}")
        result = zoo("diff", *sides, "--env", "CartPole-v1", "--updates", 1)
        assert result.code == code, result.out
        assert "are identical; from A's state" in lines(result)[0]
        if code:
            assert lines(result)[0].endswith("minibatch 1: clipped_norm")


def test_runs_know_their_world_and_normalizer(zoo):
    options = ("--env", "Pendulum-v1", "-n", 256, "--eval-freq", -1, "--final-eval-episodes", 0)
    options += ("-tb", "", *SMALL, "normalize:True", "n_envs:2")
    for seed in (1, 2):
        assert zoo("--algo", "ppo_numpy", "--seed", seed, *options).code == 0
    runs = [f"logs/ppo_numpy/Pendulum-v1_{k}" for k in (1, 2)]
    result = zoo("diff", *runs, "--updates", 1)
    assert result.code == 1
    assert "and the normalizer; from A's state both go on alike" in lines(result)[0]
    assert "normalizer  mean of observations" in result.out
    assert zoo("diff", runs[0], runs[0], "--updates", 1).code == 0
    (Path(runs[0]) / "Pendulum-v1" / "vecnormalize.pkl").unlink()
    result = zoo("diff", *runs)
    assert result.code == 2
    assert "was trained with a normalizer" in result.err


# Wrong input


def test_wrong_algorithms(zoo):
    for arguments, says in (
        (("ppo_nump", "ppo", "--env", "CartPole-v1"), "did you mean 'ppo_numpy'?"),
        (("sac", "ppo", "--env", "CartPole-v1"), "sac is no PPO"),
        (("ppo", "ppo_lstm", "--env", "CartPole-v1"), "ppo_lstm is no PPO"),
        (("ppo", f"{SUSPECTS}:NoPPO", "--env", "CartPole-v1"), "NoPPO is no PPO"),
        (("ppo", "nowhere:PPO", "--env", "CartPole-v1"), "cannot import 'nowhere.PPO'"),
        (("ppo", "ppo_numpy"), "two algorithms need a world: --env ID"),
        (("ppo", "ppo_numpy", "--env", "CartPole-v7"), "unknown environment 'CartPole-v7'"),
        (("ppo", "ppo_numpy", "--env", "CartPole-v1", "--updates", "0"), "argument --updates"),
        (("ppo", "ppo_numpy", "--env", "CartPole-v1", "--tolerance", "x"), "argument --tolerance"),
        (
            ("ppo", "ppo_numpy", "--env", "CartPole-v1", "--algo", "ppo"),
            "unknown argument '--algo'",
        ),
        (("ppo", "ppo_numpy", "--env", "CartPole-v1", "-params", "gama:1"), "did you mean 'gamma'"),
        (
            ("ppo_numpy", "ppo", "--env", "CartPole-v1", "-params", "extensions:dict(std='fixed')"),
            "'extensions' are arguments of our own PPO",
        ),
    ):
        result = zoo("diff", *arguments)
        assert result.code == 2
        assert says in result.err, result.err
        assert len(result.err.splitlines()) == 1
        assert not result.out


def test_wrong_files(zoo, models, tmp_path):
    damaged, empty = tmp_path / "damaged.zip", tmp_path / "empty.zip"
    damaged.write_bytes(models["ours"].read_bytes()[:2000])
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("data", "{}")
    ours = models["ours"]
    for arguments, says in (
        (("nowhere.zip", ours), "there is no file 'nowhere.zip'"),
        ((damaged, ours), "damaged.zip: not a model"),
        ((empty, ours), "empty.zip: not a model"),
        ((models["a2c"], ours), "a2c.zip is no PPO's model"),
        ((ours, models["pendulum"]), "are of different worlds: the observation spaces are Box"),
        ((ours, ours, "--env", "Pendulum-v1"), "was not trained on Pendulum-v1"),
        ((ours, "ppo", "--env", "CartPole-v1"), "are an algorithm and a model"),
        ((ours, ours, "-params", "gamma:0.9"), "-params is for algorithms"),
        ((ours, f"sac:{ours}"), "sac is no PPO"),
        ((tmp_path, ours), "is no run"),
    ):
        result = zoo("diff", *arguments)
        assert result.code == 2
        assert says in result.err, result.err
        assert len(result.err.splitlines()) == 1
        assert not result.out
