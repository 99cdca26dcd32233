"""GraphQL that MLflow's pages may ask: reading of one experiment, of runs, and of the histories of their metrics.

Owns the list of fields. MLflow's server checks the reader's right to each of them, as it does on its other routes; a
query of any other field, a mutation, or a look into the schema does not reach it.
"""

from __future__ import annotations

import json

READABLE = frozenset({"mlflowGetExperiment", "mlflowGetRun", "mlflowSearchRuns", "mlflowGetMetricHistoryBulkInterval"})
"""The fields of a query that MLflow's pages of an experiment and of a run ask."""
_TOKENS = 2000
"""More than three times what the longest query of those pages has."""


def is_readable(body: bytes) -> bool:
    """Is this the JSON of a query, or of several, that ask fields of ``READABLE`` alone?"""
    from graphql import GraphQLError, parse

    try:
        request = json.loads(body)
        document = parse(request["query"], max_tokens=_TOKENS)
    except (ValueError, KeyError, TypeError, RecursionError, GraphQLError):
        return False
    return all(map(_is_plain, document.definitions)) and any(map(_is_query, document.definitions))


def _is_query(definition: object) -> bool:
    from graphql import OperationDefinitionNode, OperationType

    return isinstance(definition, OperationDefinitionNode) and definition.operation is OperationType.QUERY


def _is_plain(definition: object) -> bool:
    """A fragment, or a query whose own fields stand in it by name."""
    from graphql import FieldNode, FragmentDefinitionNode

    if not _is_query(definition):
        return isinstance(definition, FragmentDefinitionNode)
    asked = definition.selection_set.selections  # type: ignore[attr-defined]
    return all(isinstance(field, FieldNode) and field.name.value in READABLE for field in asked)
