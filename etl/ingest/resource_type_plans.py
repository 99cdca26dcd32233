"""How the resources of each type are read: one structure for all of its views, made once on the driver."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from etl.fhir.structure import ResourceStructure, patient_links, resource_structure
from etl.tables import WarehouseTable
from etl.views import compile_path, merge_structures

IDENTIFIED = ("Patient", "Practitioner", "Organization", "Location", "Encounter", "Specimen", "Medication")


_PATIENT_LINKS = (
    "link.where(type = 'replaced-by').other.getReferenceKey(Patient)",
    "link.where(type = 'replaces').other.getReferenceKey(Patient)",
)


@dataclass(frozen=True)
class TypePlan:
    """How resources of one type are read: one structure for all of its views, and its patient's reference."""

    resource: str
    tables: tuple[WarehouseTable, ...]
    owner: Mapping[str, object]
    """The part of ``structure`` that ``patient`` and ``links`` read."""
    structure: Mapping[str, object]
    patient: str
    fhir: ResourceStructure
    links: tuple[str, str] = ("NULL::VARCHAR[]", "NULL::VARCHAR[]")
    """SQL of the references of the patients that replace this one, and of those it replaces."""

    def narrowed(self, present: Collection[str]) -> TypePlan:
        """The plan for resources with no other elements than ``present`` at their top level."""
        tables = tuple(replace(table, view=table.view.narrowed(present)) for table in self.tables)
        return replace(self, tables=tables, structure=_parsed(self.owner, tables))


def type_plans(tables: Sequence[WarehouseTable]) -> dict[str, TypePlan]:
    """Plans of every resource type that a table reads."""
    resources = sorted({table.view.resource for table in tables})
    return {name: type_plan(name, [t for t in tables if t.view.resource == name]) for name in resources}


@cache
def other_type_plan(resource: str) -> TypePlan:
    """The plan of a type that no table reads: it is checked and enters the ledger."""
    return type_plan(resource, ())


def type_plan(resource: str, tables: Sequence[WarehouseTable]) -> TypePlan:
    """The plan of one resource type; raises ViewError for views that do not go together."""
    if resource == "Patient":
        links = [compile_path(resource, path) for path in _PATIENT_LINKS]
        owner = merge_structures(link.structure for link in links)
        others = (links[0].sql("r"), links[1].sql("r"))
        patient = "'Patient/' || id"
        return TypePlan(
            resource, tuple(tables), owner, _parsed(owner, tables), patient, resource_structure(resource), others
        )
    paths = [compile_path(resource, path) for path in patient_links(resource)]
    owner = merge_structures(path.structure for path in paths)
    firsts = ", ".join(f"list_extract({p.sql('r')}, 1)" for p in paths)
    patient = f"coalesce({firsts})" if firsts else "NULL"
    return TypePlan(resource, tuple(tables), owner, _parsed(owner, tables), patient, resource_structure(resource))


def _parsed(owner: Mapping[str, object], tables: Sequence[WarehouseTable]) -> Mapping[str, object]:
    """The structure of what is read of a resource; ViewError for views that do not go together."""
    return merge_structures([owner, *(table.view.structure for table in tables)])
