"""Callbacks for any stable-baselines3 algorithm: watch, log, save, evaluate, steer and stop."""

from callbacks.before_update import BeforeUpdateCallback
from callbacks.checkpoint import CheckpointCallback, save_atomically
from callbacks.curves import CurveCallback, draw_curve
from callbacks.early_stop import SolvedCallback
from callbacks.evaluation import EvaluationCallback
from callbacks.keys import KeysCallback
from callbacks.live_view import LiveViewCallback
from callbacks.progress import ProgressCallback
from callbacks.results import ResultsCallback
from callbacks.throughput import ThroughputCallback
from callbacks.wandb import WandbCallback

__all__ = [
    "BeforeUpdateCallback",
    "CheckpointCallback",
    "CurveCallback",
    "EvaluationCallback",
    "KeysCallback",
    "LiveViewCallback",
    "ProgressCallback",
    "ResultsCallback",
    "SolvedCallback",
    "ThroughputCallback",
    "WandbCallback",
    "draw_curve",
    "save_atomically",
]
