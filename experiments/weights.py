"""The weights of a network: their digest, and whether all ranks ended with the same."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from experiments.cluster import RankInfo
from experiments.distributed import gather
from experiments.errors import ExperimentError


def check_agreement(network: Any, info: RankInfo) -> str:
    """The digest of the weights, the same on all ranks; ExperimentError if one differs."""
    mine = weights_digest(network)
    if len(set(gather(mine, info))) > 1:
        raise ExperimentError("the ranks ended with different weights: the bundle does not train them together")
    return mine


def weights_digest(network: Any) -> str:
    """SHA-256 over the names, types, shapes and bytes of a network's weights."""
    import torch

    digest = sha256()
    for name, tensor in sorted(network.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\0".encode())
        digest.update(plain.reshape(-1).view(dtype=torch.uint8).numpy().tobytes())
    return digest.hexdigest()
