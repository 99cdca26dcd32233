"""FHIRPath to DuckDB SQL, typed: the expressions of a view become struct access and list functions.

Implements the FHIRPath subset of SQL-on-FHIR v2 («Shareable View Definition», plus the required additional functions)
and some more. An expression is either a scalar or a list; a path that can have one value at most never becomes a
list, which keeps the SQL fast. Primitives stay the text that ``from_json`` gave until an operation or a column needs
their type, so decimals keep their digits. No record is evaluated here: the package only writes SQL.

Importing it registers the constructs and functions of its modules with ``dispatch``.
"""

from dataclasses import replace

from etl.views.fhirpath import fhir_functions, functions, literals, operators, paths  # noqa: F401 - they register
from etl.views.fhirpath.dispatch import visit
from etl.views.fhirpath.expressions import Expr, Scope
from etl.views.fhirpath.syntax import parse


def compile_expression(path: str, scope: Scope) -> Expr:
    """The SQL of an expression in a scope; PathError names the element or function at fault."""
    return visit(parse(path), replace(scope, context=scope.this))
