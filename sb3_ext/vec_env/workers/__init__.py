"""Worker processes that step envs over one block of shared memory.

What runs in a worker imports neither stable-baselines3 nor torch, which would cost each of them
165 MB and two seconds: ``nursery``, ``worker``, ``members``, ``block`` and ``line``.
"""
