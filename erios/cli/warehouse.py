"""`erios warehouse`: the tables and releases of the warehouse."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from erios.cli.output import AsJson, command_group, print_table, write_json
from erios.errors import UsageError
from erios.settings import load_settings
from erios.workflows.maintenance import compact_warehouse, keep_release, vacuum_warehouse
from erios.workflows.warehouse import open_release
from etl.tables import load_tables
from etl.warehouse.release import Release, release_ids
from etl.warehouse.release import open_release as open_stored_release

app = command_group("Look at the tables and releases of the warehouse.")

ReleaseOption = Annotated[str | None, typer.Option("--release", help="A release id; the latest without it.")]


@app.command()
def tables(release: ReleaseOption = None, as_json: AsJson = False) -> None:
    """The tables of a release with their rows, files and bytes.

    Example: erios warehouse tables
    """
    opened = open_release(release)
    rows = [_measure(opened, name) for name in opened.names()]
    if as_json:
        write_json({"release": opened.id, "tables": rows})
        return
    lines = [(r["table"], f"{r['rows']:,}", f"{r['files']:,}", f"{r['bytes'] / 1e6:,.1f}") for r in rows]
    print_table(f"Release {opened.id}", ("table", "rows", "files", "MB"), lines, numbers=3)


def _measure(release: Release, name: str) -> dict[str, Any]:
    files = release.data_files(name)
    return {
        "table": name,
        "rows": sum(file.rows for file in files),
        "files": len(files),
        "bytes": sum(file.size for file in files),
    }


@app.command()
def releases(as_json: AsJson = False) -> None:
    """The releases kept, oldest first.

    Example: erios warehouse releases
    """
    warehouse = load_settings().warehouse
    kept = [open_stored_release(warehouse, release_id) for release_id in release_ids(warehouse)]
    rows = [{"release": r.id, "created": r.created, "batch": r.batch, "totals": dict(r.totals)} for r in kept]
    if as_json:
        write_json(rows)
        return
    lines = [(r.id, r.created, r.batch, f"{r.totals.get('written', 0):,}") for r in kept]
    print_table("Releases", ("release", "published", "batch", "resources written"), lines, numbers=1)


@app.command()
def show(
    table: Annotated[str, typer.Argument(help="A table of the release.")],
    release: ReleaseOption = None,
    as_json: AsJson = False,
) -> None:
    """The columns of a table: type, privacy rule, share of rows that have a value, description.

    Example: erios warehouse show observation
    """
    opened = open_release(release)
    columns = _columns(opened, table)
    if as_json:
        write_json({"release": opened.id, "table": table, "rows": opened.tables[table].rows, "columns": columns})
        return
    lines = [(c["column"], c["type"], c["privacy"], f"{c['filled']:.0%}", c["description"]) for c in columns]
    title = f"{table} in release {opened.id}: {opened.tables[table].rows:,} rows"
    print_table(title, ("column", "type", "privacy", "filled", "description"), lines, numbers=0)


@app.command()
def keep(
    release: Annotated[str, typer.Argument(help="A release id.")],
    reason: Annotated[str | None, typer.Option("--reason", help="Why it must be kept.")] = None,
    no_longer: Annotated[bool, typer.Option("--no-longer", help="Let it age again.")] = False,
) -> None:
    """Keep a release whatever its age; `vacuum` passes it over.

    Example: erios warehouse keep r000012 --reason "study 2026-041, until 2028"
    """
    if bool(reason) == no_longer:
        raise UsageError("say why with --reason TEXT, or --no-longer to let it age again")
    kept = keep_release(load_settings(), release, reason)
    typer.echo(f"Kept: {', '.join(f'{name} ({why})' for name, why in sorted(kept.items())) or 'none'}")


@app.command()
def vacuum(
    last: Annotated[int, typer.Option("--last", help="How many of the newest releases stay.")] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget old releases and delete the files that no kept release reads.

    Example: erios warehouse vacuum --last 7 --dry-run
    """
    done = vacuum_warehouse(load_settings(), last, dry_run=dry_run)
    if as_json:
        return write_json(asdict(done))
    will = "would be" if dry_run else "are"
    typer.echo(f"{len(done.forgotten)} releases {will} forgotten: {', '.join(done.forgotten) or 'none'}")
    typer.echo(f"{done.files:,} files, {done.bytes / 1e6:,.1f} MB {will} deleted")
    print_table("Kept", ("release", "why"), list(done.kept.items()), numbers=0)
    return None


@app.command()
def compact(as_json: AsJson = False) -> None:
    """Put small files together and publish the same rows as a new release.

    Example: erios warehouse compact
    """
    done = compact_warehouse(load_settings())
    if as_json:
        return write_json({"release": done.release.id, "before": done.before, "after": done.after})
    typer.echo(f"Release {done.release.id}: {done.after:,} files instead of {done.before:,}, the same rows.")
    return None


def _columns(release: Release, table: str) -> list[dict[str, Any]]:
    relation = release.duckdb(table)
    documented = {t.name: t for t in load_tables(load_settings().views_dir)}
    described = {c.name: c for c in documented[table].view.columns} if table in documented else {}
    counts = ", ".join(f'count("{name}")' for name in relation.columns)
    total, *filled = relation.aggregate(f"count(*), {counts}").fetchall()[0]
    return [
        {
            "column": name,
            "type": str(kind),
            "privacy": (described[name].privacy if name in described else None) or "lineage",
            "filled": filled[number] / total if total else 0.0,
            "description": (described[name].description if name in described else None) or "added by the loader",
        }
        for number, (name, kind) in enumerate(zip(relation.columns, relation.types, strict=True))
    ]
