"""Equivalence classes of any combination of levels: the lattice of generalisations, and its class sizes.

Owns the table ``cell`` (one row a class of the extract as it is: its codes at every level, its patients) and ``placed``
(pid, cell). A node of the lattice is a tuple of indices in the hierarchies, one a quasi-identifier.
"""

from __future__ import annotations

from collections.abc import Sequence

from erios.extracts.risk.extract_tables import Extract
from erios.extracts.risk.quasi_identifiers import Dimension
from erios.extracts.risk.report import ClassSize

Node = tuple[int, ...]


class Lattice:
    """Every combination of levels of the quasi-identifiers, counted when it is asked for, and then remembered."""

    def __init__(self, extract: Extract, dimensions: Sequence[Dimension], patients: int) -> None:
        self.dimensions, self.patients = tuple(dimensions), patients
        self._extract = extract
        self._sizes: dict[Node, tuple[ClassSize, ...]] = {}
        _make_cells(extract, dimensions)
        self.cells = int(extract.scalar("SELECT count(*) FROM cell"))

    @property
    def bottom(self) -> Node:
        """The extract as it is."""
        return (0,) * len(self.dimensions)

    @property
    def top(self) -> Node:
        """Everything suppressed."""
        return tuple(dimension.top for dimension in self.dimensions)

    @property
    def counted(self) -> dict[Node, tuple[ClassSize, ...]]:
        """The nodes counted so far."""
        return dict(self._sizes)

    def without(self, index: int) -> Node:
        """The extract as it is, one quasi-identifier suppressed."""
        return tuple(dimension.top if n == index else 0 for n, dimension in enumerate(self.dimensions))

    def alone(self, index: int) -> Node:
        """One quasi-identifier as it is, all others suppressed."""
        return tuple(0 if n == index else dimension.top for n, dimension in enumerate(self.dimensions))

    def sizes(self, node: Node) -> tuple[ClassSize, ...]:
        """The class sizes on a node, smallest first."""
        if node not in self._sizes:
            self._sizes[node] = self._count(node)
        return self._sizes[node]

    def _count(self, node: Node) -> tuple[ClassSize, ...]:
        columns = self.columns(node)
        if not columns:
            return (ClassSize(self.patients, 1),) if self.patients else ()
        rows = self._extract.rows(
            f"SELECT size, count(*) FROM (SELECT sum(n) AS size FROM cell GROUP BY {columns})"
            " GROUP BY size ORDER BY size"
        )
        return tuple(ClassSize(int(size), int(classes)) for size, classes in rows)

    def columns(self, node: Node) -> str:
        """The columns of ``cell`` that tell the classes of a node apart; none when all is suppressed."""
        return ", ".join(
            f"q{n}_{level}"
            for n, (level, dimension) in enumerate(zip(node, self.dimensions, strict=True))
            if level < dimension.top
        )

    def ncp(self, node: Node) -> float:
        """Mean normalised certainty penalty of a node's levels."""
        return self._mean([dimension.levels[level].ncp for dimension, level in zip(self.dimensions, node, strict=True)])

    def entropy_loss(self, node: Node) -> float:
        """Mean share of entropy that a node's levels lose."""
        return self._mean(
            [dimension.levels[level].entropy for dimension, level in zip(self.dimensions, node, strict=True)]
        )

    def _mean(self, losses: Sequence[float]) -> float:
        return sum(losses) / len(losses) if losses else 0.0


def _make_cells(extract: Extract, dimensions: Sequence[Dimension]) -> None:
    numbers = range(len(dimensions))
    codes = "".join(f", c{n}" for n in numbers)
    extract.run(
        "CREATE TABLE grouped AS SELECT CAST(row_number() OVER () - 1 AS INTEGER) AS cell, * FROM"
        f" (SELECT count(*) AS n{codes} FROM coded GROUP BY {codes[2:] or 'ALL'} HAVING count(*) > 0)"
    )
    levels = "".join(f", d{n}.r{r} AS q{n}_{r}" for n in numbers for r in range(dimensions[n].top))
    joins = " ".join(f"JOIN dim{n} d{n} ON d{n}.r0 = c{n}" for n in numbers)
    extract.run(f"CREATE TABLE cell AS SELECT cell, grouped.n{levels} FROM grouped {joins}")
    same = " AND ".join(f"g.c{n} = p.c{n}" for n in numbers) or "TRUE"
    extract.run(f"CREATE TABLE placed AS SELECT pid, cell FROM coded p JOIN grouped g ON {same}")
    extract.run("DROP TABLE grouped")
