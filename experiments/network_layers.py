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
    """Features (n, f) → one logit (n, 1): MONAI's fully connected net behind ``Standardise``."""
    from monai.networks.nets.fullyconnectednet import FullyConnectedNet

    width = 2 * len(rows.columns)
    return nn.Sequential(Standardise(rows), FullyConnectedNet(width, 1, tuple(hidden), dropout=dropout))
