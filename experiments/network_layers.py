"""Layers that MONAI does not bring: what a tabular network must do to its own features.

Standardising lives in the network, so that a saved model needs nothing beside it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from experiments.tables import Rows


class Standardise(nn.Module):
    """Features (n, f) → (n, 2f): each less its mean over its deviation, 0 where unknown; then 1 where unknown.

    Means and deviations are of ``rows``, which must be the training part alone.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        with np.errstate(all="ignore"):
            valid = np.ma.masked_invalid(rows.features)
            mean, deviation = valid.mean(axis=0).filled(0.0), valid.std(axis=0).filled(1.0)
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.as_tensor(np.where(deviation > 0, deviation, 1), dtype=torch.float32))

    def forward(self, features: Tensor) -> Tensor:
        unknown = torch.isnan(features)
        standard = (features - self.mean) / self.deviation
        return torch.cat([torch.where(unknown, torch.zeros_like(standard), standard), unknown.float()], dim=1)


def risk_network(rows: Rows, hidden: tuple[int, ...] = (32, 16), dropout: float = 0.1) -> nn.Sequential:
    """Features (n, f) → one logit (n, 1): MONAI's fully connected net behind ``Standardise``.

    Its last bias is the log odds of the training part, so that risks begin where they are on average: from a bias of 0,
    a short training on a rare outcome ends far above it.
    """
    from monai.networks.nets.fullyconnectednet import FullyConnectedNet

    network = FullyConnectedNet(2 * len(rows.columns), 1, tuple(hidden), dropout=dropout)
    nn.init.constant_(network.get_parameter("output.bias"), _log_odds(rows))
    return nn.Sequential(Standardise(rows), network)


def _log_odds(rows: Rows) -> float:
    """Of the label; half a row of each label is added, for rows that have one label only."""
    positive = float(rows.labels.sum())
    return float(np.log((positive + 0.5) / (len(rows) - positive + 0.5)))
