"""Equivalence classes of any combination of rungs: the lattice of generalisations, and its class sizes.

Owns the table ``cell`` (one row a class of the extract as it is: its codes on every rung, its patients) and ``placed``
(pid, cell). A node of the lattice is a tuple of places on the ladders, one a quasi-identifier.
"""

from __future__ import annotations

from collections.abc import Sequence

from erios.extracts.risk.patients import Known
from erios.extracts.risk.reading import Extract
from erios.extracts.risk.report import ClassSize

Node = tuple[int, ...]


class Lattice:
    """Every combination of rungs of the quasi-identifiers, counted when it is asked for, and then remembered."""

    def __init__(self, extract: Extract, known: Sequence[Known], patients: int) -> None:
        self.known, self.patients = tuple(known), patients
        self._extract = extract
        self._sizes: dict[Node, tuple[ClassSize, ...]] = {}
        _make_cells(extract, known)
        self.cells = int(extract.scalar("SELECT count(*) FROM cell"))

    @property
    def bottom(self) -> Node:
        """The extract as it is."""
        return (0,) * len(self.known)

    @property
    def top(self) -> Node:
        """Everything suppressed."""
        return tuple(known.top for known in self.known)

    @property
    def counted(self) -> dict[Node, tuple[ClassSize, ...]]:
        """The nodes counted so far."""
        return dict(self._sizes)

    def without(self, place: int) -> Node:
        """The extract as it is, one quasi-identifier suppressed."""
        return tuple(known.top if n == place else 0 for n, known in enumerate(self.known))

    def alone(self, place: int) -> Node:
        """One quasi-identifier as it is, all others suppressed."""
        return tuple(0 if n == place else known.top for n, known in enumerate(self.known))

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
            f"q{n}_{place}" for n, (place, known) in enumerate(zip(node, self.known, strict=True)) if place < known.top
        )

    def ncp(self, node: Node) -> float:
        """Mean normalised certainty penalty of a node's rungs."""
        return self._mean([known.rungs[place].ncp for known, place in zip(self.known, node, strict=True)])

    def entropy_loss(self, node: Node) -> float:
        """Mean share of entropy that a node's rungs lose."""
        return self._mean([known.rungs[place].entropy for known, place in zip(self.known, node, strict=True)])

    def _mean(self, losses: Sequence[float]) -> float:
        return sum(losses) / len(losses) if losses else 0.0


def _make_cells(extract: Extract, known: Sequence[Known]) -> None:
    places = range(len(known))
    codes = "".join(f", c{n}" for n in places)
    extract.run(
        "CREATE TABLE grouped AS SELECT CAST(row_number() OVER () - 1 AS INTEGER) AS cell, * FROM"
        f" (SELECT count(*) AS n{codes} FROM coded GROUP BY {codes[2:] or 'ALL'} HAVING count(*) > 0)"
    )
    rungs = "".join(f", d{n}.r{r} AS q{n}_{r}" for n in places for r in range(known[n].top))
    joins = " ".join(f"JOIN dim{n} d{n} ON d{n}.r0 = c{n}" for n in places)
    extract.run(f"CREATE TABLE cell AS SELECT cell, grouped.n{rungs} FROM grouped {joins}")
    same = " AND ".join(f"g.c{n} = p.c{n}" for n in places) or "TRUE"
    extract.run(f"CREATE TABLE placed AS SELECT pid, cell FROM coded p JOIN grouped g ON {same}")
    extract.run("DROP TABLE grouped")
