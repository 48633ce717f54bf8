"""Callbacks for any stable-baselines3 algorithm: progress, curves, checkpoints, evaluation."""

from callbacks.checkpoint import CheckpointCallback, save_atomically
from callbacks.curves import CurveCallback, draw_curve
from callbacks.evaluation import EvaluationCallback
from callbacks.progress import ProgressCallback

__all__ = [
    "CheckpointCallback",
    "CurveCallback",
    "EvaluationCallback",
    "ProgressCallback",
    "draw_curve",
    "save_atomically",
]
