import pytest

from envs.osu_mania.beatmap import Beatmap
from tests.envs.osu_mania.running_client import RunningClient


@pytest.fixture
def make_beatmap():
    """A beatmap from tuples (column, start) of notes and (column, start, end) of holds."""

    def make(*objects, keys=4, od=5.0, hp=5.0, **fields):
        return Beatmap(
            keys=keys,
            columns=[o[0] for o in objects],
            starts=[o[1] for o in objects],
            ends=[o[-1] if len(o) == 3 else o[1] for o in objects],
            holds=[len(o) == 3 for o in objects],
            overall_difficulty=od,
            drain_rate=hp,
            **fields,
        )

    return make


@pytest.fixture
def run_client(tmp_path):
    """Runs the client: `run_client(display, maps, *options)`."""
    clients = []

    def run(display, maps, *options):
        folder = tmp_path / f"client{len(clients)}"
        folder.mkdir()
        clients.append(RunningClient(display, folder, maps, *options))
        return clients[-1]

    yield run
    for client in clients:
        client.close()
