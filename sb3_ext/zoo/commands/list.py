"""``zoo.py list``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.flags import Parser


def build_parser() -> Parser:
    """The flags."""
    return Parser(
        prog="zoo.py list", description="Shows algorithms, worlds, tuned entries and presets."
    )


def run(args: argparse.Namespace) -> int:
    """Prints the lists."""
    from sb3_ext.zoo.listing import show

    return show(args)
