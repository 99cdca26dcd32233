"""What goes with the data of an extract: dictionary, codebook, page and crate, all from the data and the specification.

Owns ``datapackage.json`` (Data Package 2.0, datapackage.org), ``dictionary.html`` and ``ro-crate-metadata.json``
(RO-Crate 1.1 with the terms of the Five Safes RO-Crate profile, w3id.org/5s-crate). It tells of groups only: a value is
named where well over ``threshold`` patients share it, a tail of numbers where as many rows lie beyond.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.extracts.criteria import describe
from erios.extracts.generalisation.columns import Kind, kind_of, say_form
from erios.extracts.specification import PATIENT_KEY, Choice, Specification
from erios.governance.disclosure import protect_row
from erios.view_texts import ViewTexts
from etl.duckdb_engine import connect
from etl.sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from etl.tables import WarehouseTable
    from etl.task_runner import Runner

PACKAGE, PAGE, CRATE = "datapackage.json", "dictionary.html", "ro-crate-metadata.json"
_SHOWN = 20
_TAILS = (0.05, 0.25, 0.5, 0.75, 0.95)
_TYPES = {"BOOLEAN": "boolean", "INTEGER": "integer", "DATE": "date", "VARCHAR": "string", "VARCHAR[]": "array"}


@dataclass(frozen=True)
class Context:
    """What the pages say beside the data: numbers of extract and study, title, release, hospital, day."""

    extract: str
    study: str
    title: str
    release: str
    hospital: str
    created: str
    texts: ViewTexts


def write_dictionary(
    folder: Path,
    specification: Specification,
    tables: Mapping[str, WarehouseTable],
    context: Context,
    runner: Runner,
    *,
    threshold: int,
    memory_mb: int,
) -> dict[str, int]:
    """Write the three files; answers path → rows of every data file."""
    asked = [(table.name, choice) for table in specification.tables for choice in table.columns]
    described = runner.run("codebook", partial(_describe, folder, tables, threshold, memory_mb), asked)
    codebook = {f"{table}.{choice.name}": entry for (table, choice), entry in zip(asked, described, strict=True)}
    rows = _rows_of_files(folder, memory_mb)
    package = _package(folder, specification, tables, context, codebook, rows)
    _write_json(folder / PACKAGE, package)
    (folder / PAGE).write_text(_page(package, specification, context), encoding="utf-8")
    _write_json(folder / CRATE, _crate(specification, context, sorted(rows)))
    return rows


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _rows_of_files(folder: Path, memory_mb: int) -> dict[str, int]:
    with connect(memory_mb) as connection:
        sql = f"SELECT file_name, num_rows FROM parquet_file_metadata({literal(folder / 'data' / '*' / '*.parquet')})"
        return {Path(name).relative_to(folder).as_posix(): rows for name, rows in connection.execute(sql).fetchall()}


def _describe(
    folder: Path, tables: Mapping[str, WarehouseTable], threshold: int, memory_mb: int, asked: tuple[str, Choice]
) -> dict[str, Any]:
    """The codebook of one column."""
    table, choice = asked
    column = next(column for column in tables[table].view.columns if column.name == choice.name)
    kind = kind_of(table, column)
    source = f"read_parquet({literal(folder / 'data' / table / '*.parquet')})"
    has_patient = PATIENT_KEY in tables[table].column_types()
    with connect(memory_mb) as connection:
        rows, filled = _row(connection, f'SELECT count(*), count("{choice.name}") FROM {source}')
        entry: dict[str, Any] = {"filled_percent": round(100 * filled / rows, 1) if rows else None}
        if column.collection or kind in (Kind.KEY, Kind.IMAGES):
            return entry
        if kind in (Kind.NUMBER, Kind.AGE):
            return entry | _quantiles(connection, source, choice.name, filled, threshold)
        value = f'left("{choice.name}"::VARCHAR, 4)' if kind in (Kind.DATE, Kind.BIRTH) else f'"{choice.name}"::VARCHAR'
        return entry | _values(connection, source, value, threshold, by_patient=has_patient)


def _row(connection: DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    return connection.execute(sql).fetchall()[0]


def _quantiles(connection: DuckDBPyConnection, source: str, name: str, filled: int, threshold: int) -> dict[str, Any]:
    """Quantiles beyond which at least ``threshold`` values lie."""
    wanted = [tail for tail in _TAILS if min(tail, 1 - tail) * filled >= threshold]
    if not wanted:
        return {}
    quantiles = _row(connection, f'SELECT approx_quantile("{name}", {wanted}) FROM {source}')[0]
    return {"quantiles": {str(tail): float(value) for tail, value in zip(wanted, quantiles, strict=True)}}


def _values(
    connection: DuckDBPyConnection, source: str, value: str, threshold: int, *, by_patient: bool
) -> dict[str, Any]:
    """The commonest values, and none more where those left out would be few rows together.

    Patients are counted roughly, so a value must have twice the threshold to be named.
    """
    common = f"approx_count_distinct({PATIENT_KEY}) >= {2 * threshold} AND " if by_patient else ""
    sql = (
        f"SELECT {value} AS value, count(*) AS n, {common} count(*) >= {threshold} AS common FROM {source}"
        " WHERE value IS NOT NULL GROUP BY value ORDER BY n DESC, value"
    )
    total, hidden = _row(connection, f"SELECT coalesce(sum(n), 0), count(*) FILTER (NOT common) FROM ({sql})")
    shown = connection.execute(f"SELECT value, n FROM ({sql}) WHERE common LIMIT {_SHOWN}").fetchall()
    rare = connection.execute(f"SELECT n FROM ({sql}) WHERE NOT common LIMIT {threshold}").fetchall()
    if len(shown) < _SHOWN:  # else others are left out beside the rare ones
        cells = protect_row([n for _name, n in shown] + [min(n, threshold - 1) for (n,) in rare], threshold)
        hidden += sum(cell is None for cell in cells[: len(shown)])
        shown = [one for one, cell in zip(shown, cells, strict=False) if cell is not None]
    shares = {str(name): round(100 * n / float(total), 1) for name, n in shown}
    return {"values_percent": shares, "values_not_named": hidden > 0 or len(shown) == _SHOWN}


def _package(
    folder: Path,
    specification: Specification,
    tables: Mapping[str, WarehouseTable],
    context: Context,
    codebook: Mapping[str, Mapping[str, Any]],
    rows: Mapping[str, int],
) -> dict[str, Any]:
    resources = [
        {
            "name": table.name,
            "path": sorted(name for name in rows if name.startswith(f"data/{table.name}/")),
            "format": "parquet",
            "mediatype": "application/vnd.apache.parquet",
            "rows": sum(count for name, count in rows.items() if name.startswith(f"data/{table.name}/")),
            "schema": {
                "fields": [_field(tables[table.name], choice, specification, codebook) for choice in table.columns]
            },
        }
        for table in specification.tables
    ]
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": context.extract.lower(),
        "title": context.title,
        "created": context.created,
        "version": context.release,
        "resources": resources,
    }


def _field(
    table: WarehouseTable, choice: Choice, specification: Specification, codebook: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    column = next(column for column in table.view.columns if column.name == choice.name)
    field = {
        "name": choice.name,
        "type": _type(column.sql_type),
        "title": column.tags.get("erios/title", choice.name),
        "description": column.description or "",
        "form": say_form(choice.form, specification.dates, "en"),
        "why": choice.why,
        **codebook[f"{table.name}.{choice.name}"],
    }
    return {**field, **({"rdfType": column.tags["erios/system"]} if "erios/system" in column.tags else {})}


def _type(sql_type: str) -> str:
    if sql_type.startswith("TIMESTAMP"):
        return "datetime"
    return _TYPES.get(sql_type, "number" if sql_type.startswith(("DECIMAL", "DOUBLE")) else "array")


_STYLE = """body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem;
  color: #1d2733; background: #fff; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 2px solid #0b5d6b; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #d5dde3; padding: .4rem .6rem; text-align: left; vertical-align: top; }
th { background: #eef4f5; } code { background: #eef4f5; padding: 0 .25rem; } .soft { color: #51606e; }"""


def _page(package: Mapping[str, Any], specification: Specification, context: Context) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    tables = "".join(_table_html(resource, specification, context.texts) for resource in package["resources"])
    return (
        '<!DOCTYPE html><html lang="fr"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(context.extract)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{_STYLE}</style></head><body><main>'
        f"<h1>{escape(context.title)}</h1><p>Extrait <strong>{escape(context.extract)}</strong> pour l'étude"
        f" {escape(context.study)}, tiré de la version {escape(context.release)} de l'entrepôt le"
        f" {escape(context.created[:10])} — {escape(context.hospital)}.</p>"
        f"<p><strong>Cohorte :</strong> {escape(describe(specification.cohort, 'fr'))}.</p>"
        f"<p><strong>Dates :</strong> {escape(say_form('policy', specification.dates, 'fr'))}.</p>"
        f"{tables}</main></body></html>\n"
    )


def _table_html(resource: Mapping[str, Any], specification: Specification, texts: ViewTexts) -> str:
    choices = specification.columns()
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(field["name"])}</code><br>{escape(texts.title(field["title"]))}</th>'
        f"<td>{escape(texts.text(field['description']))}<br><span class=soft>{escape(field['why'])}</span></td>"
        f"<td>{escape(say_form(choices[resource['name'] + '.' + field['name']].form, specification.dates, 'fr'))}</td>"
        f"<td>{'<br>'.join(_said(field))}</td></tr>"
        for field in resource["schema"]["fields"]
    )
    return (
        f"<h2>{escape(resource['name'])}</h2><p>{resource['rows']:,} lignes</p>".replace(",", "\u202f")
        + '<div class="wide"><table><tr><th scope="col">Colonne</th><th scope="col">Sens, et pourquoi</th>'
        f'<th scope="col">Forme</th><th scope="col">Valeurs</th></tr>{rows}</table></div>'
    )


def _said(field: Mapping[str, Any]) -> Iterator[str]:
    if field["filled_percent"] is not None:
        yield f"renseignée à {field['filled_percent']} %".replace(".", ",")
    yield from (f"{escape(name)} : {share} %".replace(".", ",") for name, share in _first(field, "values_percent"))
    yield from (f"quantile {tail} : {value:g}" for tail, value in _first(field, "quantiles"))


def _first(field: Mapping[str, Any], name: str) -> Sequence[tuple[str, Any]]:
    return list(field.get(name, {}).items())[:8]


def _crate(specification: Specification, context: Context, files: Sequence[str]) -> dict[str, Any]:
    parts = [*files, PACKAGE, PAGE]
    graph: list[dict[str, Any]] = [
        {
            "@id": CRATE,
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": context.extract,
            "description": f"For the study {context.study}: {describe(specification.cohort, 'en')}",
            "conformsTo": {"@id": "https://w3id.org/5s-crate/0.4"},
            "datePublished": context.created,
            "license": {"@id": "#terms"},
            "sourceOrganization": {"@id": "#project"},
            "hasPart": [{"@id": name} for name in parts],
            "mentions": [{"@id": "#build"}],
        },
        {"@id": "#terms", "@type": "CreativeWork", "name": "For the named study's team only, until the clearance ends"},
        {
            "@id": "#project",
            "@type": "Project",
            "identifier": context.study,
            "name": context.title,
            "memberOf": {"@id": "#hospital"},
        },
        {"@id": "#hospital", "@type": "Organization", "name": context.hospital},
        {
            "@id": "#build",
            "@type": "CreateAction",
            "name": f"Built from release {context.release}",
            "endTime": context.created,
            "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
            "instrument": {"@id": "#erios"},
            "result": {"@id": "./"},
        },
        {"@id": "#erios", "@type": "SoftwareApplication", "name": "Erios"},
        *({"@id": name, "@type": "File", "encodingFormat": _media(name)} for name in parts),
    ]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def _media(name: str) -> str:
    kinds = {".parquet": "application/vnd.apache.parquet", ".json": "application/json", ".html": "text/html"}
    return kinds[Path(name).suffix]
