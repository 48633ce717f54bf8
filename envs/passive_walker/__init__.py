"""A planar biped that walks down a slope almost by itself, in MuJoCo.

`models`: the theory, three passive walkers as ordinary differential equations. `gait`: the body's
own passive walk, and the measures of any walk. `env` and `vector_env`: PassiveWalker-v0.
"""
