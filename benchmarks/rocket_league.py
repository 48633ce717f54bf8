"""Rocket League: what training costs, and what an agent has learned.

    python benchmarks/rocket_league.py [speed] [--sides zoo learner sb3 rlgym_ppo:16]
                                       [--threads N] [--rounds 3]
    python benchmarks/rocket_league.py env [--matches 16]
    python benchmarks/rocket_league.py touches MODEL ... [--opponent itself|random] [--minutes 10]

``speed``: 1v1, 256x256, 32 matches on two workers, 4,096 rows an iteration, batches of 1,024, 4
epochs, RLGym's 90 actions; agent steps per second, overall and while collecting, and the memory of
all processes (PSS), each side in a process of its own, in turns. ``zoo`` is RocketLeague-v0 as the
zoo's shm form runs it, ``learner`` a match of RLGym's own parts in ``Learner``, ``sb3``
stable-baselines3's PPO on the zoo's rows, and ``rlgym_ppo:N`` the same match in rlgym-ppo's own
``Learner`` on N processes. That one isn't on PyPI: put a checkout of github.com/AechPro/rlgym-ppo,
and the package gym, on ``PYTHONPATH``. It trains on a terminal only, so it's given one.

``env``: CPU microseconds of an agent's step, of the world and of the same match from RLGym's parts.

``touches``: touches of the ball, and goals, per 10 s of play and car, of models and of random
actions.
"""

import os
import sys

if "--threads" in sys.argv:
    n_threads = sys.argv[sys.argv.index("--threads") + 1]
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = n_threads

import argparse
import statistics
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import envs  # noqa: F401  (registers the worlds)

ROWS, ITERATION, BATCH, EPOCHS = 64, 4096, 1024, 4
WARM_UP, MEASURED = 3, 12  # iterations
LEARNER: dict[str, Any] = {  # our Learner and rlgym-ppo's take the same keywords
    "ts_per_iteration": ITERATION,
    "exp_buffer_size": ITERATION,
    "ppo_batch_size": BATCH,
    "ppo_epochs": EPOCHS,
    "policy_layer_sizes": (256, 256),
    "critic_layer_sizes": (256, 256),
    "checkpoints_save_folder": "/tmp/rocket-league-benchmark",
    "checkpoint_load_folder": None,
    "save_every_ts": 10**12,
}


def rlgym_match() -> Any:
    """A match as RLGym's own documentation puts it together."""
    from rlgym.api import RLGym
    from rlgym.rocket_league.action_parsers import LookupTableAction, RepeatAction
    from rlgym.rocket_league.done_conditions import GoalCondition, NoTouchTimeoutCondition
    from rlgym.rocket_league.obs_builders import DefaultObs
    from rlgym.rocket_league.reward_functions import CombinedReward, GoalReward, TouchReward
    from rlgym.rocket_league.sim import RocketSimEngine
    from rlgym.rocket_league.state_mutators import (
        FixedTeamSizeMutator,
        KickoffMutator,
        MutatorSequence,
    )

    return RLGym(
        state_mutator=MutatorSequence(FixedTeamSizeMutator(1, 1), KickoffMutator()),
        obs_builder=DefaultObs(zero_padding=None),
        action_parser=RepeatAction(LookupTableAction(), 8),
        reward_fn=CombinedReward((GoalReward(), 10.0), (TouchReward(), 1.0)),
        transition_engine=RocketSimEngine(),
        termination_cond=GoalCondition(),
        truncation_cond=NoTouchTimeoutCondition(30.0),
    )


def train(side: str) -> None:
    """Trains one side for some iterations, and prints its three figures."""
    if side.startswith("rlgym_ppo"):
        return train_rlgym_ppo(int(side.partition(":")[2] or 16))
    from stable_baselines3.common.callbacks import BaseCallback

    class Clock(BaseCallback):
        def _on_training_start(self) -> None:
            self.starts: list[float] = []
            self.ends: list[float] = []
            self.steps: list[int] = []

        def _on_rollout_start(self) -> None:
            self.starts.append(time.perf_counter())
            self.steps.append(self.num_timesteps)

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            self.ends.append(time.perf_counter())

    clock, total = Clock(), ITERATION * (WARM_UP + MEASURED + 1)
    if side == "learner":
        from sb3_ext import Learner

        Learner(
            rlgym_match,
            n_proc=ROWS // 2,
            timestep_limit=total,
            callback=clock,
            verbose=0,
            backend="numpy",
            **LEARNER,
        ).learn()
    else:
        train_on_the_worlds_rows(side, total, clock)
    from_, to = WARM_UP, WARM_UP + MEASURED
    steps = clock.steps[to] - clock.steps[from_]
    collecting = sum(clock.ends[i] - clock.starts[i] for i in range(from_, to))
    print(steps / (clock.starts[to] - clock.starts[from_]), steps / collecting, clock_pss())


def rlgym_ppo_match() -> Any:
    """A match as rlgym-ppo wants it."""
    from rlgym_ppo.util import RLGymV2GymWrapper

    return RLGymV2GymWrapper(rlgym_match())


def train_rlgym_ppo(n_processes: int) -> None:
    """rlgym-ppo's own Learner, timed by its own clock, with its example's share of ready rows."""
    import rlgym_ppo.learner
    import torch

    torch.set_num_threads(int(os.environ["OPENBLAS_NUM_THREADS"]))
    reports: list[dict[str, float]] = []
    memory: list[float] = []

    def keep(loggable_metrics: dict[str, float], **_: Any) -> None:
        reports.append(dict(loggable_metrics))
        memory.append(pss())

    rlgym_ppo.learner.reporting.report_metrics = keep
    rlgym_ppo.learner.Learner(
        rlgym_ppo_match,
        n_proc=n_processes,
        min_inference_size=max(1, round(0.9 * n_processes)),
        timestep_limit=ITERATION * (WARM_UP + MEASURED),
        device="cpu",
        **LEARNER,
    ).learn()
    measured = reports[WARM_UP:]
    steps = sum(report["Timesteps Collected"] for report in measured)
    overall = sum(report["Total Iteration Time"] for report in measured)
    collecting = sum(report["Timestep Collection Time"] for report in measured)
    print(steps / overall, steps / collecting, memory[-1])


def train_on_the_worlds_rows(side: str, total: int, clock: Any) -> None:
    """Our PPO, or stable-baselines3's, on RocketLeague-v0 in two workers."""
    import stable_baselines3
    import torch

    import sb3_ext
    from sb3_ext.vec_env import SharedMemoryVecEnv

    torch.set_num_threads(int(os.environ.get("OPENBLAS_NUM_THREADS", "1")))
    build = partial(gym.make_vec, "RocketLeague-v0", num_envs=ROWS // 4)
    rows = SharedMemoryVecEnv([build, build], n_workers=2)
    cls: Any = stable_baselines3.PPO if side == "sb3" else sb3_ext.NumpyPPO
    model = cls(
        "MlpPolicy",
        rows,
        n_steps=ITERATION // ROWS,
        batch_size=BATCH,
        n_epochs=EPOCHS,
        seed=0,
        device="cpu",
        policy_kwargs={"net_arch": [256, 256], "activation_fn": torch.nn.ReLU},
    )
    model.learn(total, callback=clock)
    global _pss
    _pss = pss()
    rows.close()


_pss = 0.0


def clock_pss() -> float:
    """Of the training just ended."""
    return _pss or pss()


def pss() -> float:
    """Memory of this process and its children, MB."""
    import psutil

    here = psutil.Process()
    everybody = [here, *here.children(recursive=True)]
    return sum(process.memory_full_info().pss for process in everybody) / 1e6


def speed(args: argparse.Namespace) -> None:
    """Each side in turns, medians."""
    threads = str(args.threads or len(os.sched_getaffinity(0)))
    figures: dict[str, list[list[float]]] = {side: [] for side in args.sides}
    for _ in range(args.rounds):
        for side in args.sides:
            command = [sys.executable, __file__, "train", side, "--threads", threads]
            out = on_a_terminal(command)
            figures[side].append([float(x) for x in out.split()[-3:]])
    print(f"\n{threads} threads, median of {args.rounds}\n")
    print("| | agent steps/s overall | while collecting | memory, MB |\n|---|---|---|---|")
    for side, rows in figures.items():
        overall, collecting, memory = (statistics.median(column) for column in zip(*rows))  # noqa: B905
        print(f"| {side} | {overall:,.0f} | {collecting:,.0f} | {memory:,.0f} |")


def on_a_terminal(command: list[str]) -> str:
    """What a command prints, with a terminal for its input."""
    import pty

    ours, theirs = pty.openpty()
    try:
        return subprocess.run(
            command, stdin=theirs, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    finally:
        os.close(ours)
        os.close(theirs)


def env(args: argparse.Namespace) -> None:
    """CPU time of a step of the world and of RLGym's parts."""
    rng = np.random.default_rng(0)

    def of_world(**kwargs: Any) -> float:
        world = gym.make_vec("RocketLeague-v0", num_envs=args.matches, **kwargs)
        world.reset(seed=0)
        actions = rng.integers(90, size=(50, world.num_envs))
        return best(lambda i: world.step(actions[i % 50])) / world.num_envs

    match = rlgym_match()
    match.reset()
    chosen = rng.integers(90, size=(50, 2, 1))

    def step(i: int) -> None:
        *_, terminated, truncated = match.step(dict(zip(match.agents, chosen[i % 50], strict=True)))
        if any(terminated.values()) or any(truncated.values()):
            match.reset()

    print("CPU microseconds of an agent's step, 1v1:")
    print(f"  RocketLeague-v0, {args.matches} matches, own observation: {of_world():.1f}")
    print(f"  with RLGym's observation: {of_world(observation='default'):.1f}")
    print(f"  a match of RLGym's parts: {best(step) / 2:.1f}")


def best(step: Any, turns: int = 5, n: int = 200) -> float:
    """The least CPU time of a call, us."""
    times = []
    for _ in range(turns):
        start = time.process_time()
        for i in range(n):
            step(i)
        times.append((time.process_time() - start) / n * 1e6)
    return min(times)


def touches(args: argparse.Namespace) -> None:
    """What models, and random actions, do with the ball."""
    from sb3_ext import PPO

    print("| | touches per 10 s and car | goals per minute | matches with a touch |")
    print("|---|---|---|---|")
    for name in [*args.models, "random"]:
        model = None if name == "random" else PPO.load(name)
        print(f"| {name} | " + " | ".join(played(model, args)) + " |", flush=True)


def played(model: Any, args: argparse.Namespace) -> list[str]:
    """Plays so many minutes of matches, all cars by the model, or orange at random."""
    world = gym.make_vec("RocketLeague-v0", num_envs=args.matches, **dict(args.env_kwargs))
    rng = np.random.default_rng(1)
    obs, _ = world.reset(seed=7)
    judged = world.row_teams == 0 if args.opponent == "random" else world.row_teams >= 0
    n_steps = round(args.minutes * 60 * world.metadata["render_fps"] / args.matches)
    seen = goals = ended = with_touch = 0
    before = np.zeros(world.num_envs, int)
    for _ in range(n_steps):
        actions = rng.integers(world.single_action_space.n, size=world.num_envs)
        if model is not None:
            chosen, _ = model.predict(obs, deterministic=not args.stochastic)
            actions[judged] = chosen[judged]
        obs, _, terminated, truncated, infos = world.step(actions)
        now = world.touches()
        done = terminated | truncated
        if done.any():
            final = infos["final_info"]
            now = np.where(done, final["touches"], now)
            goals += int((final["goals"][done & judged] > 0).sum())
            ended += int((done & judged).sum())
            with_touch += int((final["touches"][done & judged] > 0).sum())
        seen += int((now - before)[judged].sum())
        before = np.where(done, 0, now)
    seconds = n_steps / world.metadata["render_fps"] * judged.sum()
    share = f"{with_touch / max(ended, 1):.0%}"
    per_minute = goals / (n_steps / world.metadata["render_fps"] / 60 * args.matches)
    return [f"{seen / seconds * 10:.2f}", f"{per_minute:.2f}", share]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("speed").add_argument
    add("--sides", nargs="+", default=["zoo", "learner", "sb3"])
    add("--threads", type=int, default=0)
    add("--rounds", type=int, default=3)
    add = commands.add_parser("train").add_argument
    add("side")
    add("--threads", type=int, default=0)
    add = commands.add_parser("env").add_argument
    add("--matches", type=int, default=16)
    add = commands.add_parser("touches").add_argument
    add("models", nargs="*", type=Path)
    add("--matches", type=int, default=32)
    add("--minutes", type=float, default=30.0, help="of play, all matches together")
    add("--opponent", choices=["itself", "random"], default="itself")
    add("--stochastic", action="store_true")
    add("--env-kwargs", type=_pair, nargs="*", default=[], metavar="KEY:VALUE")
    args = parser.parse_args(sys.argv[1:] or ["speed"])
    if args.command == "train":
        train(args.side)
    else:
        {"speed": speed, "env": env, "touches": touches}[args.command](args)


def _pair(text: str) -> tuple[str, Any]:
    import ast

    key, value = text.split(":", 1)
    return key, ast.literal_eval(value)


if __name__ == "__main__":
    main()
