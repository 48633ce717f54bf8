"""Callbacks for any stable-baselines3 algorithm: watch, log, save, evaluate, steer and stop."""

from callbacks.checkpoint import CheckpointCallback, save_atomically
from callbacks.curves import CurveCallback, draw_curve
from callbacks.early_stop import SolvedCallback
from callbacks.evaluation import EvaluationCallback
from callbacks.keys import KeysCallback
from callbacks.live_view import LiveViewCallback
from callbacks.progress import ProgressCallback
from callbacks.throughput import ThroughputCallback
from callbacks.wandb import WandbCallback

__all__ = [
    "CheckpointCallback",
    "CurveCallback",
    "EvaluationCallback",
    "KeysCallback",
    "LiveViewCallback",
    "ProgressCallback",
    "SolvedCallback",
    "ThroughputCallback",
    "WandbCallback",
    "draw_curve",
    "save_atomically",
]
