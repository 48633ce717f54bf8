"""The commands: each module has ``build_parser()`` and ``run(args) -> exit code``.

They import what they run inside ``run``, so that ``--help`` answers at once.
"""

# Name -> what `zoo.py --help` says of it.
SUMMARIES = {
    "train": "(default) train an agent:   zoo.py --algo ppo --env SimpleAim-v0",
    "enjoy": "watch a trained agent:      zoo.py enjoy --algo ppo --env SimpleAim-v0",
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
