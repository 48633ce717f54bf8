"""osu!mania: beatmaps, the game's rules, a vectorized simulator and its environments.

Nothing is imported here: `envs` registers `OsuMania-v0` by strings, and each module stands for
itself. docs/osu-mania.md has the rules and the environments, module by module:

    beatmap     .osu files in and out
    judgement   hit windows, and what a press, a release and the passing of time do
    scoring     combo, accuracy, score and health
    generate    maps from a seed
    maps        where an environment's maps come from
    simulator   rows of plays, stepped together by interchangeable kernels
    observation what an agent sees
    rewards     what it is paid for
    replay      .osr files in and out
    env         the Gymnasium environments
"""
