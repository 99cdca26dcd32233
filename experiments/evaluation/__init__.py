"""How good a model is on patients that it never saw: figures with intervals, by subgroup, and pictures."""

from __future__ import annotations

from experiments.evaluation.classification import ClassificationEvaluation
from experiments.evaluation.result import EvaluationResult, evaluate
from experiments.evaluation.risk_prediction import RiskEvaluation
from experiments.evaluation.segmentation import SegmentationEvaluation

__all__ = ["ClassificationEvaluation", "EvaluationResult", "RiskEvaluation", "SegmentationEvaluation", "evaluate"]
