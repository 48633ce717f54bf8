"""Teaches a CNN to play OsuMania-v0 from frames, by imitation of a player who knows the map.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python docs/examples/osu_from_pixels.py pixels.npz

This is DAgger (Ross, Gordon and Bagnell 2011, https://arxiv.org/abs/1011.0686). The pupil, SB3's
CnnPolicy, sees the highway and plays. The teacher, `perfect_keys`, reads the simulator's state and
knows how late keys arrive, and says of each moment what to do; the pupil is fitted to that by
maximum likelihood, each moment once. It learns from what its own play leads to, so that it knows
how to go on after a mistake. A quarter of the rows is the teacher's, who also gets to places where
a beginner never is.

As on a real screen, each episode has a latency of its own, every step some jitter, and now and then
the same frame is seen twice. The pupil isn't told: it learns to play in the middle of that.

The file is a model of `sb3_ext.PPO`, which can go on from there with rewards; its critic is new.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

import envs
from envs.osu_mania.players import perfect_keys
from envs.osu_mania.rows import Rows
from sb3_ext import PPO
from sb3_ext.vec_env import GymnasiumVecEnv

gym.register_envs(envs)

WORLD: dict[str, Any] = {
    "observation": "highway",
    "frame_size": (42, 42),
    "pattern": ("stream", "jump", "jack", "chord", "hold", "mixed"),
    "difficulty": (1.0, 4.0),
    "action_delay": (0.0, 40.0),  # ms
    "action_jitter": 8.0,
    "observation_jitter": 8.0,
}
REPEATED = 0.05
"""How often a frame is seen twice."""

N_ROWS, N_TAUGHT, N_STEPS, BATCH = 64, 16, 16, 64
LEARNING_RATE = 1e-3  # falls to 0
MAX_GRAD_NORM = 0.5


def make_pupil(env: gym.vector.VectorEnv, seed: int) -> PPO:
    """A NatureCNN of 95,000 parameters; the other settings are for PPO to go on with."""
    return PPO(
        "CnnPolicy",
        GymnasiumVecEnv(env),
        n_steps=64,
        batch_size=512,
        n_epochs=3,
        gamma=0.95,
        learning_rate=3e-4,
        policy_kwargs={"features_extractor_kwargs": {"features_dim": 256}},
        backend="torch",
        device="cpu",
        seed=seed,
    )


def right_keys(rows: Rows) -> NDArray[np.bool_]:
    """What the teacher would do now in each row, `[n, K]`."""
    delay = rows.action_delay + rows.options.jitter("action") / 2  # ms of real time
    return perfect_keys(rows.simulator, delay * rows.options.rate)


class Screen:
    """What the pupil sees: the world's frames, some of them twice, `[n, stack, height, width]`."""

    def __init__(self, first: NDArray[np.uint8], seed: int) -> None:
        self.frames = first
        self._rng = np.random.default_rng(seed)

    def show(self, observation: NDArray[np.uint8], over: NDArray[np.bool_]) -> None:
        """Takes up the newest frame of an observation, or, where a map has begun, all of it."""
        again = self._rng.random(len(over)) < REPEATED
        newest = np.where(again[:, None, None], self.frames[:, -1], observation[:, -1])
        moved = np.concatenate((self.frames[:, 1:], newest[:, None]), axis=1)
        self.frames = np.where(over[:, None, None, None], observation, moved)


def teach(n_frames: int, seed: int) -> PPO:
    """Lets a pupil play and learn.

    Args:
        n_frames: How many moments it learns from.
        seed: Of the maps, the latencies, the network and the order of learning.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    env: Any = gym.make_vec("OsuMania-v0", num_envs=N_ROWS, **WORLD)
    pupil = make_pupil(env, seed)
    policy: Any = pupil.policy
    optimizer = torch.optim.Adam(policy.parameters())
    screen = Screen(env.reset(seed=seed)[0], seed)
    taught = np.arange(N_ROWS) < N_TAUGHT
    per_round = N_ROWS * N_STEPS
    n_rounds = -(-n_frames // per_round)
    start = time.perf_counter()
    for number in range(1, n_rounds + 1):
        frames, answers, wrong = [], [], 0
        for _ in range(N_STEPS):
            right = right_keys(env.rows)
            keys, _ = pupil.predict(screen.frames, deterministic=True)
            frames.append(screen.frames)
            answers.append(right)
            wrong += int(np.count_nonzero(keys[~taught] != right[~taught]))
            keys[taught] = right[taught]
            observation, _, over, _, _ = env.step(keys)
            screen.show(observation, over)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - (number - 1) / n_rounds)
        order = rng.permutation(per_round)
        learn(policy, optimizer, np.concatenate(frames)[order], np.concatenate(answers)[order])
        if number % (n_rounds // 10 or 1) == 0:
            share = wrong / (N_STEPS * (N_ROWS - N_TAUGHT) * right.shape[1])
            seconds = time.perf_counter() - start
            print(
                f"{number * per_round:>9,} frames {seconds:>4.0f} s: {share:.2%} of keys are other "
                "than the teacher's",
                flush=True,
            )
    env.close()
    return pupil


def learn(
    policy: Any, optimizer: Any, frames: NDArray[np.uint8], answers: NDArray[np.bool_]
) -> None:
    """A step of gradient descent on -log p(answer | frames) for each batch."""
    for first in range(0, len(frames), BATCH):
        chosen = slice(first, first + BATCH)
        distribution = policy.get_distribution(torch.as_tensor(frames[chosen]))
        loss = -distribution.log_prob(torch.as_tensor(answers[chosen]).float()).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), MAX_GRAD_NORM)
        optimizer.step()


def main() -> None:
    """Parses the arguments, teaches and saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="where the model goes: .npz, .safetensors or .zip")
    parser.add_argument("--frames", type=int, default=1_500_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    teach(arguments.frames, arguments.seed).save(arguments.file)


if __name__ == "__main__":
    main()
