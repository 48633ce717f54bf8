"""``SharedMemoryVecEnv`` against SB3's ``DummyVecEnv``, and against everything that goes wrong."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import OrderEnforcing, TimeLimit
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import envs  # noqa: F401  (registers the worlds)
from sb3_ext import NumpyPPO
from sb3_ext.vec_env import GymnasiumVecEnv, SharedMemoryVecEnv
from sb3_ext.vec_env.shared_memory import WorkerError
from sb3_ext.vec_env.snapshots import restore, snapshot
from sb3_ext.vec_env.workers import crew
from tests.sb3_ext.vec_env.dice import ACTIONS, OBSERVATIONS, Dice, Wide
from tests.sb3_ext.vec_env.faulty import Faulty, faulty
from tests.sb3_ext.vec_env.test_gymnasium import assert_same, compare_with_dummy

OPEN: weakref.WeakSet[SharedMemoryVecEnv] = weakref.WeakSet()
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No test leaves a process, a descriptor or a file in memory."""
    process, segments = psutil.Process(), set(os.listdir("/dev/shm"))
    before, others = process.num_fds(), set(process.children(recursive=True))
    yield
    while OPEN:  # only a test that has failed leaves one open
        OPEN.pop().close()
    assert set(process.children(recursive=True)) <= others  # other tests may have left some
    assert process.num_fds() <= before
    deadline = time.monotonic() + 5.0
    while new := set(os.listdir("/dev/shm")) - segments:  # of tests beside this one, for moments
        assert time.monotonic() < deadline, new
        time.sleep(0.05)


def shm(*builders: Any, **kwargs: Any) -> SharedMemoryVecEnv:
    env = SharedMemoryVecEnv(builders, **kwargs)
    OPEN.add(env)
    return env


# Rollouts


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_equals_dummy_vec_env(n_workers: int) -> None:
    compare_with_dummy(shm(Dice, Dice, Dice, n_workers=n_workers), Dice, 300)


@pytest.mark.parametrize("obs", [key for key in OBSERVATIONS if key != "box"])
def test_every_observation_space(obs: str) -> None:
    compare_with_dummy(shm(*[lambda: Dice(obs)] * 3, n_workers=2), lambda: Dice(obs), 100)


@pytest.mark.parametrize("action", [key for key in ACTIONS if key != "discrete"])
def test_every_action_space(action: str) -> None:
    compare_with_dummy(
        shm(*[lambda: Dice(action=action)] * 3, n_workers=2), lambda: Dice(action=action), 100
    )


def test_a_large_observation() -> None:
    compare_with_dummy(shm(Wide, Wide, Wide, n_workers=2), Wide, 20)


def test_a_monitor_of_ones_own_has_the_last_word() -> None:
    env = shm(lambda: Monitor(Dice(), info_keywords=("n_steps",)))
    env.reset()
    dones = [False]
    while not dones[0]:
        _, _, dones, infos = env.step([0])
    assert infos[0]["episode"]["n_steps"] == infos[0]["episode"]["l"] == infos[0]["n_steps"]
    env.close()


@pytest.mark.parametrize("n_workers", [1, 2])
def test_vector_envs_in_workers(n_workers: int) -> None:
    """Four rows in two vector envs are what they are in one."""
    ours = shm(*[lambda: gym.make_vec("TargetReach-v0", num_envs=2)] * 2, n_workers=n_workers)
    theirs = GymnasiumVecEnv(gym.make_vec("TargetReach-v0", num_envs=4))
    rng, n_ended = np.random.default_rng(0), 0
    for env in (ours, theirs):
        env.seed(7)
    assert_same(ours.reset(), theirs.reset())
    for _ in range(150):
        actions = rng.integers(0, 2, 4)
        *got, infos = ours.step(actions)
        *wanted, expected = theirs.step(actions)
        n_ended += sum(got[2])
        assert_same(tuple(got), tuple(wanted))
        for info in (*infos, *expected):
            info.get("episode", {}).pop("t", None)
        for info, other in zip(infos, expected, strict=True):
            assert_same(info, other)
    assert n_ended > 10
    assert ours.get_attr("max_episode_steps") == [50] * 4
    with pytest.raises(ValueError, match="rows 0 and 1 belong to one vector env"):
        ours.send([0, 2, 3], np.zeros(3, int))
    taken = snapshot(ours)
    other = shm(lambda: gym.make_vec("TargetReach-v0", num_envs=2), n_workers=1)
    with pytest.raises(ValueError):
        restore(other, taken)
    other.close()
    ours.close()


def test_training_is_the_same_in_processes() -> None:
    def trained(env: Any) -> bytes:
        env = VecNormalize(env)
        model = NumpyPPO("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=2, seed=3)
        model.learn(600)
        env.close()
        return model.actor_critic.network.params.vector.tobytes()

    def cart() -> gym.Env:
        return gym.make("CartPole-v1")

    in_process = trained(DummyVecEnv([lambda: Monitor(cart())] * 3))
    assert trained(shm(cart, cart, cart, n_workers=2)) == in_process


def test_workers_know_what_is_registered_here() -> None:
    """Whoever registered it: their interpreters haven't imported it."""
    gym.register("Thrown-v0", Dice, max_episode_steps=3)
    gym.register("Unknown-v0", lambda: None)
    try:
        env = shm(lambda: gym.make("Thrown-v0"))
    finally:
        for name in ("Thrown-v0", "Unknown-v0"):
            del gym.registry[name]
    assert env.get_attr("spec")[0].max_episode_steps == 3
    env.close()


# stable-baselines3's other methods


def test_seeds_and_options_are_for_the_next_reset() -> None:
    ours, theirs = shm(Dice, Dice), DummyVecEnv([Dice, Dice])
    for env in (ours, theirs):
        env.seed(3)
        env.set_options([{"map": "a"}, {}])
    for _ in range(2):
        assert_same(ours.reset(), theirs.reset())
        assert ours.get_attr("options") == theirs.get_attr("options")
        for env in (ours, theirs):
            env.seed(4)
    ours.close()


def test_attributes_methods_and_wrappers() -> None:
    env = shm(*[lambda: TimeLimit(Dice(), 1000)] * 3, n_workers=2)
    assert env.get_attr("difficulty") == [1, 1, 1]
    assert env.env_method("set_difficulty", 3, indices=[0, 2]) == [30, 30]
    assert env.get_attr("difficulty", indices=[2, 1, 0]) == [3, 1, 3]
    assert env.env_method("get_wrapper_attr", "difficulty", indices=1) == [1]
    env.set_attr("note", lambda: 5, indices=[1])
    assert env.get_attr("note", indices=1)[0]() == 5
    assert not env.has_attr("note")  # the others have none
    for ask in (env.get_attr, env.env_method):
        with pytest.raises(AttributeError, match="no_such_thing"):
            ask("no_such_thing")
    with pytest.raises(AssertionError):
        env.env_method("step", 99)
    assert env.env_is_wrapped(TimeLimit) == [True] * 3
    assert env.env_is_wrapped(gym.Wrapper, indices=[0]) == [True]
    assert env.env_is_wrapped(OrderEnforcing, indices=[0, 1]) == [False] * 2
    assert env.env_is_wrapped(Monitor) == [True] * 3
    env.reset()  # nobody was harmed
    env.close()


def test_pictures() -> None:
    env = shm(*[lambda: Dice(render_mode="rgb_array")] * 3, n_workers=2)
    env.seed(0)
    env.reset()
    env.step([0, 0, 0])
    expected = [np.full((4, 6, 3), n, np.uint8) for n in env.get_attr("n_steps")]
    assert max(frame.max() for frame in expected) == 1
    assert_same(list(env.get_images()), expected)
    picture = env.render()
    assert picture is not None and picture.shape == (8, 12, 3)
    env.close()
    env = shm(lambda: Dice(render_mode="human"))
    assert env.render() is None
    assert env.get_attr("shown") == [True]
    env.close()
    env = shm(Dice)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.get_images() == [None]
    env.close()


def test_evaluation_uses_the_episode_statistics() -> None:
    env = shm(*[lambda: gym.make("CartPole-v1")] * 2)
    model = NumpyPPO("MlpPolicy", env, seed=0)
    returns, lengths = evaluate_policy(model, env, 4, return_episode_rewards=True)
    assert returns == lengths
    env.close()


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_episodes_go_on_elsewhere(n_workers: int) -> None:
    """A snapshot of three rows in two workers, taken up by any number of workers."""

    def make(n_workers: int) -> SharedMemoryVecEnv:
        env = shm(*[lambda: gym.make("TargetReach-v0")] * 3, n_workers=n_workers)
        env.seed(1)
        env.reset()
        return env

    rng = np.random.default_rng(2)
    env, other = make(2), make(n_workers)
    for actions in rng.integers(0, 2, (37, 3)):
        env.step(actions)
    taken = snapshot(env)
    assert taken is not None
    restore(other, taken)
    for actions in rng.integers(0, 2, (100, 3)):
        *got, infos = other.step(actions)
        *wanted, expected = env.step(actions)
        assert_same(tuple(got), tuple(wanted))
        for info in (*infos, *expected):
            info.get("episode", {}).pop("t", None)
        assert infos == expected
    env.close()
    other.close()
    env = shm(Dice)
    assert snapshot(env) is None
    env.close()


# Whoever is ready first


def test_rows_that_are_sent_are_stepped() -> None:
    """Each row, at its own pace, sees what it would have seen alone."""
    env = shm(*[Dice] * 5, n_workers=2)
    env.seed(0)
    first = env.reset()
    alone = [DummyVecEnv([lambda: Monitor(Dice())]) for _ in range(5)]
    for i, single in enumerate(alone):
        single.seed(i)
        assert_same(single.reset()[0], first[i])
    rng, ends = np.random.default_rng(1), 0
    for _ in range(150):
        rows = np.flatnonzero(rng.random(5) < 0.6)
        if not len(rows):
            continue
        actions = rng.integers(0, 3, len(rows))
        env.send(rows, actions)
        seen = {}
        while len(seen) < len(rows):
            ready = env.recv(int(rng.integers(1, 6)))
            assert len(ready.rows) == len(ready.rewards) == len(ready.dones) == len(ready.infos)
            for k, row in enumerate(ready.rows.tolist()):
                seen[row] = [field[k] for field in ready[1:]]
        assert sorted(seen) == rows.tolist()
        for row, action in zip(rows.tolist(), actions, strict=True):
            obs, rewards, dones, infos = alone[row].step([action])
            got_obs, got_reward, got_done, info = seen[row]
            assert_same(got_obs, obs[0])
            assert (got_reward, got_done) == (rewards[0], dones[0])
            if dones[0]:
                ends += 1
                assert info["episode"].pop("t") >= 0
                infos[0]["episode"].pop("t")
            elif "TimeLimit.truncated" in infos[0]:
                infos[0].pop("TimeLimit.truncated")
            assert_same(info, infos[0])
            assert_same(env.reset_infos[row], alone[row].reset_infos[0])
    assert ends > 20
    env.close()


def test_rows_are_sent_before_others_have_set_out() -> None:
    """Workers may be late to read what they were told."""

    class Counts(Dice):
        n_taken = 0

        def step(self, action: Any) -> Any:
            self.n_taken += 1
            return super().step(action)

    others = set(psutil.Process().children(recursive=True))
    env = shm(*[Counts] * 4, n_workers=2)
    env.reset()
    processes = set(psutil.Process().children(recursive=True)) - others
    workers = [process for process in processes if process.ppid() != os.getpid()]
    assert len(workers) == 2
    for worker in workers:
        worker.suspend()
    env.send([0], np.array([1]))
    env.send([3], np.array([2]))
    before = env._block.actions.copy()
    with pytest.raises(ValueError, match="under way"):
        env.send([2, 0], np.array([2, 0]))
    np.testing.assert_array_equal(env._block.actions, before)  # nothing is sent by halves
    for worker in workers:
        worker.resume()
    ready = env.recv(2)
    assert sorted(ready.rows.tolist()) == [0, 3]
    assert env.get_attr("n_taken") == [1, 0, 0, 1]
    env.close()


def test_nobody_waits_for_what_nobody_was_told() -> None:
    env = shm(Dice, Dice, n_workers=2, time_limit=None)
    env.reset()
    with pytest.raises(RuntimeError, match=r"step_async\(actions\) comes first"):
        env.step_wait()
    env.close()


def processes_of(env: SharedMemoryVecEnv) -> list[psutil.Process]:
    """Its workers, and the one that minds them first."""
    keeper = psutil.Process(env._crew._process.pid)
    return [keeper, *keeper.children()]


def test_what_is_ready_waits_for_nobody() -> None:
    env = shm(faulty(""), faulty("hangs"), n_workers=2, time_limit=None)
    env.reset()
    env.send([0, 1], np.array([0, 1]))
    for _ in range(5):
        ready = env.recv()
        assert ready.rows.tolist() == [0]
        env.send(ready.rows, np.array([0]))
    for ask in (lambda: env.step([0, 0]), lambda: env.get_attr("fault")):
        with pytest.raises(RuntimeError, match=r"rows .* are under way"):
            ask()
    with pytest.raises(ValueError, match="under way"):
        env.send([1], np.array([0]))
    for process in processes_of(env):  # and not even this matters
        process.kill()
    env.close()
    env = shm(Dice)
    with pytest.raises(ValueError, match="no row is under way"):
        env.recv()
    env.close()


# What goes wrong


def told(error: BaseException) -> str:
    """All that Python would print of it."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("fault", "kind", "message", "where"),
    [
        ("raises", ValueError, "the physics exploded", "in raises"),
        ("hangs_up", BrokenPipeError, "the game has gone", "in hangs_up"),
        ("exits", WorkerError, "SystemExit: enough", "in exits"),
        ("puzzles", WorkerError, "CannotBeMadeAgainError: one two", "in puzzles"),
        ("lock", TypeError, "pickle", "in _pickled"),
    ],
)
def test_an_env_that_raises(fault: str, kind: type[Exception], message: str, where: str) -> None:
    env = shm(*[faulty("")] * 2, faulty(fault), n_workers=2)
    env.reset()
    for _ in range(2):
        with pytest.raises(kind, match=message) as raised:
            env.step([0, 0, 1])
        assert where in told(raised.value) and "worker 1 (env 2)" in told(raised.value)
        env.reset()  # and on it goes
        assert env.step([0, 0, 0])[0].shape == (3, 2)
    env.close()


@pytest.mark.parametrize("where", ["init", "reset"])
def test_an_env_that_never_starts(where: str) -> None:
    with pytest.raises(ValueError, match=f"no simulator in {where}") as raised:
        env = shm(faulty(""), faulty(where), n_workers=2)
        try:
            env.reset()
        finally:
            env.close()
    assert "in goes_wrong" in told(raised.value)


@pytest.mark.parametrize(
    ("fault", "message", "note"),
    [
        ("dies", "was killed by SIGKILL, perhaps for lack of memory", ""),
        ("leaves", "has ended with exit code 3", ""),
        ("crashes", "was killed by SIGSEGV", "in crashes"),
    ],
)
def test_a_worker_that_dies(fault: str, message: str, note: str) -> None:
    env = shm(faulty(""), faulty(fault), n_workers=2)
    env.reset()
    start = time.monotonic()
    for _ in range(2):  # it stays dead
        with pytest.raises(WorkerError, match=rf"worker 1 \(env 1\) {message}") as raised:
            env.step([0, 1])
        assert note in told(raised.value)
    assert time.monotonic() - start < 2
    env.close()


def test_a_worker_that_dies_while_another_is_busy() -> None:
    env = shm(faulty("hangs"), faulty("dies"), n_workers=2)
    env.reset()
    with pytest.raises(WorkerError, match="worker 1"):
        env.step([1, 1])
    env.close()


def test_a_worker_that_dies_in_its_sleep() -> None:
    env = shm(faulty(""), faulty(""), n_workers=2)
    env.reset()
    (pid,) = env.env_method("pid", indices=1)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="worker 1"):
        env.step([0, 0])
    env.close()


@pytest.mark.parametrize("fault", ["hangs", "hangs_in_c"])
def test_an_env_that_hangs(fault: str) -> None:
    env = shm(faulty(""), faulty(fault), n_workers=2, time_limit=0.7)
    env.reset()
    with pytest.raises(WorkerError, match=r"worker 1 .* not answered for 0.7 s") as raised:
        env.step([0, 1])
    assert f"in {fault}" in told(raised.value)
    env.close()


def test_a_hang_does_not_keep_close_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_PATIENCE", 0.5)
    env = shm(faulty("hangs"), time_limit=None)
    env.reset()
    env.step_async([1])
    env.close()
    env.close()
    with pytest.raises(WorkerError, match="closed"):
        env.step([0])


def test_ctrl_c_breaks_a_step_off() -> None:
    env = shm(faulty(""), faulty(""), n_workers=2)
    env.reset()
    env.step_async([0, 0])
    env.step_async([0, 0])  # the first one's answers are nobody's
    assert env.step_wait()[0].shape == (2, 2)
    for process in processes_of(env):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
    env.step([0, 0])  # workers leave signals to the trainer
    env.close()


@pytest.mark.parametrize(
    ("builders", "kwargs", "message"),
    [
        ([], {}, "env_fns is empty"),
        ([Dice], {"n_workers": 0}, "n_workers must be at least 1"),
        ([Dice], {"time_limit": 0}, "time_limit must be positive"),
        ([Dice, lambda: Dice("image")], {}, "the env of row 1 has the spaces"),
        ([lambda: 3], {}, "returned 3, which is no env"),
        ([lambda: SyncVectorEnv([Dice])], {}, "SAME_STEP"),
    ],
)
def test_what_makes_no_vec_env(builders: Any, kwargs: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        SharedMemoryVecEnv(builders, **kwargs)


def test_a_space_that_nobody_knows() -> None:
    class Talks(Dice):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = spaces.Text(5)

    with pytest.raises(TypeError, match="no Text observations"):
        shm(Talks)


# Processes


def test_vector_envs_reset_in_the_same_step() -> None:
    env = shm(lambda: SyncVectorEnv([Dice, Dice], autoreset_mode=AutoresetMode.SAME_STEP))
    env.seed(5)
    single = GymnasiumVecEnv(SyncVectorEnv([Dice, Dice], autoreset_mode=AutoresetMode.SAME_STEP))
    single.seed(5)
    assert_same(env.reset(), single.reset())
    for _ in range(50):
        *got, infos = env.step([0, 1])
        *wanted, expected = single.step([0, 1])
        assert_same(tuple(got), tuple(wanted))
        for info in (*infos, *expected):
            info.get("episode", {}).pop("t", None)
        for info, other in zip(infos, expected, strict=True):
            assert_same(info, other)
        assert_same(env.reset_infos, single.reset_infos)
    env.close()


def test_a_vector_env_that_loses_the_last_observation() -> None:
    class Lossy(SyncVectorEnv):
        def step(self, actions: Any) -> Any:
            *told, _ = super().step(actions)
            return *told, {}

    env = shm(lambda: Lossy([Dice], autoreset_mode=AutoresetMode.SAME_STEP))
    env.reset()
    with pytest.raises(ValueError, match="final_obs"):
        for _ in range(50):
            env.step([0])
    env.close()


def test_workers_wait_without_spinning() -> None:
    others = set(psutil.Process().children(recursive=True))
    env = shm(*[Dice] * 16, n_workers=16)
    env.reset()
    env.step(np.zeros(16, int))
    processes = set(psutil.Process().children(recursive=True)) - others
    assert len(processes) == 17  # and the one that minds them

    def seconds() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    before = seconds()
    time.sleep(0.5)
    assert seconds() - before < 0.1
    env.close()


SCRIPT = """
import os, sys, time
import gymnasium as gym
import torch
from sb3_ext.vec_env import SharedMemoryVecEnv

class Mine(gym.Wrapper):
    def loaded(self):
        return sorted({"torch", "stable_baselines3", "jax"} & set(sys.modules))
    def pid(self):
        return os.getpid()
    def step(self, action):
        if ACTIONS.get(action) == "hang":
            time.sleep(600)
        return self.env.step(action)

ACTIONS = {1: "hang"}
env = SharedMemoryVecEnv([lambda: Mine(gym.make("CartPole-v1"))] * 3, n_workers=2)
env.reset()
"""


TIME_LIMITS = """
from gymnasium.wrappers import TimeLimit
import gymnasium as gym, rl_zoo3, sys
from sb3_ext.vec_env import SharedMemoryVecEnv

RlZoos = gym.wrappers.TimeLimit
assert RlZoos is not TimeLimit

class Derived(RlZoos):
    def loaded(self):
        return sorted({"torch", "rl_zoo3"} & set(sys.modules))

for cls in (TimeLimit, RlZoos, Derived):
    env = SharedMemoryVecEnv([lambda: Derived(cls(gym.make("CartPole-v1").unwrapped, 9), 3)])
    for asked in (TimeLimit, RlZoos, Derived):
        assert env.env_is_wrapped(asked) == [True], asked
    env.reset()
    env.step([0]), env.step([0])
    _, _, dones, infos = env.step([0])
    assert dones[0] and infos[0]["TimeLimit.truncated"], infos
    assert env.env_method("loaded") == [[]]
    env.close()
"""


@pytest.mark.slow
def test_rl_zoo_s_time_limit_is_gymnasium_s_in_a_worker() -> None:
    """RL Zoo replaces it when it is imported, and then the one behind it can't be pickled."""
    subprocess.run([sys.executable, "-c", TIME_LIMITS], check=True, timeout=120)


def script(rest: str) -> "subprocess.Popen[str]":
    """A user's script: no guard around its main part, everything at the top."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT + textwrap.dedent(rest)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_script_without_a_guard_and_without_close() -> None:
    process = script("print(env.env_method('loaded'))\nenv.step([0, 0, 0])")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out == "[[], [], []]\n"


@pytest.mark.slow
def test_nothing_outlives_a_trainer_that_is_killed() -> None:
    """Neither a worker that waits nor one that hangs."""
    process = script(
        """
        print(*env.env_method("pid"), flush=True)
        env.step([0, 0, 1])
        """
    )
    assert process.stdout is not None and process.stderr is not None
    pids = {int(pid) for pid in process.stdout.readline().split()}
    assert len(pids) == 2
    everybody = psutil.Process(process.pid).children(recursive=True)
    assert pids < {child.pid for child in everybody}
    process.kill()
    _, alive = psutil.wait_procs(everybody, timeout=20)
    assert not alive
    process.communicate()


def test_starts_and_stops_leak_nothing() -> None:
    before = psutil.Process().num_fds()
    for _ in range(5):
        env = shm(Faulty, Faulty, n_workers=2)
        env.reset()
        del env  # closed when nobody holds it
    assert psutil.Process().num_fds() == before
