"""``zoo.py export``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.flags import Parser, add_common, add_model_choice, limit_blas_threads

FORMATS = ("onnx", "sb3", "npz", "safetensors")


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="zoo.py export",
        description="Writes a trained agent into a file that other programs read, or that holds "
        "no pickle.",
    )
    add = parser.add_argument
    add_common(parser, needs_env=False, takes_device=False)
    add_model_choice(parser, "export")
    add(
        "--to",
        required=True,
        choices=FORMATS,
        help="onnx: its most likely action as a graph; sb3: a .zip for stable-baselines3; npz, "
        "safetensors: weights and a description, no pickle",
    )
    add(
        "-o",
        "--output",
        default=None,
        metavar="FILE",
        help="where to (default: beside the model, under its name)",
    )
    add(
        "--optimizer",
        action="store_true",
        help="npz, safetensors: take the optimizer's moments along, so that training can go on",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Exports a trained agent."""
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.export import export

    return export(args)
