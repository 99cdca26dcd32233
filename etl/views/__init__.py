"""SQL-on-FHIR v2 views, compiled to DuckDB SQL."""

from etl.views.compiled_view import Column, CompiledPath, CompiledView, merge_structures
from etl.views.compiler import compile_path, compile_view
from etl.views.definition import ViewDefinition, ViewError, load_view, parse_view

__all__ = [
    "Column",
    "CompiledPath",
    "CompiledView",
    "ViewDefinition",
    "ViewError",
    "compile_path",
    "compile_view",
    "load_view",
    "merge_structures",
    "parse_view",
]
