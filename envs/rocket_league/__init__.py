"""Rocket League: matches on RocketSim, the game's physics without the game, through RLGym 2.

Needs RLGym and RocketSim, and no game: the arena's meshes come with RLGym.
"""

INSTALL = "pip install --no-deps rlgym-api rlgym-rocket-league rocketsim"
"""RLGym asks for NumPy 1 and runs on NumPy 2 as well: so without its dependencies, which are there.
"""

try:
    import rlgym.rocket_league.sim  # noqa: F401 (RocketSim comes with it)
except ImportError as error:
    raise ImportError(f"Rocket League needs RLGym and RocketSim: {INSTALL}") from error

from envs.rocket_league.vector_env import RocketLeagueVectorEnv  # noqa: E402 (they need it)

__all__ = ["INSTALL", "RocketLeagueVectorEnv"]
