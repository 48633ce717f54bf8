import os
import pickle
import shutil
import subprocess
import sys

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import envs  # noqa: F401
from envs.passive_walker import gait, physics
from envs.passive_walker.env import PassiveWalkerEnv
from envs.passive_walker.rewards import TERMS
from envs.passive_walker.vector_env import PassiveWalkerVectorEnv

VARIED = {
    "slope": (0, 5),
    "friction": (0.5, 1.2),
    "mass": 0.1,
    "push": 6.0,
    "start": "mixed",
    "hz": 100,
    "seconds": 3.0,
}


@pytest.mark.parametrize(
    "options",
    [{"seconds": 2.0}, VARIED, {"reward": "speed", "hz": 200}],
    ids=["plain", "varied", "200Hz"],
)
def test_rows_are_single_environments_bit_for_bit(options):
    n = 4
    rows = PassiveWalkerVectorEnv(n, threads=2, **options)
    singles = [PassiveWalkerEnv(**options) for _ in range(n)]
    observations, _ = rows.reset(seed=3)
    first = [env.reset(seed=3 + row)[0] for row, env in enumerate(singles)]
    np.testing.assert_array_equal(observations, first)
    rng, ended = np.random.default_rng(0), 0
    for _ in range(500):
        actions = 0.4 * rng.uniform(-1, 1, (n, 3))
        observations, rewards, terminated, truncated, infos = rows.step(actions)
        for row, env in enumerate(singles):
            seen, reward, *ends, info = env.step(actions[row])
            assert (reward, *ends) == (rewards[row], terminated[row], truncated[row])
            if any(ends):
                ended += 1
                np.testing.assert_array_equal(infos["final_obs"][row], seen)
                final = infos["final_info"]
                assert final["end"][row] == info["end"]
                assert final["x"][row] == info["x"]
                for name, total in info["reward_terms"].items():
                    assert final["reward_terms"][name][row] == pytest.approx(total)
                seen, _ = env.reset()
            np.testing.assert_array_equal(observations[row], seen)
    assert ended > 3


@pytest.mark.parametrize("hz", [50, 100, 200])
def test_the_control_rate_reaches_the_simulation(hz):
    env = PassiveWalkerEnv(hz=hz)
    env.reset(seed=0)
    for _ in range(hz // 10):
        env.step(np.zeros(3))
    assert env.data.time == pytest.approx(0.1)
    assert env.model.opt.timestep <= 0.002
    assert env.metadata["render_fps"] == hz


def test_the_slope_reaches_the_simulation_and_varies_without_drifting():
    env = PassiveWalkerEnv(**VARIED)
    base = physics.load_model(100, 0.0)
    seen = []
    for seed in range(200):
        env.reset(seed=seed)
        slope = np.degrees(np.arctan2(env.model.opt.gravity[0], -env.model.opt.gravity[2]))
        assert 0 <= slope <= 5
        factors = env.model.body_mass[1:] / base.body_mass[1:]
        assert factors.min() >= 0.9
        assert factors.max() <= 1.1  # after 200 resets as after one
        seen.append((slope, factors[0], env.model.geom_friction[0, 0]))
    spread = np.ptp(seen, axis=0)
    assert (spread > [4.0, 0.15, 0.5]).all()
    again = env.reset(seed=7)[0]
    np.testing.assert_array_equal(again, PassiveWalkerEnv(**VARIED).reset(seed=7)[0])


def test_ends_are_kept_apart():
    env = PassiveWalkerEnv(seconds=1.0, pace=0.0)
    ends = {}
    for actions, start in (([1.0, 0, 0], "gait"), ([0.0, 0, 0], "rest")):
        env = PassiveWalkerEnv(start=start, slope=0.0, seconds=5.0)
        env.reset(seed=0)
        terminated = truncated = False
        while not (terminated or truncated):
            *_, terminated, truncated, info = env.step(np.array(actions))
        ends[info["end"]] = (terminated, truncated)
    env = PassiveWalkerEnv(seconds=0.4)
    env.reset(seed=0)
    for _ in range(20):
        *_, terminated, truncated, info = env.step(np.zeros(3))
    ends[info["end"]] = (terminated, truncated)
    assert ends == {
        "fall": (True, False),
        "no progress": (True, False),
        "time limit": (False, True),
    }
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(3))


def test_a_push_moves_it():
    speeds = []
    for push in (0.0, 6.0):
        env = PassiveWalkerEnv(push=push, slope=0.0, start="rest", hz=200)
        seed = 0
        while env.reset(seed=seed) and env.task._first_push[0] > 300:  # it comes in time
            seed += 1
        speeds.append([env.step(np.zeros(3))[4]["speed"] for _ in range(390)])
    assert np.abs(np.subtract(*speeds)).max() > 0.05


def test_the_reward_is_its_terms_and_scales_with_the_rate():
    env = PassiveWalkerEnv(reward_weights={"hip": 2.0, "fall": 5.0})
    env.reset(seed=0)
    total, over = 0.0, False
    while not over:
        _, reward, terminated, truncated, info = env.step(np.array([1.0, 0.5, -1.0]))
        total, over = total + reward, terminated or truncated
    assert total == pytest.approx(sum(info["reward_terms"].values()))
    assert set(info["reward_terms"]) == {"progress", "alive", "hip", "lift", "flight", "fall"}
    assert info["reward_terms"]["fall"] == -5.0


def test_only_a_walker_in_the_air_flies():
    rows = PassiveWalkerVectorEnv(1, seconds=6.0, pace=0.0, reward_weights={"flight": 1.0})
    observations, _ = rows.reset(seed=0)
    for _ in range(250):
        observations, *_ = rows.step(gait.passive_policy(observations))
    assert rows.trajectory_record()["reward_terms"][0, TERMS.index("flight")] == 0.0
    assert rows._sums[TERMS.index("flight"), 0] == 0.0
    env = PassiveWalkerEnv(start="rest", reward_weights={"flight": 2.0})
    env.reset(seed=0)
    env.data.qpos[1] += 0.1
    env.step(np.zeros(3))
    assert env.trajectory_record()["reward_terms"][TERMS.index("flight")] == pytest.approx(-0.04)
    env.step(np.array([0.0, 1.0, 1.0]))  # drawn up a foot is higher still
    assert physics.foot_heights(env.data.qpos[None]).min() > 0.1


def test_standing_starts_have_either_leg_ahead_and_any_mass():
    env = PassiveWalkerEnv(start="mixed", mass=0.1)
    found = {False: [], True: []}
    for seed in range(200):
        env.reset(seed=seed)
        stands = not env.data.qvel.any()
        found[stands].append((env.data.qpos[2], env.model.body_mass[1]))
    assert 30 < len(found[True]) < 70
    for rows in found.values():
        angle, mass = np.array(rows).T
        assert 0.3 < np.mean(angle > 0) < 0.7
        assert np.ptp(mass) > 1.5  # of 2 kg


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"slope": 45}, "slope must lie between 0 and 12"),
        ({"slope": (5, 1)}, "lowest, highest"),
        ({"slope": "steep"}, "slope must be a number or"),
        ({"slope": (1, 2, 3)}, "slope must be a number or"),
        ({"slope": float("inf")}, "slope must be a number or"),
        ({"hz": 7}, "hz must lie between"),
        ({"hz": float("nan")}, "hz must be a finite number"),
        ({"hz": "fast"}, "hz must be a finite number, got 'fast'"),
        ({"friction": 0}, "friction must be positive"),
        ({"mass": 1.5}, "mass must lie between"),
        ({"mass": "heavy"}, "mass must be a finite number"),
        ({"push": -1.0}, "push must lie between"),
        ({"start": "lying"}, "start must be one of"),
        ({"reward": "style"}, "reward must be one of"),
        ({"reward_weights": {"beauty": 1}}, "no reward weight 'beauty'"),
        ({"reward_weights": {"hip": "high"}}, "weight hip must be a finite number"),
        ({"reward_weights": 5}, "reward_weights must be a dict"),
        ({"seconds": 0}, "seconds must be"),
        ({"seconds": "long"}, "seconds must be a finite number"),
    ],
)
@pytest.mark.parametrize("make", [PassiveWalkerEnv, PassiveWalkerVectorEnv])
def test_bad_arguments_are_named(make, options, said):
    with pytest.raises((ValueError, TypeError), match=said):
        make(**options)


def test_bad_actions_are_named():
    env = PassiveWalkerEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.array([np.nan, 0, 0]))
    with pytest.raises(ValueError, match="shape"):
        env.step(np.zeros(2))
    rows = PassiveWalkerVectorEnv(3)
    with pytest.raises(ResetNeeded):
        rows.step(np.zeros((3, 3)))
    rows.reset(seed=0)
    with pytest.raises(ValueError, match=r"finite, got \[0.0, inf, 0.0\] in row 2"):
        rows.step(np.array([[0, 0, 0], [0, 0, 0], [0, np.inf, 0]]))


@pytest.mark.parametrize("arguments", [{"num_envs": 0}, {"threads": 0}, {"threads": 1.5}])
def test_bad_numbers_of_rows_and_threads_are_named(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} must be a whole number"):
        PassiveWalkerVectorEnv(**arguments)


def test_a_mujoco_out_of_range_is_named(monkeypatch):
    for version in ("3.16.1", "5.0.0"):
        monkeypatch.setattr(mujoco, "__version__", version)
        with pytest.raises(ImportError, match=f"not {version}.*never upgrade in place"):
            PassiveWalkerEnv()


def test_a_mujoco_that_has_no_batches_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "envs.passive_walker.vector_env")
    monkeypatch.setitem(sys.modules, "mujoco.batch", None)
    monkeypatch.setattr(mujoco, "__version__", "3.3.0")
    with pytest.raises(ImportError, match="needs MuJoCo"):
        gym.make_vec("PassiveWalker-v0", num_envs=2)


def run(code, **variables):
    """What a Python with these environment variables says; it sees no display but theirs."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MUJOCO_GL")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("variables", [{}, {"DISPLAY": ":99"}], ids=["no display", "a dead one"])
def test_without_a_display_pictures_come_through_egl(variables):
    code = """
import gymnasium as gym, numpy as np
import envs
env = gym.make("PassiveWalker-v0", render_mode="rgb_array")
env.reset(seed=0)
first = env.render()
for _ in range(20):
    env.step(np.zeros(3, np.float32))
unseen = gym.make("SimpleAim-v0", render_mode="human")  # SDL has a way with EGL as well
unseen.reset(seed=0)
unseen.close()
assert env.render().any()
import os, pygame  # and the host program's window has as well
os.environ["SDL_VIDEODRIVER"] = "offscreen"
pygame.display.init()
pygame.display.set_mode((9, 9))
pygame.display.quit()
env = gym.make("PassiveWalker-v0", render_mode="rgb_array")
env.reset(seed=0)
assert (env.render() == first).all()
for _ in range(20):
    env.step(np.zeros(3, np.float32))
print(first.shape, (first != env.render()).any())
try:
    window = gym.make("PassiveWalker-v0", render_mode="human")
    window.reset(seed=0)
except RuntimeError as error:
    print(error)
"""
    result = run(code, **variables)
    assert "(540, 960, 3) True" in result.stdout, result.stderr
    assert "no display: MuJoCo draws off screen, through EGL" in result.stderr
    assert "no display to open MuJoCo's viewer on" in result.stdout


def test_a_way_to_draw_that_cannot_be_had_is_named():
    result = run("import envs.passive_walker.env", MUJOCO_GL="paint")
    assert "MuJoCo can't be imported with MUJOCO_GL=paint" in result.stderr.splitlines()[-1]


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb, a display without a screen")
def test_the_viewer_opens_and_closes():
    code = """
import gymnasium as gym, numpy as np
import envs
env = gym.make("PassiveWalker-v0", render_mode="human")
env.reset(seed=0)
for _ in range(5):
    env.step(np.zeros(3, np.float32))
env.close()
print("closed")
"""
    read, write = os.pipe()
    asked = ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with subprocess.Popen(asked, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        try:
            with os.fdopen(read) as number:
                result = run(code, DISPLAY=f":{number.readline().strip()}")
        finally:
            server.terminate()
            os.close(write)
    assert (result.returncode, result.stdout) == (0, "closed\n"), result.stderr


def test_users_find_mujoco_s_own_objects():
    env = gym.make("PassiveWalker-v0")
    env.reset(seed=0)
    assert isinstance(env.unwrapped.model, mujoco.MjModel)
    assert isinstance(env.unwrapped.data, mujoco.MjData)


def play(env, actions):
    """All that the steps return; a single environment is reset where its episode ends."""
    seen = []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        seen.append((observation, reward, terminated, truncated))
        if info and "end" in info and isinstance(env, PassiveWalkerEnv):
            seen.append((env.reset()[0], 0.0, False, False))
    return seen


@pytest.mark.parametrize("make", [PassiveWalkerEnv, lambda **o: PassiveWalkerVectorEnv(3, **o)])
def test_a_snapshot_goes_on_exactly(make):
    env = make(**VARIED)
    with pytest.raises(ResetNeeded):
        env.snapshot()
    shape = env.action_space.shape
    first, then = 0.5 * np.random.default_rng(0).uniform(-1, 1, (2, 300, *shape))
    env.reset(seed=1)
    play(env, first)
    taken = pickle.dumps(env.snapshot())
    expected = play(env, then)
    assert any(np.any(step[2]) for step in expected)  # into the next episode
    for other in (env, make(**VARIED)):
        other.restore(pickle.loads(taken))
        for seen, wanted in zip(play(other, then), expected, strict=True):
            for a, b in zip(seen, wanted, strict=True):
                np.testing.assert_array_equal(a, b)
