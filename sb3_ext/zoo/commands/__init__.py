"""The commands: each module has ``build_parser()`` and ``run(args) -> exit code``.

They import what they run inside ``run``, so that ``--help`` answers at once.
"""

# Name -> what `zoo.py --help` says of it.
SUMMARIES = {
    "train": "(default) train an agent:   zoo.py --algo ppo --env SimpleAim-v0",
    "enjoy": "watch a trained agent:      zoo.py enjoy --algo ppo --env SimpleAim-v0",
    "record": "a video of an agent:       zoo.py record --env SimpleAim-v0 -o aim.gif",
    "pipeline": "train, evaluate, show:     zoo.py pipeline --env SimpleAim-v0",
    "compare": "algorithms over seeds:      zoo.py compare --algos ppo ppo_numpy --env CartPole-v1",
    "plot": "runs' curves as a picture: zoo.py plot logs/ppo/SimpleAim-v0_1",
    "tune": "search hyperparameters:    zoo.py tune --algo ppo --env SimpleAim-v0",
    "diff": "first difference of two:   zoo.py diff ppo ppo_numpy --env SimpleAim-v0",
    "reproduce": "train a run again, compare: zoo.py reproduce logs/ppo/SimpleAim-v0_1",
    "export": "an agent in another file:   zoo.py export --env SimpleAim-v0 --to onnx",
    "list": "algorithms, worlds, tuned entries and presets",
}


def overview() -> str:
    """The head of ``zoo.py --help``."""
    lines = [f"  {name:<10}{text}" for name, text in SUMMARIES.items()]
    return "\n".join(
        [
            "Trains, plays, tunes and compares agents, with RL Zoo's flags and files.",
            "",
            "commands:",
            *lines,
            "",
            "`zoo.py COMMAND --help` shows the flags of a command; those of train follow.",
        ]
    )
