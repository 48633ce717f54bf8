"""The reference client as tests run it."""

import json
import os
import subprocess
import sys
import time


class RunningClient:
    """The reference client in a process of its own, on some display."""

    def __init__(self, display, folder, maps, *options):
        self.folder = folder
        self.display = display
        paths = []
        for index, beatmap in enumerate(maps):
            paths.append(folder / f"map{index}.osu")
            beatmap.write(paths[-1])
        command = [sys.executable, "-m", "envs.osu_mania.client", *map(str, paths), "--port", "0"]
        environment = {**os.environ, "DISPLAY": display, "SDL_AUDIODRIVER": "dummy"}
        environment.pop("SDL_VIDEODRIVER", None)
        self.process = subprocess.Popen(
            [*command, "--record", str(folder / "plays.jsonl"), *options],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        line = self.process.stdout.readline()
        assert "serving" in line, f"the client did not start: {line!r}"
        self.port = int(line.rpartition(":")[2])

    def kill(self):
        """Ends it without a word."""
        self.process.kill()
        self.process.wait(20)

    def plays(self, number, timeout=30.0):
        """The results of the first plays, once there are so many."""
        until = time.monotonic() + timeout
        path = self.folder / "plays.jsonl"
        while time.monotonic() < until:
            lines = path.read_text().splitlines() if path.exists() else []
            if len(lines) >= number:
                return [json.loads(line) for line in lines]
            time.sleep(0.02)
        raise AssertionError(f"no {number} plays within {timeout} s")

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()
