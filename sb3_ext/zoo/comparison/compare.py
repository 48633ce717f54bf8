"""``zoo.py compare``: runs what is missing of a grid, or takes runs that exist, and reports."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from sb3_ext.zoo import runs
from sb3_ext.zoo.comparison import asked
from sb3_ext.zoo.comparison.grid import Grid, check_new, next_folder, open_grid
from sb3_ext.zoo.errors import RunError, ZooError
from sb3_ext.zoo.history import History, find_runs, read_history

PARENT = Path("logs/compare")
WRONG_INPUT = 2


def compare(args: argparse.Namespace) -> int:
    """Runs a grid and reports, or reports over runs that exist.

    Returns:
        The exit code: 0; 1 if a run failed; 130 after Ctrl-C.

    Raises:
        ZooError: If anything the user gave does not fit; nothing is left behind.
        RunError: If no run came to its end.
    """
    asked.check_statistics()
    asked.check_once(args)
    return _report_over_runs(args) if args.runs else _run_grid(args)


def _report_over_runs(args: argparse.Namespace) -> int:
    for_training = [*args.train_flags, *([] if args.n_jobs is None else ["--n-jobs"])]
    if for_training:
        raise ZooError(f"{for_training[0]}: --from trains nothing, so that no run could take it")
    histories = _chosen(args, [read_history(folder) for folder in find_runs(args.runs)])
    left_out = [f"{history.folder} {history.flaw}" for history in histories if history.flaw]
    whole = [history for history in histories if not history.flaw]
    if not whole:
        raise ZooError(f"--from: nothing to report: {left_out[0]}")
    folder = Path(args.output) if args.output else next_folder(PARENT, "report")
    if not (folder / "report.html").is_file():
        check_new(folder)
    _write_report(args, folder, whole, left_out)
    return 0


def _chosen(args: argparse.Namespace, histories: list[History]) -> list[History]:
    """The runs that --algos, --env and --seeds leave."""
    env_ids = [env.rpartition(":")[2] for env in args.env]
    filters: list[tuple[str, list[Any], Any]] = [
        ("algos", args.algos, lambda history: history.algo),
        ("env", env_ids, lambda history: history.env_id),
        ("seeds", asked.read_seeds(args.seeds) if args.seeds else [], lambda run: run.seed),
    ]
    for flag, values, of in filters:
        there = {str(of(history)) for history in histories}
        for value in values:
            if str(value) not in there:
                raise ZooError(
                    f"--{flag}: none of these runs is of {value} (they are of "
                    f"{', '.join(sorted(there))})"
                )
        histories = [history for history in histories if not values or of(history) in values]
    return histories


def _run_grid(args: argparse.Namespace) -> int:
    n_jobs = asked.read_n_jobs(args)
    plan = asked.read_plan(args)
    asked.read_thresholds(args.threshold, plan.env_ids)
    grid = open_grid(plan, args.output, PARENT)
    traces = runs.Traces()
    traces.own(grid.folder, made=not grid.folder.exists())
    try:
        grid.open()
    except ZooError:
        traces.clear()
        raise
    lock = grid.exclusively()  # from here on what is new in the folder is this process's
    try:
        return _run_and_report(args, grid, n_jobs)
    finally:
        lock.release()
        if grid.is_empty():
            traces.clear()


def _run_and_report(args: argparse.Namespace, grid: Grid, n_jobs: int) -> int:
    from sb3_ext.zoo.comparison.progress import GridProgress
    from sb3_ext.zoo.comparison.running import Runner

    cells = grid.plan.cells
    missing = [cell for cell in cells if grid.finished(cell) is None]
    if args.verbose > 0:
        _announce(grid, len(missing), n_jobs)
    progress = GridProgress(grid, len(missing), quiet=args.verbose < 1)
    try:
        course = Runner(grid, missing, n_jobs, progress).run()
    finally:
        progress.close()
    done = [run for cell in cells if (run := grid.finished(cell)) is not None]
    if course.interrupted:
        told = f"interrupted: {len(done)} of {len(cells)} runs are done; the same command goes on"
        print(told, file=sys.stderr)
        return 130
    if not done:
        first = course.failures[0]
        refused = all(failure.code == WRONG_INPUT for failure in course.failures)
        kind = ZooError if refused else RunError
        raise kind(f"no run came to its end; {first.cell.title}: {first.reason}")
    failures = [
        f"{failure.cell.title}: {failure.reason}; what it printed is in {failure.log}"
        for failure in course.failures
    ]
    jobs = f"{n_jobs} run{'s' if n_jobs > 1 else ''} at a time on {asked.n_cores()} cores"
    _write_report(args, grid.folder, [read_history(run.folder) for run in done], failures, jobs)
    if args.verbose > 0:
        print(f"side by side: tensorboard --logdir {grid.tensorboard}")
    if failures:
        told = f"{len(failures)} of {len(cells)} runs failed (the report says why); "
        print(f"{told}the same command tries them again", file=sys.stderr)
    return 1 if failures else 0


def _announce(grid: Grid, n_missing: int, n_jobs: int) -> None:
    n = len(grid.plan.cells)
    done = f", {n - n_missing} of them done already" if n_missing < n else ""
    threads = f"{grid.plan.n_threads} threads" if grid.plan.n_threads > 1 else "one thread"
    print(f"{n} runs{done}, {n_jobs} at a time, {threads} each -> {grid.folder}", flush=True)


def _write_report(
    args: argparse.Namespace,
    folder: Path,
    histories: list[History],
    left_out: list[str],
    jobs: str = "",
) -> None:
    from sb3_ext.zoo.comparison.groups import group
    from sb3_ext.zoo.comparison.measures import compare as measure
    from sb3_ext.zoo.comparison.report import Circumstances, as_text, write_report

    groups = group(sorted(histories, key=lambda history: _place(args, history)))
    env_ids = list(dict.fromkeys(group.env_id for group in groups))
    comparison = measure(groups, args.curves, asked.read_thresholds(args.threshold, env_ids))
    command = shlex.join(["python", "zoo.py", "compare", *args.argv])
    path = write_report(comparison, folder, Circumstances(command, jobs, left_out))
    if args.verbose > 0:
        print(as_text(comparison))
        print(f"report: {path} (with its pictures and CSV files beside it)")


def _place(args: argparse.Namespace, history: History) -> tuple[int, int]:
    """Runs in the order in which the command names them; those it does not name as found."""
    envs = [env.rpartition(":")[2] for env in args.env]
    return (
        envs.index(history.env_id) if history.env_id in envs else len(envs),
        args.algos.index(history.algo) if history.algo in args.algos else len(args.algos),
    )
