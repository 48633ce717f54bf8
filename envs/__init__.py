"""The worlds, registered with Gymnasium on import.

`gym.make("envs:SimpleAim-v0")` imports this package by itself. Nothing else is imported here:
entry points are strings, so that a world's own dependencies load with the world.
"""

from gymnasium.envs.registration import register, registry


def _register_world(
    env_id: str, world: str, max_episode_steps: int, reward_threshold: float
) -> None:
    """Registers a `World`, named `"module:Class"`, with both of its adapters."""
    if env_id not in registry:
        register(
            env_id,
            entry_point="envs.gym_env:WorldEnv",
            vector_entry_point="envs.vector_env:WorldVectorEnv",
            max_episode_steps=max_episode_steps,
            reward_threshold=reward_threshold,
            kwargs={"world": world},
        )


_register_world("SimpleAim-v0", "envs.simple_aim:SimpleAim", 200, reward_threshold=380.0)
_register_world("TargetReach-v0", "envs.target_reach:TargetReach", 50, reward_threshold=8.2)

if "PassiveWalker-v0" not in registry:
    register(
        "PassiveWalker-v0",
        entry_point="envs.passive_walker.env:PassiveWalkerEnv",
        vector_entry_point="envs.passive_walker.vector_env:PassiveWalkerVectorEnv",
    )

if "OsuMania-v0" not in registry:
    # A map ends by itself: there is no time limit.
    register(
        "OsuMania-v0",
        entry_point="envs.osu_mania.env:OsuManiaEnv",
        vector_entry_point="envs.osu_mania.vector_env:OsuManiaVectorEnv",
    )

if "OsuManiaLive-v0" not in registry:
    # One window, one keyboard: it has no vector form, and a play ends by itself.
    register("OsuManiaLive-v0", entry_point="envs.osu_mania.live.env:OsuManiaLiveEnv")

if "RocketLeague-v0" not in registry:
    # A match has a row for each car: it has no single form, and ends by itself.
    register("RocketLeague-v0", vector_entry_point="envs.rocket_league:RocketLeagueVectorEnv")

if "MusicalChairs-v0" not in registry:
    # Nor has this one, where each player is a row.
    register(
        "MusicalChairs-v0",
        vector_entry_point="envs.musical_chairs:MusicalChairsVectorEnv",
        max_episode_steps=50,
    )
