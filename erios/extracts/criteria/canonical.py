"""One form for one meaning: sorted, without repeats, doubled negations or nested "and"/"or"; its JSON and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from erios.extracts.criteria.model import And, Criterion, Leaf, Not, Or, json_text


def canonical(criterion: Criterion) -> Criterion:
    """The canonical form of a criterion; it means the same."""
    match criterion:
        case And(parts):
            return _flattened(And, parts)
        case Or(parts):
            return _flattened(Or, parts)
        case Not(negated):
            inner = canonical(negated)
            return inner.criterion if isinstance(inner, Not) else Not(inner)
        case Leaf():
            return criterion.canonical()


def _flattened(joined: type[And] | type[Or], parts: Iterable[Criterion]) -> Criterion:
    flat: dict[str, Criterion] = {}
    for part in map(canonical, parts):
        inner = (part.all if isinstance(part, And) else part.any) if isinstance(part, And | Or) else ()
        for criterion in inner if isinstance(part, joined) else (part,):
            flat[json_text(criterion)] = criterion
    ordered = tuple(flat[text] for text in sorted(flat))
    return ordered[0] if len(ordered) == 1 else joined(ordered)


def canonical_json(criterion: Criterion) -> str:
    """Canonical JSON text: same meaning, same text, as far as rearranging goes."""
    return json_text(canonical(criterion))


def digest(criterion: Criterion) -> str:
    """SHA-256 of the canonical JSON, in hex: the name of a question in caches and budgets."""
    return hashlib.sha256(canonical_json(criterion).encode()).hexdigest()
