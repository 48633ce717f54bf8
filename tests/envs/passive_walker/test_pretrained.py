"""The gait that is shipped walks as docs/passive-walker.md says."""

from pathlib import Path

from envs import passive_walker
from envs.passive_walker import gait, trials
from sb3_ext import PPO

MODEL = Path(passive_walker.__file__).parent / "pretrained" / "efficient.npz"


def test_it_walks_on_gravity_and_does_not_limp():
    assert MODEL.stat().st_size < 2**20
    model = PPO.load(MODEL, device="cpu")
    episodes = trials.play(
        lambda observations: model.predict(observations, deterministic=True)[0], 10, seed=1000
    )
    assert {episode.end for episode in episodes} == {"time limit"}
    for episode in episodes:
        measures = gait.measure(episode.walk)
        assert measures.steps > 25
        assert measures.hip_cost_of_transport < 0.02
        assert measures.asymmetry < 0.1
