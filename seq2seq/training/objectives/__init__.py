"""What the updates minimise: `objective=NAME`, one file each."""

from seq2seq.training.objectives.build import build_objective
from seq2seq.training.objectives.cross_entropy import CrossEntropy
from seq2seq.training.objectives.objective import Objective

__all__ = ["CrossEntropy", "Objective", "build_objective"]
