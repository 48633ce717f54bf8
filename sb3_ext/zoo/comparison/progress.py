"""How far a grid is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from sb3_ext.zoo import runs
from sb3_ext.zoo.comparison.grid import Cell, Grid

if TYPE_CHECKING:
    from sb3_ext.zoo.comparison.running import Failure

# What a run's own progress lines say; the bar looks so many seconds after its last look.
PERCENT = re.compile(rb"\( *(\d+)%\)")
SECONDS_BETWEEN_LOOKS = 2.0
TAIL = 4096


class GridProgress:
    """Tells which runs begin, finish and fail.

    Args:
        grid: Whose runs.
        n_runs: How many are to be run.
        quiet: Tells nothing.
    """

    def __init__(self, grid: Grid, n_runs: int, *, quiet: bool = False) -> None:
        self._grid = grid
        self._n_runs = n_runs
        self._n_ended = 0
        self._quiet = quiet
        self._looked = 0.0
        shows_bar = sys.stderr.isatty() and not quiet and n_runs > 0
        self._bar: tqdm[Any] | None = None
        if shows_bar:
            self._bar = tqdm(
                total=n_runs,
                unit="run",
                file=sys.stderr,
                dynamic_ncols=True,
                bar_format="{n:.1f}/{total} runs |{bar}| {elapsed}<{remaining} {desc}",
            )

    def began(self, cell: Cell, *, goes_on: bool) -> None:
        """A run has begun, or goes on where it was broken off."""
        if self._bar is None:
            self._say(f"{'goes on' if goes_on else 'began':<9} {cell.title}")

    def finished(self, cell: Cell, run: runs.Run) -> None:
        """A run has come to its end."""
        self._n_ended += 1
        summary = json.loads(run.summary.read_text(encoding="utf-8"))
        score = summary.get("final_mean_return")
        came_to = "" if score is None else f", return {score:.2f}"
        self._say(
            f"finished  {cell.title}: {summary['wall_seconds']:.0f} s{came_to} ({self._place})"
        )

    def failed(self, failure: Failure) -> None:
        """A run has failed."""
        self._n_ended += 1
        self._say(f"FAILED    {failure.cell.title}: {failure.reason} ({self._place})")

    def look(self, running: Iterable[Cell]) -> None:
        """Brings the bar up to date with what the runs have printed."""
        if self._bar is None or time.perf_counter() - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = time.perf_counter()
        parts = {cell: self._part(cell) for cell in running}
        told = ", ".join(f"{cell.tensorboard_name} {part:.0%}" for cell, part in parts.items())
        self._bar.set_description_str(told, refresh=False)
        self._bar.n = self._n_ended + sum(parts.values())
        self._bar.refresh()

    def close(self) -> None:
        """Ends the bar's line."""
        if self._bar is not None:
            self._bar.n = self._n_ended
            self._bar.set_description_str("")
            self._bar.close()

    @property
    def _place(self) -> str:
        return f"{self._n_ended} of {self._n_runs}"

    def _part(self, cell: Cell) -> float:
        with self._grid.log(cell).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL))
            found = PERCENT.findall(file.read())
        return min(int(found[-1]) / 100, 1.0) if found else 0.0

    def _say(self, line: str) -> None:
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)
