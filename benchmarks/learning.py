"""What two algorithms learn on RL Zoo's own entries, seed by seed, in one run.

    python benchmarks/learning.py --algos ppo ppo_numpy --seeds 10 --jobs 2 --folder runs

Each training is a ``zoo.py`` process on one thread, so that everybody gets the same wrappers,
evaluation and seeds; the algorithms take turns. What is in the folder already is not run again.
The table gives the mean final return (deterministic, 100 episodes) over the seeds, and the 90 %
interval of the difference of the two means (Welch), as a share of the first algorithm's return.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
ENVS = ("CartPole-v1", "Acrobot-v1", "Pendulum-v1", "MountainCarContinuous-v0")


def train(folder: Path, algo: str, env: str, seed: int) -> dict:
    """Trains one agent, or finds that it has been trained, and returns its summary."""
    runs = folder / f"seed_{seed}"
    summary = runs / algo / f"{env}_1" / "summary.json"
    if not summary.is_file():
        command = [sys.executable, ROOT / "zoo.py", "--algo", algo, "--env", env]
        options = ["--seed", str(seed), "-f", runs, "-tb", "", "--verbose", "0", "--vec-env"]
        never = ["dummy", "--eval-freq", "-1", "--save-freq", "-1"]
        subprocess.run(
            [*command, *options, *never], check=True, stderr=subprocess.DEVNULL, timeout=3600
        )
    return json.loads(summary.read_text())


def difference(first: list[float], second: list[float]) -> tuple[float, float]:
    """The 90 % interval of mean(second) - mean(first), by Welch's t."""
    shares = [statistics.variance(x) / len(x) for x in (first, second)]
    middle = statistics.mean(second) - statistics.mean(first)
    error = math.sqrt(sum(shares))
    if error == 0.0:
        return middle, middle
    freedom = sum(shares) ** 2 / sum(
        share**2 / (len(x) - 1) for share, x in zip(shares, (first, second), strict=True)
    )
    half = float(stats.t.ppf(0.95, freedom)) * error
    return middle - half, middle + half


def main() -> None:
    """Runs the grid and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--algos", nargs=2, default=["ppo", "ppo_numpy"])
    parser.add_argument("--envs", nargs="+", default=ENVS)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("learning"))
    args = parser.parse_args()

    grid = [(a, e, s) for e in args.envs for s in range(args.seeds) for a in args.algos]
    found: dict[tuple[str, str], list[dict]] = {}
    with ThreadPoolExecutor(args.jobs) as pool:
        summaries = pool.map(lambda cell: train(args.folder, *cell), grid)
        for (algo, env, seed), summary in zip(grid, summaries, strict=True):
            found.setdefault((algo, env), []).append(summary)
            print(f"{env} {algo} {seed}: {summary['final_mean_return']:.1f}", flush=True)

    one, two = args.algos
    print(f"\n| world | {one} | {two} | difference, 90 % interval | speed |\n|---|---|---|---|---|")
    for env in args.envs:
        first, second = ([s["final_mean_return"] for s in found[a, env]] for a in (one, two))
        low, high = difference(first, second)
        scale = abs(statistics.mean(first)) / 100.0
        rates = [
            statistics.median(s["steps_per_second"] for s in found[a, env]) for a in args.algos
        ]
        cells = [f"{statistics.mean(x):.1f} ± {statistics.stdev(x):.1f}" for x in (first, second)]
        print(
            f"| {env} | {cells[0]} | {cells[1]} | {low / scale:+.1f} % to {high / scale:+.1f} % "
            f"| {rates[1] / rates[0]:.1f}x |"
        )


if __name__ == "__main__":
    main()
