"""`python -m envs.osu_mania.client`: plays maps in a window, and serves the game's state."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from envs.osu_mania.beatmap import BeatmapError
from envs.osu_mania.client.identity import PORT
from envs.osu_mania.maps import GeneratedMaps, Maps, listed_maps


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the client.

    Returns:
        The process's exit code: 0, or 2 where something given makes no sense.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    # What is sent to a child in a test or by an init system ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(args)
    except (BeatmapError, ValueError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m envs.osu_mania.client",
        description="Plays osu!mania maps in a window and serves the game's state on loopback.",
    )
    add = parser.add_argument
    add("maps", nargs="*", metavar="MAP", help=".osu or .osz files or folders (default: generated)")
    add("--keys", type=int, metavar="N", help="only maps of so many columns")
    add("--port", type=int, default=PORT, metavar="N", help="of the state (0: a free one)")
    add("--server", choices=("tosu", "gosumemory"), default="tosu", help="whose messages it serves")
    add("--refresh", type=float, default=100.0, metavar="MS", help="between two states (100)")
    add(
        "--precise-refresh",
        type=float,
        default=10.0,
        metavar="MS",
        help="between two of v2's precise messages (10)",
    )
    add(
        "--not-ready", type=float, default=0.0, metavar="S", help="serve 'not ready' first, so long"
    )
    add("--ruleset", choices=("stable", "lazer"), default="stable", help="rules of judgement")
    add("--rate", type=float, default=1.0, metavar="X", help="speed of the song: 1.5, 0.75, ...")
    add("--can-fail", action="store_true", help="a play ends when the health is used up")
    add("--lead-in", type=float, default=2000.0, metavar="MS", help="before the first object")
    add(
        "--auto",
        type=float,
        metavar="S",
        help="play map after map, with every other screen shown for so long",
    )
    add("--plays", type=int, metavar="N", help="close after so many plays")
    add("--fps", type=float, default=60.0, metavar="N", help="frames per second")
    add("--height", type=int, default=588, metavar="PX", help="the window's height")
    add("--scroll-speed", type=float, default=20.0, metavar="X", help="1 to 40, as in the game")
    add("--silent", action="store_true", help="no click track")
    add("--record", metavar="FILE", help="append each play's results to this file, a JSON per line")
    return parser


def _run(args: argparse.Namespace) -> int:
    from envs.osu_mania.client.game import Choices, Performance
    from envs.osu_mania.client.server import HOST, StateServer
    from envs.osu_mania.client.window import Client, Look

    maps = _maps(args)
    choices = Choices(args.ruleset, args.rate, args.can_fail, args.lead_in, args.auto, args.plays)
    look = Look(args.height, args.fps, args.scroll_speed, not args.silent)
    # Threads that serve the state take turns with the one that takes the keys.
    sys.setswitchinterval(0.0005)
    client = Client(maps, choices, look, tell=_tell)
    ready_at = time.perf_counter() + args.not_ready
    server = StateServer(
        lambda: client.report if time.perf_counter() >= ready_at else None,
        args.port,
        args.server,
        args.refresh,
        args.precise_refresh,
    )
    _tell(f"serving {args.server}'s state on http://{HOST}:{server.port}")

    def on_result(performance: Performance) -> None:
        results = performance.results()
        _tell(f"{results['map']}: {100 * results['accuracy']:.2f} %, {results['score']}")
        if args.record:
            with Path(args.record).open("a", encoding="utf-8") as file:
                file.write(json.dumps(results) + "\n")

    try:
        client.run(on_result)
    finally:
        server.close()
        client.close()
    return 0


def _maps(args: argparse.Namespace) -> list:
    if args.maps:
        found: Maps = listed_maps(args.maps, args.keys)
    else:
        keys = 4 if args.keys is None else args.keys
        found = GeneratedMaps(8, 1, keys, ("mixed",), (1.0, 3.0), 30.0, 8.0, 5.0)
    return [found[index] for index in range(len(found))]


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
