"""osu!mania live in the reference client's window: real capture, real keys, real game state.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/osu_live.py agent
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/osu_live.py scripted
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/osu_live.py latency
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/osu_live.py ocr

Each starts an X server of its own (Xvfb) and the client in it.

`agent` lets the shipped pixel agent, or the one that `--model` names, play maps that it hasn't
seen, in the simulator and live; then how long the parts of a step took, and how many deadlines were
missed.

`scripted` plays maps through XTest from a script of presses and releases with planned errors, and
compares the accuracy with the simulator's for the same inputs, and what arrived with what was sent.

`latency` is the time from a key's press until the captured picture shows it.

`ocr` compares two loops that capture the window and want to know score and combo: one reads them
off the picture with tesseract (Debian's tesseract-ocr), the other has the game's own state.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import mss
import numpy as np

try:
    import envs
except ModuleNotFoundError:  # run from a checkout that isn't installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import envs
from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.client.identity import NOTE_AREA, WINDOW_CLASS
from envs.osu_mania.generate import make_map
from envs.osu_mania.key_layouts import LAYOUTS
from envs.osu_mania.live.capture import Capture
from envs.osu_mania.live.desktop import Windows, open_windows
from envs.osu_mania.live.errors import StoppedError
from envs.osu_mania.live.hands import Hands
from envs.osu_mania.live.readers import StateReader
from envs.osu_mania.live.song_time import SongTime
from envs.osu_mania.session import Session

gym.register_envs(envs)

Touch = tuple[float, int, bool]
"""Song time in ms, column, whether down."""


class Client:
    """The reference client in a process of its own, and the display that it's on."""

    def __init__(self, folder: Path, maps: Sequence[Beatmap], *options: str) -> None:
        self._records = folder / "plays.jsonl"
        paths = [folder / f"map{index}.osu" for index in range(len(maps))]
        for path, beatmap in zip(paths, maps, strict=True):
            beatmap.write(path)
        command = [sys.executable, "-m", "envs.osu_mania.client", *map(str, paths)]
        self._process = subprocess.Popen(
            [*command, "--port", "0", "--silent", "--record", str(self._records), *options],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(":")[2])

    def plays(self) -> list[dict[str, Any]]:
        """The results of the plays so far."""
        if not self._records.exists():
            return []
        return [json.loads(line) for line in self._records.read_text().splitlines()]

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait(10)


@contextlib.contextmanager
def display() -> Iterator[None]:
    """An X server of our own, in DISPLAY while this lasts."""
    read, write = os.pipe()
    options = ["-screen", "0", "1280x900x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), *options],
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    before = dict(os.environ)
    os.environ.update(DISPLAY=f":{number}", SDL_AUDIODRIVER="dummy")
    os.environ.pop("SDL_VIDEODRIVER", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.terminate()
        server.wait(10)


@contextlib.contextmanager
def running(maps: Sequence[Beatmap], *options: str) -> Iterator[Client]:
    """A client on a display of its own."""
    with display(), tempfile.TemporaryDirectory() as folder:
        client = Client(Path(folder), maps, *options)
        try:
            yield client
        finally:
            client.close()


def unseen_maps(count: int, seconds: float) -> list[Beatmap]:
    """Maps of the generator that no agent was trained on."""
    patterns = ("mixed", "stream", "jack", "hold", "chord", "jump")
    return [make_map(2**40 + index, 4, patterns[index % 6], 2.5, seconds) for index in range(count)]


def find_window(windows: Windows) -> int:
    """The client's window, once it's there."""
    until = time.monotonic() + 30.0
    while True:
        try:
            return windows.find(WINDOW_CLASS)
        except StoppedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


# The agent


def agent(arguments: argparse.Namespace) -> None:
    """Prints an agent's accuracy in the simulator and live, and the latencies of the live loop."""
    import torch

    from sb3_ext import NumpyPPO

    torch.set_num_threads(1)
    model = NumpyPPO.load(arguments.model, device="cpu")
    frame_size = model.observation_space.shape[1:]
    maps = unseen_maps(arguments.maps, arguments.seconds)
    simulated = {
        delay: [simulate(model, beatmap, frame_size, delay) for beatmap in maps]
        for delay in (0.0, 20.0)
    }
    infos = []
    with running(maps, "--auto", "2", "--fps", str(arguments.fps)) as client:
        options = {"frame_size": frame_size, "port": client.port}
        env = gym.make("OsuManiaLive-v0", offline=True, live=True, **options).unwrapped
        for _ in maps:
            observation, _ = env.reset()
            over = False
            while not over:
                action, _ = model.predict(observation, deterministic=True)
                observation, _, terminated, truncated, info = env.step(action)
                over = terminated or truncated
            infos.append(info)
        timings, (missed, steps) = env.timings.milliseconds(), env.missed_deadlines
        env.close()
    print(
        "| map | objects | simulator | simulator, keys 20 ms late | live |\n|---|---|---|---|---|"
    )
    for beatmap, at_once, late, info in zip(maps, *simulated.values(), infos, strict=True):
        cells = (at_once, late, info["accuracy"])
        shown = " | ".join(f"{100 * cell:.2f} %" for cell in cells)
        stopped = f" ({info['stopped']})" if info["stopped"] else ""
        print(f"| {beatmap.title} {beatmap.version} | {beatmap.n_objects} | {shown}{stopped} |")
    print(f"\nmissed deadlines: {missed} of {steps} ({100 * missed / steps:.2f} %)\n")
    print_percentiles(timings)


def simulate(model: Any, beatmap: Beatmap, frame_size: Sequence[int], delay: float) -> float:
    """An agent's accuracy on a map in the simulator."""
    env = gym.make(
        "OsuMania-v0",
        maps=beatmap,
        observation="highway",
        frame_size=frame_size,
        action_delay=delay,
    )
    observation, _ = env.reset(seed=0)
    over = False
    while not over:
        action, _ = model.predict(observation, deterministic=True)
        observation, _, over, _, info = env.step(action)
    return float(info["accuracy"])


def print_percentiles(timings: dict[str, tuple[float, ...]]) -> None:
    """A table of p50, p95 and p99."""
    print("| ms | p50 | p95 | p99 |\n|---|---|---|---|")
    for name, values in timings.items():
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |")


# The scripted player


def make_script(beatmap: Beatmap, seed: int) -> list[Touch]:
    """Presses and releases of a player who errs on purpose.

    The errors lie in the middle of the hit windows of OD 5, so that a delay of a few ms changes no
    judgement.
    """
    rng = np.random.default_rng(seed)
    planned = np.array([0.0, 0.0, 0.0, 32.0, -32.0, 66.0, -66.0])
    touches: list[Touch] = []
    for column in range(beatmap.keys):
        own = np.flatnonzero(beatmap.columns == column)
        free = -np.inf
        for k, index in enumerate(own):
            following = beatmap.starts[own[k + 1]] if k + 1 < len(own) else np.inf
            press = max(beatmap.starts[index] + rng.choice(planned), free)
            end = beatmap.ends[index] + rng.choice(planned) if beatmap.holds[index] else press + 40
            release = min(max(end, press + 20.0), following - 90.0)
            touches += [(float(press), column, True), (float(release), column, False)]
            free = release + 20.0
    return sorted(touches)


def judge_script(beatmap: Beatmap, script: Sequence[Touch]) -> Session:
    """What the simulator's rules make of a script."""
    session, keys = Session(beatmap), [False] * beatmap.keys
    for touched, column, down in script:
        keys[column] = down
        session.set_keys(keys, touched)
    session.finish()
    return session


def play_script(script: Sequence[Touch], port: int) -> None:
    """Waits for a play that begins, and presses and releases what the script says."""
    windows, reader, song = open_windows(), StateReader(port), SongTime()
    hands = Hands(LAYOUTS[4], "f10", 30.0)
    window, number = find_window(windows), -1

    def song_time() -> float:
        nonlocal number
        reading = reader.read()
        if reading.state is not None and reading.number != number:
            number = reading.number
            song.update(reading.state.time, reading.state.rate, reading.received)
        return song.at(time.monotonic())

    try:
        while True:
            state = reader.read().state
            if state is not None and state.number == 2 and song_time() < script[0][0] - 100.0:
                break
            song_time()
            time.sleep(0.005)
        keys = [False] * 4
        for touched, column, down in script:
            while song_time() < touched:
                time.sleep(0.0003)
                hands.set(keys, lambda: windows.has_focus(window))  # which says that all is well
            keys[column] = down
            hands.set(keys, lambda: windows.has_focus(window))
    finally:
        hands.close()
        reader.close()
        windows.close()


def scripted(arguments: argparse.Namespace) -> None:
    """Prints the accuracy of scripts in the simulator and live."""
    print("| map | touches | in order | simulator | live | difference |\n|---|---|---|---|---|---|")
    for seed in range(arguments.maps):
        beatmap = make_map(seed, 4, "mixed", 2.0, arguments.seconds, overall_difficulty=5.0)
        script = make_script(beatmap, seed)
        expected = judge_script(beatmap, script).accuracy
        with running([beatmap], "--auto", "1", "--refresh", "10") as client:
            play_script(script, client.port)
            while not client.plays():
                time.sleep(0.05)
            (results,) = client.plays()
        arrived = [(column, down) for _, column, down in results["touches"]]
        in_order = arrived == [(column, down) for _, column, down in script]
        cells = (
            f"{100 * expected:.2f} % | {100 * results['accuracy']:.2f} % | "
            f"{100 * (results['accuracy'] - expected):+.2f} %"
        )
        print(f"| {beatmap.title} | {len(script)} | {'yes' if in_order else 'NO'} | {cells} |")


# From a press to its picture


def latency(arguments: argparse.Namespace) -> None:
    """Prints how long it takes until a press is seen."""
    beatmap = make_map(1, 4, "stream", 1.0, 5.0)
    timings = {}
    for fps in (60, 120, 240):
        with running([beatmap], "--auto", "0", "--lead-in", "60000", "--fps", str(fps)) as client:
            timings[f"press to pixel, client at {fps} fps"] = press_to_pixel(client, arguments.n)
    print_percentiles(timings)


def press_to_pixel(client: Client, presses: int) -> tuple[float, ...]:
    """Percentiles of the time from a press until a capture shows the lit key, ms."""
    windows, reader, capture = open_windows(), StateReader(client.port), Capture((84, 84))
    hands, window = Hands(LAYOUTS[4], "f10", 30.0), find_window(windows)
    while (state := reader.read().state) is None or state.number != 2:
        time.sleep(0.01)
    inside = windows.area(window)
    assert inside is not None
    # A few pixels in the zone below the line of the first column are enough to look at
    spot = inside.part(NOTE_AREA).part((0.1, 0.95, 0.02, 0.02))
    took, rng = [], np.random.default_rng(0)
    try:
        for down in [True, False] * presses:
            before = capture.frame(spot).mean()
            start = time.perf_counter()
            hands.set([down, False, False, False], lambda: windows.has_focus(window))
            while abs(capture.frame(spot).mean() - before) < 50:
                pass
            if down:
                took.append(1000.0 * (time.perf_counter() - start))
            time.sleep(0.03 + 0.02 * rng.random())
    finally:
        hands.close()
        capture.close()
        reader.close()
        windows.close()
    return tuple(float(p) for p in np.percentile(took, (50, 95, 99)))


# Tesseract


def ocr(arguments: argparse.Namespace) -> None:
    """Prints loops per second with tesseract, and with the game's state."""
    if shutil.which("tesseract") is None:
        sys.exit("ocr needs tesseract: apt-get install tesseract-ocr")
    beatmap = make_map(1, 4, "stream", 2.0, 60.0)
    with running([beatmap], "--auto", "0") as client:
        windows, reader = open_windows(), StateReader(client.port)
        window = find_window(windows)
        while (state := reader.read().state) is None or state.number != 2 or state.time < 2000:
            time.sleep(0.01)
        inside = windows.area(window)
        assert inside is not None
        panel = inside.part((0.735, 0.0, 0.26, 1.0))
        fields = {"score": panel.part((0.0, 0.085, 1.0, 0.07)),
                  "combo": panel.part((0.0, 0.205, 1.0, 0.07))}  # fmt: skip
        area = inside.part(NOTE_AREA)
        capture, screen = Capture((84, 84)), mss.MSS()
        keys = XTestPresses(windows, window)  # so that there is something to read
        rates, right, n_read = {}, 0, 0
        for name in ("tesseract", "game state"):
            loops, start = 0, time.perf_counter()
            while time.perf_counter() - start < arguments.seconds:
                capture.frame(area)
                if name == "tesseract":
                    before = reader.read().state
                    found = {
                        f: tesseract(np.asarray(screen.grab(fields[f]._asdict()))) for f in fields
                    }
                    after = reader.read().state
                    for field, text in found.items():
                        values = {str(getattr(before, field)), str(getattr(after, field))}
                        right, n_read = right + (text in values), n_read + 1
                else:
                    reading = reader.read()
                    _ = reading.state.score, reading.state.combo
                loops += 1
                keys.touch()
            rates[name] = loops / (time.perf_counter() - start)
        keys.close()
        for thing in (capture, screen, reader, windows):
            thing.close()
    print("| loop | loops/s | numbers that were right |\n|---|---|---|")
    print(f"| capture and tesseract | {rates['tesseract']:.1f} | {right} of {n_read} |")
    print(f"| capture and the game's state | {rates['game state']:.0f} | all |")


class XTestPresses:
    """Presses keys now and then."""

    def __init__(self, windows: Windows, window: int) -> None:
        self._hands, self._windows, self._window = Hands(LAYOUTS[4], "f10", 30.0), windows, window
        self._next, self._down = 0.0, False

    def touch(self) -> None:
        """Presses or releases all keys, four times a second."""
        if time.monotonic() > self._next:
            self._next, self._down = time.monotonic() + 0.12, not self._down
            self._hands.set([self._down] * 4, lambda: self._windows.has_focus(self._window))

    def close(self) -> None:
        """Releases them."""
        self._hands.close()


def tesseract(picture: np.ndarray) -> str:
    """The digits in a line of light text on dark ground."""
    grey = 255 - cv2.cvtColor(picture, cv2.COLOR_BGRA2GRAY)
    larger = cv2.copyMakeBorder(grey, 10, 10, 10, 10, cv2.BORDER_REPLICATE)
    _, png = cv2.imencode(".png", larger)
    options = ["--psm", "7", "-c", "tessedit_char_whitelist=0123456789"]
    read = subprocess.run(
        ["tesseract", "stdin", "stdout", *options],
        input=png.tobytes(),
        capture_output=True,
        check=True,
    )
    return read.stdout.decode().strip()


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("agent", help="an agent's accuracy, and the loop's latencies")
    shipped = Path(envs.__file__).parent / "osu_mania" / "pretrained" / "pixels.npz"
    command.add_argument("--model", default=str(shipped))
    command.add_argument("--maps", type=int, default=3)
    command.add_argument("--seconds", type=float, default=30.0, help="of each map")
    command.add_argument("--fps", type=float, default=120.0, help="of the client")
    command.set_defaults(run=agent)
    command = commands.add_parser("scripted", help="a script's accuracy")
    command.add_argument("--maps", type=int, default=3)
    command.add_argument("--seconds", type=float, default=20.0, help="of each map")
    command.set_defaults(run=scripted)
    command = commands.add_parser("latency", help="from a press to its picture")
    command.add_argument("-n", type=int, default=200, help="presses")
    command.set_defaults(run=latency)
    command = commands.add_parser("ocr", help="reading numbers off the picture")
    command.add_argument("--seconds", type=float, default=10.0, help="of each loop")
    command.set_defaults(run=ocr)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
