"""A scripted player comes to what the simulator says of the same inputs; so do its events."""

import pytest

from benchmarks.osu_live import judge_script, make_script, play_script
from envs.osu_mania.generate import make_map


@pytest.mark.slow
def test_the_same_inputs_come_to_the_same_accuracy(shared_display, run_client, keyboard):
    beatmap = make_map(5, 4, "mixed", 2.0, 3.0, overall_difficulty=5.0)
    script = make_script(beatmap, 0)
    expected = judge_script(beatmap, script)
    assert 0.5 < expected.accuracy < 0.95  # it errs on purpose
    options = ("--auto", "0.2", "--refresh", "10", "--silent", "--lead-in", "1500")
    client = run_client(shared_display, [beatmap], *options)
    differences = []
    # A busy machine may keep a key waiting: the best of three.
    while len(differences) < 3 and not (differences and min(differences) <= 0.01):
        n_before = len(client.plays(0))
        play_script(script, client.port)
        results = client.plays(n_before + 1)[-1]
        arrived = [(column, down) for _, column, down in results["touches"]]
        assert arrived == [(column, down) for _, column, down in script]
        differences.append(abs(results["accuracy"] - expected.accuracy))
    assert min(differences) <= 0.01
    assert keyboard.down() == []
