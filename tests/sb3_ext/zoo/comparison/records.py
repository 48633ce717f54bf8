"""Runs as their files tell them, with numbers that are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

N_EVALUATIONS = 5


def write_run(
    folder: Path,
    algo: str = "ppo",
    env_id: str = "CartPole-v1",
    seed: int = 0,
    *,
    level: float = 100.0,
    config: dict[str, Any] | None = None,
    args: dict[str, Any] | None = None,
    **summary: Any,
) -> Path:
    """Writes a run whose returns rise evenly from 0 to a level within 1000 steps and 10 seconds.

    100 episodes of 10 steps end one after the other; evaluations of two episodes, a little apart,
    are at 200, 400, ... steps.
    """
    number = len(list((folder / algo).glob(f"{env_id}_*"))) + 1
    run = folder / algo / f"{env_id}_{number}"
    (run / env_id).mkdir(parents=True)
    rows = [f"{level * (i + 1) / 100},10,{(i + 1) / 10}" for i in range(100)]
    (run / "monitor.csv").write_text('#{"t_start": 50.0}\nr,l,t\n' + "\n".join(rows) + "\n")
    returns = level * np.arange(1, N_EVALUATIONS + 1) / N_EVALUATIONS
    np.savez(
        run / "evaluations.npz",
        timesteps=200 * np.arange(1, N_EVALUATIONS + 1),
        results=np.stack([returns - 1, returns + 1], axis=1),
        ep_lengths=np.full((N_EVALUATIONS, 2), 10),
    )
    (run / env_id / "config.yml").write_text(yaml.safe_dump(config or {"gamma": 0.9}))
    arguments = {"algo": algo, "env": env_id, "seed": seed} | (args or {})
    (run / env_id / "args.yml").write_text(yaml.safe_dump(arguments))
    whole = {
        "algo": algo,
        "env": env_id,
        "seed": seed,
        "steps": 1000,
        "wall_seconds": 12.0,
        "steps_per_second": 100.0,
        "interrupted": False,
        "final_mean_return": level,
        "final_mean_return_episodes": 100,
    }
    (run / "summary.json").write_text(json.dumps(whole | summary))
    return run
