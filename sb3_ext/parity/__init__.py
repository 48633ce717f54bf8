"""Two implementations of PPO side by side: do they compute the same, and what differs first?

``replay.replay(a, b)`` holds one PPO against another, ours in any backend or stable-baselines3's;
``steps`` does the same for bare backends; ``contents`` compares what two saved models hold.
"""
