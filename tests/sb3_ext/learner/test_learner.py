"""rlgym-ppo's keywords on this PPO."""

import inspect
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback

from envs.musical_chairs import MusicalChairs
from sb3_ext import Learner
from sb3_ext.learner import MetricsLogger
from sb3_ext.learner.checkpoints import find_checkpoint, steps_in
from sb3_ext.learner.metrics import MeasuredMatch
from tests.sb3_ext.learner.toys import (
    FAR,
    LENGTH,
    N_COLORS,
    Continuous,
    Draws,
    Fails,
    Measures,
    Single,
    Version1,
    Version2,
)

SMALL = {
    "n_proc": 4,
    "n_workers": 2,
    "ts_per_iteration": 256,
    "exp_buffer_size": 512,
    "ppo_batch_size": 128,
    "ppo_minibatch_size": 64,
    "ppo_epochs": 4,
    "policy_layer_sizes": (32,),
    "critic_layer_sizes": (32,),
    "policy_lr": 5e-3,
    "critic_lr": 5e-3,
    "timestep_limit": 4096,
    "backend": "numpy",
    "verbose": 0,
}

THEIRS = """
    env_create_function metrics_logger=None n_proc=8 min_inference_size=80 render=False
    render_delay=0 timestep_limit=5000000000 exp_buffer_size=100000 ts_per_iteration=50000
    standardize_returns=True standardize_obs=True max_returns_per_stats_increment=150
    steps_per_obs_stats_increment=5 policy_layer_sizes=(256,256,256)
    critic_layer_sizes=(256,256,256) continuous_var_range=(0.1,1.0) ppo_epochs=10
    ppo_batch_size=50000 ppo_minibatch_size=None ppo_ent_coef=0.005 ppo_clip_range=0.2
    gae_lambda=0.95 gae_gamma=0.99 policy_lr=0.0003 critic_lr=0.0003 log_to_wandb=False
    load_wandb=True wandb_run=None wandb_project_name=None wandb_group_name=None
    wandb_run_name=None checkpoints_save_folder=None add_unix_timestamp=True
    checkpoint_load_folder='latest' save_every_ts=1000000 instance_launch_delay=None
    random_seed=123 n_checkpoints_to_keep=5 shm_buffer_size=8192 device='auto'
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made(build, **kwargs):
    return Learner(build, **{**SMALL, **kwargs})


def test_its_keywords_are_rlgym_ppos_in_their_order_with_their_defaults():
    ours = [
        p.name if p.default is p.empty else f"{p.name}={p.default!r}".replace(" ", "")
        for p in inspect.signature(Learner).parameters.values()
        if p.kind is not p.KEYWORD_ONLY
    ]
    assert ours == THEIRS.split()


@pytest.mark.parametrize("build", [Version2, Version1, Single, Continuous])
def test_matches_of_every_form_are_learned(build):
    learner = made(build, timestep_limit=8192)
    learner.learn()
    assert learner.cumulative_timesteps == 8192
    assert learner._report.policy_reward > 0.85 * LENGTH  # a third of it by chance
    # Each feature by its own statistics, over all rows.
    statistics = learner.env.obs_rms
    np.testing.assert_allclose(statistics.mean[:-1], 1 / N_COLORS, atol=0.05)
    assert statistics.mean[-1] == pytest.approx(FAR[0], abs=0.3)
    assert statistics.var[-1] ** 0.5 == pytest.approx(-FAR[1], rel=0.1)


def test_builders_may_be_lambdas_and_team_sizes_may_change():
    learner = made(lambda: Version2((1, 3, 2)), max_agents=3, timestep_limit=6000)
    assert learner.env.num_envs == 12
    learner.learn()
    # Only rows with somebody in them are steps: two thirds.
    assert learner.cumulative_timesteps % 264 != 0
    assert learner._report.latest["Timesteps Collected"] == pytest.approx(264 * 2 / 3, abs=60)
    assert learner._report.policy_reward > 0.8 * LENGTH


def test_what_the_keywords_come_to():
    learner = made(
        Continuous,
        continuous_var_range=(0.2, 0.7),
        ppo_ent_coef=0.03,
        critic_lr=1e-3,
        min_inference_size=3,
        standardize_obs=False,
    )
    try:
        model, ours = learner.model, learner.model.extensions
        assert (model.n_steps, model.batch_size, model.n_epochs) == (32, 64, 4)
        assert (ours.accumulate_minibatches, ours.n_rollouts_kept) == (2, 2)
        assert (ours.std, ours.std_range, ours.mean) == ("state", (0.2, 0.7), "tanh")
        assert (ours.value_learning_rate, ours.advantage_normalization) == (1e-3, "off")
        assert ours.drop_incomplete
        assert model.vf_coef == 1.0
        assert ours.min_inference_size == 3
        assert model.ent_coef == pytest.approx(0.03 / N_COLORS)  # the mean over the actions
        assert (learner.env.norm_obs, learner.env.norm_reward) == (False, True)
        assert (learner.env.clip_obs, learner.env.clip_reward) == (5.0, 10.0)
        sizes = {name: x.shape for name, x in model.actor_critic.parameters().items()}
        assert sizes["action_net.weight"] == (2 * N_COLORS, 32)
    finally:
        learner.cleanup()


@pytest.mark.parametrize(
    ("kwargs", "told"),
    [
        ({"ppo_minibatch_size": 50}, "must divide ppo_batch_size=128"),
        ({"ppo_batch_size": 1024, "ppo_minibatch_size": None}, "is never filled"),
        ({"n_proc": 0}, "n_proc must be a whole number of at least 1, not 0"),
        ({"ppo_epochs": 1.5}, "ppo_epochs must be a whole number of at least 1, not 1.5"),
        ({"ts_per_iteration": "many"}, "ts_per_iteration must be a whole number"),
        ({"random_seed": -1}, "random_seed must be a whole number of at least 0"),
        ({"policy_layer_sizes": 64}, "policy_layer_sizes must be a sequence of sizes, not 64"),
        ({"critic_layer_sizes": (64, 0)}, "each of critic_layer_sizes must be a whole number"),
        ({"continuous_var_range": (1.0, 0.1)}, "continuous_var_range must be the least and the"),
        ({"gae_gamma": 1.01}, "gae_gamma must be a number from 0 to 1, not 1.01"),
        ({"critic_lr": "fast"}, "critic_lr must be a number of at least 0, not 'fast'"),
        ({"policy_lr": float("nan")}, "policy_lr must be a number of at least 0, not nan"),
        ({"ppo_ent_coef": None}, "ppo_ent_coef must be a number, not None"),
    ],
)
def test_numbers_that_cannot_work_are_told(kwargs, told):
    with pytest.raises(ValueError, match=told):
        made(Version2, **kwargs)


def test_whole_numbers_may_be_floats():
    """``1e9`` is easier to read than ``1000000000``."""
    learner = made(Version2, timestep_limit=1e9, exp_buffer_size=5e2, ts_per_iteration=128.0)
    learner.cleanup()
    assert (learner.timestep_limit, learner.model.extensions.n_rollouts_kept) == (10**9, 3)


def test_what_is_no_environment_is_told():
    with pytest.raises(TypeError, match="is no environment: it needs reset"):
        made(object)


def test_checkpoints_are_kept_and_the_latest_is_gone_on_with():
    first = made(Version2, timestep_limit=2000, save_every_ts=500, n_checkpoints_to_keep=2)
    first.learn()
    folder = first.checkpoints_folder
    assert folder.parent == Path("data/checkpoints")
    assert folder.name.startswith("rlgym-ppo-run-")
    # A rollout is 256 steps, and the last step is saved though it's none of the 500th.
    assert steps_in(folder) == [1536, 2048]
    book = json.loads((folder / "2048" / "BOOK_KEEPING_VARS.json").read_text())
    assert book["cumulative_timesteps"] == 2048
    # 2 batches in the first update, 4 afterwards; 4 epochs each.
    assert book["cumulative_model_updates"] == 4 * (2 + 7 * 4)
    assert book["policy_average_reward"] == pytest.approx(first._report.policy_reward)

    second = made(Version2, timestep_limit=2304)
    assert second.cumulative_timesteps == 2048
    assert second.checkpoints_folder != folder
    for name, value in first.model.actor_critic.parameters().items():
        np.testing.assert_array_equal(second.model.actor_critic.parameters()[name], value)
    moments = (
        first.model.actor_critic.optimizer_state(),
        second.model.actor_critic.optimizer_state(),
    )
    assert str(moments[0].keys()) == str(moments[1].keys())
    np.testing.assert_array_equal(second.env.obs_rms.mean, first.env.obs_rms.mean)
    second.learn()
    assert steps_in(second.checkpoints_folder) == [2304]
    assert second._report.policy_reward > 0.5 * LENGTH

    third = made(Version2, checkpoint_load_folder=str(folder / "1536"))
    assert third.cumulative_timesteps == 1536
    third.cleanup()
    fresh = made(Version2, checkpoint_load_folder=None)
    assert fresh.cumulative_timesteps == 0
    fresh.cleanup()
    with pytest.raises(FileNotFoundError, match="is no checkpoint, and holds none"):
        made(Version2, checkpoint_load_folder="nowhere")


def test_latest_is_the_newest_run_that_has_a_checkpoint(tmp_path):
    for name in ("run/7", "run-100/5", "run-100/30", "run-99/80", "other-200/9"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.zip").touch()
    (tmp_path / "run-300").mkdir()  # nothing saved yet
    (tmp_path / "run-100/40").mkdir()  # killed while it was written
    assert find_checkpoint("latest", tmp_path / "run") == tmp_path / "run-100/30"
    assert find_checkpoint("latest", tmp_path / "new") is None
    later = time.time() + 10
    os.utime(tmp_path / "run/7/model.zip", (later, later))  # add_unix_timestamp=False by now
    assert find_checkpoint("latest", tmp_path / "run") == tmp_path / "run/7"


def test_checkpoints_of_an_older_training_do_not_cost_a_new_one_its_own():
    kwargs = {"add_unix_timestamp": False, "n_checkpoints_to_keep": 2}
    older = made(Version2, timestep_limit=512, save_every_ts=256, **kwargs)
    older.learn()
    kwargs |= {"checkpoint_load_folder": None, "random_seed": 9}
    newer = made(Version2, timestep_limit=128, ts_per_iteration=128, **kwargs)
    newer.learn()
    folder = newer.checkpoints_folder
    assert steps_in(folder) == [128, 256, 512]
    newest = made(Version2, timestep_limit=256, **kwargs)
    newest.learn()
    saved = made(Version2, checkpoint_load_folder=str(folder / "256"))
    saved.cleanup()
    for name, value in newest.model.actor_critic.parameters().items():
        np.testing.assert_array_equal(saved.model.actor_critic.parameters()[name], value)


def test_keywords_count_for_a_training_that_goes_on():
    first = made(Version2, timestep_limit=256, standardize_obs=False)
    first.learn()
    # Statistics of observations begin where they are asked for.
    second = made(Version2, timestep_limit=512, gae_gamma=0.9)
    assert (second.env.norm_obs, second.env.gamma) == (True, 0.9)
    assert second.env.ret_rms.count == first.env.ret_rms.count
    second.learn()
    assert second.env.obs_rms.mean[-1] == pytest.approx(FAR[0], abs=1.0)
    with pytest.raises(ValueError, match=r"has policy_layer_sizes=\[32\] .* not \[16\] and \[32\]"):
        made(Version2, policy_layer_sizes=(16,))


def test_a_run_that_goes_on_from_its_limit_learns_nothing_more_and_says_so(capsys):
    made(Version2, timestep_limit=256).learn()
    assert not capsys.readouterr().out
    again = made(Version2, timestep_limit=256, verbose=1)
    again.learn()
    assert again.cumulative_timesteps == 256
    goes_on, nothing_left = capsys.readouterr().out.splitlines()
    assert goes_on.startswith("goes on from data/checkpoints/rlgym-ppo-run-")
    assert nothing_left == "nothing left to do: 256 steps are the limit"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_save_what_there_is(number, capsys, request):
    before = signal.signal(number, signal.SIG_DFL)  # nohup ignores one of them
    request.addfinalizer(lambda: signal.signal(number, before))

    class Ends(BaseCallback):
        def _on_step(self):
            if self.num_timesteps > 300:
                signal.raise_signal(number)
            return True

    learner = made(Version2, callback=Ends(), verbose=1)
    with pytest.raises(SystemExit) as ended:
        learner.learn()
    assert ended.value.code == 128 + number
    (saved,) = steps_in(learner.checkpoints_folder)  # perhaps without the step it came in
    assert 290 < saved <= learner.cumulative_timesteps < 320
    newest = f"newest checkpoint: {learner.checkpoints_folder / str(saved)}"
    assert capsys.readouterr().out.splitlines()[-1] == newest
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_folder_of_runs_is_no_folder_of_checkpoints(tmp_path):
    (tmp_path / "all/run-1/256").mkdir(parents=True)
    (tmp_path / "all/run-1/256/model.zip").touch()
    with pytest.raises(FileNotFoundError, match=r"holds runs, name one, such as .*run-1"):
        find_checkpoint(str(tmp_path / "all"), tmp_path)


def test_metrics_are_collected_in_workers_without_torch_and_reported_here():
    measures = Measures()
    learner = made(Version2, metrics_logger=measures, timestep_limit=512)
    learner.learn()
    assert [steps for *_, steps in measures.reports] == [256, 512]
    for collected, run, _ in measures.reports:
        assert run is None
        assert len(collected) == 256 // 2  # a match has two rows
        turns, torch = (np.concatenate(column) for column in zip(*collected, strict=True))
        assert set(turns) == set(range(1, LENGTH + 1))
        assert not torch.any()


def test_the_state_of_other_matches_is_what_their_infos_say():
    class Says(MusicalChairs):
        def state(self):
            raise AssertionError("PettingZoo's is a method")

        def step(self, actions):
            *told, infos = super().step(actions)
            return *told, {agent: {**info, "state": "playing"} for agent, info in infos.items()}

    states = []
    for build in (MusicalChairs, Says):
        match = MeasuredMatch(build(), Hears(states))
        match.reset(seed=0)
        match.step(dict.fromkeys(match.agents, 0))
    assert states == [None, "playing"]


class Hears(MetricsLogger):
    def __init__(self, states):
        self.states = states

    def _collect_metrics(self, game_state):
        self.states.append(game_state)
        return []


@pytest.mark.parametrize("size", [80, 1])
def test_the_first_match_draws_itself_after_each_step(size):
    """All its steps, the last of an episode too, whoever is ready first."""
    learner = made(Draws, timestep_limit=256, render=True, min_inference_size=size)
    learner.learn()
    turns = [int(line) for line in Path("pictures.txt").read_text().split()]
    assert len(turns) == 32 if size == 80 else 0 < len(turns) <= 128
    assert turns == [1 + k % LENGTH for k in range(len(turns))]


def test_without_wandb_no_worker_is_begun(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match="wandb"):
        made(None, log_to_wandb=True)


def test_an_exception_in_a_match_is_seen_and_what_was_learned_is_kept():
    learner = made(Fails)
    with pytest.raises(ZeroDivisionError, match="a bug in the match"):
        learner.learn()
    assert steps_in(learner.checkpoints_folder) == [learner.cumulative_timesteps]


def test_the_report_has_rlgym_ppos_names_and_goes_to_the_logger_too(capsys):
    learner = made(Version2, timestep_limit=512, verbose=1)
    learner.learn()
    out = capsys.readouterr().out
    assert out.count("BEGIN ITERATION REPORT") == out.count("END ITERATION REPORT") == 2
    latest = learner._report.latest
    for name in latest:
        assert f"\n{name}: " in out
    assert latest["Cumulative Timesteps"] == 512
    assert latest["Timesteps Collected"] == 256
    assert 0 < latest["Policy Entropy"] <= np.log(N_COLORS) + 1e-6
    assert latest["Policy Update Magnitude"] > 0
    assert latest["Overall Steps per Second"] < latest["Collected Steps per Second"]


@pytest.mark.slow
def test_a_wandb_run_is_gone_on_with(monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    kwargs = {"log_to_wandb": True, "wandb_project_name": "p", "wandb_run_name": "n"}
    first = made(Version2, timestep_limit=256, **kwargs)
    first.learn()
    told = json.loads((first.checkpoints_folder / "256/BOOK_KEEPING_VARS.json").read_text())
    assert (told["wandb"]["project"], told["wandb"]["name"]) == ("p", "n")
    second = made(Version2, timestep_limit=512, log_to_wandb=True)
    assert second._wandb._arguments["id"] == told["wandb"]["id"]
    assert second._wandb._arguments["project"] == "p"
    second.cleanup()
    own = made(Version2, log_to_wandb=True, load_wandb=False, wandb_project_name="q")
    assert own._wandb._arguments["id"] is None
    own.cleanup()


@pytest.mark.slow
def test_q_in_a_terminal_saves_and_ends_it(tmp_path):
    code = (
        "from tests.sb3_ext.learner.test_learner import SMALL\n"
        "from tests.sb3_ext.learner.toys import Version2\n"
        "from sb3_ext import Learner\n"
        "l = Learner(Version2, **{**SMALL, 'timestep_limit': 10**9, 'verbose': 1})\n"
        "l.learn()\n"
        "print('ended', l.cumulative_timesteps)\n"
    )
    root = Path(__file__).parents[3]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["PYTHONPATH"] = str(root)
        os.execv(sys.executable, [sys.executable, "-c", code])
    said, pressed, deadline = b"", False, time.monotonic() + 100
    try:
        while not re.search(rb"ended \d+\s", said) and time.monotonic() < deadline:
            if not pressed and b"END ITERATION REPORT" in said:
                pressed = True  # only once: when it has ended, the terminal would echo it
                os.write(terminal, b"q")
            said += os.read(terminal, 4096)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    steps = int(said.split(b"ended")[1].split()[0])
    (folder,) = (tmp_path / "data/checkpoints").iterdir()
    assert steps in steps_in(folder)


def test_without_a_terminal_it_trains():
    code = (
        "from tests.sb3_ext.learner.test_learner import made\n"
        "from tests.sb3_ext.learner.toys import Version2\n"
        "l = made(Version2, timestep_limit=256)\n"
        "l.learn()\n"
        "print('steps', l.cumulative_timesteps)\n"
    )
    root = str(Path(__file__).parents[3])
    answer = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        check=True,
    )
    assert "steps 256" in answer.stdout


def test_a_real_match_of_rlgym_is_played():
    pytest.importorskip("rlgym.rocket_league.sim")

    def build():
        from rlgym.api import RLGym
        from rlgym.rocket_league import (
            action_parsers,
            done_conditions,
            obs_builders,
            reward_functions,
            sim,
            state_mutators,
        )

        return RLGym(
            state_mutator=state_mutators.MutatorSequence(
                state_mutators.FixedTeamSizeMutator(1, 1), state_mutators.KickoffMutator()
            ),
            obs_builder=obs_builders.DefaultObs(zero_padding=None),
            action_parser=action_parsers.RepeatAction(action_parsers.LookupTableAction(), 8),
            reward_fn=reward_functions.TouchReward(),
            transition_engine=sim.RocketSimEngine(),
            termination_cond=done_conditions.GoalCondition(),
            truncation_cond=done_conditions.NoTouchTimeoutCondition(0.5),
        )

    learner = made(build, timestep_limit=512)
    assert learner.env.observation_space.shape == (92,)
    assert learner.env.action_space.n == 90
    learner.learn()
    assert learner.cumulative_timesteps == 512
    assert learner._report.policy_reward is not None
