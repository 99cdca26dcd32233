"""Which generalisations would bring the risk under the threshold, and at what loss.

Owns the search of the lattice: a greedy climb, a descent to what is needed, then the cheaper nodes that are still
undecided, dearest first, since a node that does not suffice rules out all below it. Bounded by a number of nodes that
follows from the number of classes, so the same extract gives the same proposals on any machine.
"""

from __future__ import annotations

from math import prod

from erios.extracts.risk.equivalence_classes import Lattice, Node
from erios.extracts.risk.figures import rounded, under_threshold
from erios.extracts.risk.metrics import risk_of
from erios.extracts.risk.report import Change, Proposal, Search

MOST_PROPOSALS = 6
_WORK, _LEAST, _MOST, _LISTED = 20_000_000, 48, 300, 500_000
_SAME = 1e-12


class _Walk:
    """Nodes counted so far and how many more may be."""

    def __init__(self, lattice: Lattice, threshold: int) -> None:
        self.lattice, self.threshold = lattice, threshold
        self._budget = max(_LEAST, min(_MOST, _WORK // max(1, lattice.cells)))
        self._start = len(lattice.counted)
        self.under: dict[Node, int] = {}

    @property
    def spent(self) -> bool:
        """Is the budget used up?"""
        return len(self.lattice.counted) - self._start >= self._budget

    def left_out(self, node: Node) -> int:
        """Patients in classes under the threshold, who would have to be left out."""
        if node not in self.under:
            self.under[node] = under_threshold(self.lattice.sizes(node), self.threshold)
        return self.under[node]

    def loss(self, node: Node) -> float:
        """Mean penalty of what is kept, and all of what is left out."""
        share = self.left_out(node) / self.lattice.patients
        return self.lattice.ncp(node) * (1 - share) + share

    def allowed(self, share: float) -> float:
        """Patients that a share is."""
        return share * self.lattice.patients


def proposals(
    lattice: Lattice, threshold: int, population: int | None, limit: float
) -> tuple[tuple[Proposal, ...], Search]:
    """Proposals in order of loss (at most ``MOST_PROPOSALS``, the best without suppression among them); none where
    none is needed, and none where the extract has fewer patients than the threshold."""
    combinations = prod(dimension.top + 1 for dimension in lattice.dimensions)
    walk = _Walk(lattice, threshold)
    if lattice.patients < threshold or not walk.left_out(lattice.bottom):
        return (), Search(combinations, len(lattice.counted), True, limit)
    complete = _best_found(walk, 0.0)
    _best_found(walk, limit)
    proposed = tuple(_proposal(walk, node, population) for node in _ranked(walk, limit))
    return proposed, Search(combinations, len(lattice.counted), complete, limit)


def _best_found(walk: _Walk, share: float) -> bool:
    """Search with this share of patients left out at most; is what was found the best for certain?"""
    return _exhausted(walk, _lowered(walk, _climbed(walk, share), share), share)


def _up(lattice: Lattice, node: Node) -> list[Node]:
    return [(*node[:n], level + 1, *node[n + 1 :]) for n, level in enumerate(node) if level < lattice.dimensions[n].top]


def _climbed(walk: _Walk, share: float) -> Node:
    """From the extract as it is, the step that frees most patients for its loss, until few enough are left out."""
    node = walk.lattice.bottom
    while walk.left_out(node) > walk.allowed(share):
        here, cost = walk.left_out(node), walk.lattice.ncp(node)
        steps = _up(walk.lattice, node) if not walk.spent else [walk.lattice.top]
        node = max(
            steps, key=lambda step: ((here - walk.left_out(step) + 1e-6) / (walk.lattice.ncp(step) - cost + 1e-9), step)
        )
    return node


def _lowered(walk: _Walk, node: Node, share: float) -> Node:
    """The same with every level that turned out to be needless taken back, dearest first."""
    while not walk.spent:
        lower = [(*node[:n], level - 1, *node[n + 1 :]) for n, level in enumerate(node) if level]
        enough = [candidate for candidate in lower if walk.left_out(candidate) <= walk.allowed(share)]
        if not enough:
            return node
        node = min(enough, key=lambda candidate: (walk.loss(candidate), candidate))
    return node


def _exhausted(walk: _Walk, best: Node, share: float) -> bool:
    """Count the undecided nodes that cost less than the best one, dearest first; was every one decided?"""
    import numpy as np

    lattice = walk.lattice
    if prod(dimension.top + 1 for dimension in lattice.dimensions) > _LISTED:
        return False
    nodes = (
        np.indices([dimension.top + 1 for dimension in lattice.dimensions], dtype=np.int16)
        .reshape(len(lattice.dimensions), -1)
        .T
    )
    losses = [
        np.array([level.ncp for level in dimension.levels])[nodes[:, n]]
        for n, dimension in enumerate(lattice.dimensions)
    ]
    price = np.mean(losses, axis=0)
    open_ = price < lattice.ncp(best) - _SAME
    for node, under in list(walk.under.items()):
        if under > walk.allowed(share):
            open_ &= (nodes > np.array(node)).any(axis=1)
    while open_.any():
        row = int(np.flatnonzero(open_)[price[open_].argmax()])
        node = tuple(int(level) for level in nodes[row])
        if walk.spent and node not in walk.under:
            return False
        if walk.left_out(node) > walk.allowed(share):
            open_ &= (nodes > nodes[row]).any(axis=1)
        else:
            open_ &= price < price[row] - _SAME
    return True


def _ranked(walk: _Walk, limit: float) -> list[Node]:
    """Counted nodes that suffice, none above another that leaves out as few, cheapest first."""
    enough = [node for node, under in walk.under.items() if under <= walk.allowed(limit)]
    lowest = [
        node
        for node in enough
        if not any(other != node and _below(other, node) and walk.under[other] <= walk.under[node] for other in enough)
    ]
    ranked = sorted(lowest, key=lambda node: (walk.loss(node), node))
    kept = ranked[:MOST_PROPOSALS]
    pure = next((node for node in ranked if not walk.under[node]), None)
    return kept if pure is None or pure in kept else [*kept[:-1], pure]


def _below(node: Node, other: Node) -> bool:
    """Is ``node`` nowhere above ``other``?"""
    return all(a <= b for a, b in zip(node, other, strict=True))


def _proposal(walk: _Walk, node: Node, population: int | None) -> Proposal:
    lattice, threshold, left_out = walk.lattice, walk.threshold, walk.left_out(node)
    kept = tuple(size for size in lattice.sizes(node) if size.size >= threshold)
    changes = tuple(
        Change(dimension.quasi.name, dimension.levels[0].name, dimension.levels[level].name)
        for dimension, level in zip(lattice.dimensions, node, strict=True)
        if level
    )
    return Proposal(
        changes=changes,
        suppressed=left_out,
        suppressed_share=rounded(left_out / lattice.patients),
        ncp=rounded(lattice.ncp(node)),
        entropy_loss=rounded(lattice.entropy_loss(node)),
        loss=rounded(walk.loss(node)),
        before=risk_of(lattice.sizes(lattice.bottom), threshold, population),
        after=risk_of(kept, threshold, population),
    )
