"""Which rows of the governance database the audit chain vouches for: the declaration of every table, the comparison.

Every field of a table of ``SEALED`` is sealed by the event of the action that writes it, but for those that ``exempt``
names, each with its reason. A test fails for a table that is declared nowhere. Owns no rule: what may be done is said
by ``erios.governance``; here stands only that nobody changed the facts behind its back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import Any

from django.apps import apps
from django.db import connection, models

from erios.audit.row_seals import RowSeal, Seals, mark, marking_key, read_facts, read_seals, replay_seals
from erios.errors import BusyError, StorageError
from erios.settings import load_settings
from etl.sealing import SealingKey

STUDY, ACCOUNT, HOSPITAL = "study", "account", "hospital"
ADOPTION = "record.begin"
"""The event from which on rows are held against the chain; its details name the sealed tables and fields."""


@dataclass(frozen=True)
class Sealed:
    """A sealed table. ``owner``: the path to the study or account that the row belongs to; ``kind``: which of them.

    ``events``: what the actions that write it are called; ``exempt``: fields without a seal → why; ``right``: whether a
    right rests on it, so that it is checked at every action, and not by ``erios audit verify`` alone.
    """

    kind: str
    owner: str
    events: tuple[str, ...]
    exempt: Mapping[str, str] = field(default_factory=dict)
    right: bool = True


_PROPOSAL = ("study.",)
_EXTRACT = ("extract.",)
_AIRLOCK = ("airlock.",)
_ADOPTED = ("record.",)
SEALED: Mapping[str, Sealed] = {
    "accounts.User": Sealed(ACCOUNT, "id", ("account.", "login."), {"last_login": "says when, and gives no right"}),
    "accounts.HeldRole": Sealed(ACCOUNT, "user_id", ("account.",)),
    "mfa.Authenticator": Sealed(ACCOUNT, "user_id", ("account.",), {"last_used_at": "says when, and gives no right"}),
    "account.EmailAddress": Sealed(ACCOUNT, "user_id", ("account.",)),
    "socialaccount.SocialAccount": Sealed(
        ACCOUNT,
        "user_id",
        ("account.",),
        {
            "last_login": "says when, and gives no right",
            "extra_data": "what the directory said last; roles come from the login itself",
        },
    ),
    "studies.Study": Sealed(STUDY, "id", _PROPOSAL),
    "studies.Proposal": Sealed(STUDY, "study_id", _PROPOSAL),
    "studies.Publication": Sealed(STUDY, "study_id", _PROPOSAL),
    "studies.Part": Sealed(STUDY, "proposal__study_id", _PROPOSAL),
    "studies.Point": Sealed(STUDY, "proposal__study_id", _PROPOSAL),
    "studies.Condition": Sealed(STUDY, "proposal__study_id", _PROPOSAL),
    "studies.Agreement": Sealed(STUDY, "proposal__study_id", _PROPOSAL),
    "studies.Comment": Sealed(STUDY, "study_id", _PROPOSAL),
    "studies.Notification": Sealed(
        STUDY,
        "proposal__study_id",
        (*_PROPOSAL, *_EXTRACT, *_AIRLOCK),
        {"read": "the reader's own note of having read it"},
        right=False,
    ),
    "studies.LedgerPatients": Sealed(HOSPITAL, "0", ("ledger.",), right=False),
    "studies.LedgerGroup": Sealed(HOSPITAL, "0", ("ledger.", *_PROPOSAL), right=False),
    "studies.LedgerAnswer": Sealed(HOSPITAL, "0", ("ledger.", *_PROPOSAL), right=False),
    "studies.LedgerReading": Sealed(STUDY, "study_id", _PROPOSAL),
    "studies.Extract": Sealed(
        STUDY,
        "study_id",
        _EXTRACT,
        {"progress": "how far a build is, overwritten every second; no right rests on it"},
    ),
    "studies.ExtractVersion": Sealed(STUDY, "extract__study_id", _EXTRACT),
    "studies.ExtractPart": Sealed(STUDY, "extract__study_id", _EXTRACT),
    "studies.Run": Sealed(STUDY, "extract__study_id", ("run.",)),
    "studies.Workspace": Sealed(STUDY, "extract__study_id", ("workspace.",)),
    "studies.AirlockRequest": Sealed(STUDY, "study_id", _AIRLOCK),
    "studies.AirlockFile": Sealed(STUDY, "request__study_id", _AIRLOCK),
    "studies.AirlockVote": Sealed(STUDY, "request__study_id", _AIRLOCK),
    "studies.AirlockPoint": Sealed(STUDY, "request__study_id", _AIRLOCK),
    "studies.AirlockComment": Sealed(STUDY, "request__study_id", _AIRLOCK),
}
EMPTY = (
    "accounts.User_groups",
    "accounts.User_user_permissions",
    "auth.Group",
    "auth.Group_permissions",
    "account.EmailConfirmation",
    "socialaccount.SocialApp",
    "socialaccount.SocialToken",
)
"""Tables of libraries that the portal does not use: a row in one of them is a fault."""
ATTEMPTS = 20
"""How often a record that others change meanwhile is read anew before its reader is told to try again."""
DERIVED = {"accounts.RoleExclusion": "what the rules say of roles; held against them"}


@dataclass(frozen=True)
class RowFault:
    """A row that is not as its event sealed it. ``field`` is empty where the whole row is missing or surplus."""

    table: str
    row: str
    field: str
    sentence: str


def seals_of(rows: Iterable[models.Model], action: str, fields: Collection[str] = ()) -> list[list[Any]]:
    """What the event of ``action`` tells of rows that its transaction wrote or removed, as the database has them now.

    ``fields``: what was written, where the action did not check the others before; they keep the mark that they have.
    """
    key = marking_key(load_settings())
    given = sorted({(type(row)._meta.label, int(row.pk)) for row in rows})
    told: list[list[Any]] = []
    for label, group in groupby(given, key=lambda pair: pair[0]):
        check_events(label, action)
        keys = [pk for _, pk in group]
        there = {row.key: row for row in _rows(label, keys)}
        told += [_seal(label, pk, there.get(pk), key, fields) for pk in map(str, keys)]
    return told


def _seal(label: str, key: str, row: Row | None, marking: SealingKey, fields: Collection[str]) -> list[Any]:
    table = _table(label)
    if row is None:
        return [table, key, "", None]
    marks = {name: mark(marking, table, key, name, row.values[name]) for name in fields or row.values}
    return [table, key, f"{SEALED[label].kind}:{row.owner}", marks]


def declaration() -> dict[str, list[str]]:
    """Sealed tables and their fields, as the event of an adoption names them."""
    from erios.accounts.models import excluded_pairs

    exclusions = {"accounts_roleexclusion": sorted("/".join(pair) for pair in excluded_pairs())}
    return {_table(label): sorted(sealed_fields(label)) for label in SEALED} | exclusions


def unsealed_rows(before: Mapping[str, Collection[str]]) -> Iterator[models.Model]:
    """Rows of tables and fields that ``before`` does not name; StorageError where what it names was changed."""
    for fault in _sealed_faults():
        if fault.table in before and (not fault.field or fault.field in before[fault.table]):
            raise StorageError(f"{fault.sentence}: restore the governance database, then start again")
    for label in SEALED:
        model: Any = apps.get_model(label)
        if set(sealed_fields(label)) - set(before.get(_table(label), ())):
            yield from model._base_manager.all().iterator()


def check_events(label: str, action: str) -> None:
    """A row is sealed by the events that its declaration names; anything else is a fault of the program."""
    if not action.startswith((*SEALED[label].events, *_ADOPTED)):
        raise RuntimeError(f"event {action} seals no row of {label}")


@cache
def sealed_fields(label: str) -> tuple[str, ...]:
    """The columns of a table that are sealed."""
    exempt = SEALED[label].exempt
    return tuple(f.column for f in apps.get_model(label)._meta.concrete_fields if f.name not in exempt)


@dataclass(frozen=True)
class Row:
    """A row as the database has it: raw values of the sealed columns, before any conversion could hide a difference."""

    label: str
    key: str
    owner: str
    values: Mapping[str, Any]


def _read(label: str, where: str = "", values: Sequence[Any] = ()) -> Iterator[Row]:
    names = sealed_fields(label)
    with connection.cursor() as cursor:
        cursor.execute(_query(label, connection.vendor) + where, values)
        while part := cursor.fetchmany(1000):
            for key, owner, *row in part:
                yield Row(label, str(key), str(owner), dict(zip(names, row, strict=True)))


def _rows(label: str, keys: Collection[Any]) -> Iterator[Row]:
    yield from _read(label, f" WHERE id IN ({_places(keys)})", [*keys])


def _owned(label: str, owners: Collection[str]) -> Iterator[Row]:
    if owners:
        chosen = f" WHERE {_owner(label)} IN ({_places(owners)})"
        yield from _read(label, chosen, [int(owner) for owner in owners])


def _places(values: Collection[Any]) -> str:
    return ", ".join(["%s"] * len(values))


@cache
def _query(label: str, _vendor: str) -> str:
    quoted = connection.ops.quote_name
    columns = ", ".join(map(quoted, sealed_fields(label)))
    return f"SELECT id, {_owner(label)}, {columns} FROM {quoted(_table(label))}"


def _owner(label: str) -> str:
    """SQL of the study or account that a row belongs to."""
    first, _, then = SEALED[label].owner.partition("__")
    if not then:
        return first
    other: Any = apps.get_model(label)._meta.get_field(first).related_model
    return f"(SELECT o.{then} FROM {other._meta.db_table} o WHERE o.id = {first}_id)"


def _table(label: str) -> str:
    return str(apps.get_model(label)._meta.db_table)


# --- held against the chain ---


def check_study(*studies: models.Model) -> None:
    """StorageError unless every row of these studies, and of the accounts they name, is as the chain tells."""
    owners = [str(study.pk) for study in studies]
    _check(lambda: _read_studies(owners))


def check_account(user: models.Model) -> None:
    """StorageError unless an account and its roles are as the chain tells."""
    _check(lambda: ({f"{ACCOUNT}:{user.pk}"}, _rows_of_accounts([str(user.pk)])))


def _read_studies(owners: Collection[str]) -> tuple[set[str], list[Row]]:
    """The scopes of these studies and of the accounts they name, and their rows."""
    rows = [row for label in _of_kind(STUDY) for row in _owned(label, owners)]
    people = {str(row.values[name]) for row in rows for name in _naming(row.label) if row.values[name] is not None}
    scopes = {*(f"{STUDY}:{owner}" for owner in owners), *(f"{ACCOUNT}:{person}" for person in people)}
    return scopes, rows + _rows_of_accounts(people)


def _check(read: Callable[[], tuple[set[str], list[Row]]]) -> None:
    """Hold what ``read`` answers against the chain; BusyError when others change it at every attempt.

    Seals and rows are read one after the other, so that another person's action may commit in between: a difference
    counts only where the seals are still the same afterwards.
    """
    for _ in range(ATTEMPTS):
        scopes, rows = read()
        before = _seals_with_rights(scopes)
        fault = next(_faults(before, rows), None)
        if fault is None:
            return
        again, rows = read()
        if (again, _seals_with_rights(again)) == (scopes, before) and fault in _faults(before, rows):
            raise StorageError(
                f"{fault.sentence}; nothing is done or shown on such a record: see what `erios audit verify` finds,"
                " and restore the governance database"
            )
    raise BusyError("others are changing this record at this moment: try again")


def _seals_with_rights(scopes: Collection[str]) -> Seals:
    """The seals of these scopes' rows on which a right rests, with what an open transaction added."""
    connection.ensure_connection()
    inside = connection.connection if connection.in_atomic_block else None
    tables = {_table(label) for label, sealed in SEALED.items() if sealed.right}
    return {key: seal for key, seal in read_seals(load_settings(), scopes, inside).items() if seal.table in tables}


@cache
def _of_kind(kind: str) -> tuple[str, ...]:
    return tuple(label for label, sealed in SEALED.items() if sealed.kind == kind and sealed.right)


def _rows_of_accounts(people: Collection[str]) -> list[Row]:
    return [row for label in _of_kind(ACCOUNT) for row in _owned(label, people)]


@cache
def _naming(label: str) -> tuple[str, ...]:
    """Columns of a table that name an account."""
    account, fields = apps.get_model("accounts.User"), apps.get_model(label)._meta.concrete_fields
    return tuple(field.column for field in fields if field.related_model is account)


def is_sealing() -> bool:
    """Has the chain begun to vouch for rows?"""
    return bool(read_facts(load_settings(), ADOPTION))


def verify_rows() -> list[RowFault]:
    """Every row of every table that is not as the chain tells; the chain itself is verified apart.

    A fault counts when a second look finds it too: an action may commit between the reading of seals and of rows.
    """
    found = _all_faults()
    again = set(_all_faults()) if found else set()
    return [fault for fault in found if fault in again]


def _all_faults() -> list[RowFault]:
    return [*_sealed_faults(), *_unused(), *_exclusions()]


def _sealed_faults() -> Iterator[RowFault]:
    rows = (row for label in SEALED for row in _read(label))
    return _faults(replay_seals(load_settings()), rows)


def _unused() -> Iterator[RowFault]:
    for label in EMPTY:
        model: Any = apps.get_model(label)
        for key in model._base_manager.values_list("pk", flat=True):
            yield _untold(_table(label), str(key))


def _untold(table: str, row: str) -> RowFault:
    return RowFault(table, row, "", f"table {table}, row {row}: no event of the record tells of it")


def _exclusions() -> Iterator[RowFault]:
    from erios.accounts.models import HeldRole, RoleExclusion, excluded_pairs

    table, left = _table("accounts.RoleExclusion"), set(excluded_pairs())
    for row in RoleExclusion.objects.all():
        if (row.first, row.second) not in left:
            yield _untold(table, str(row.pk))
        left.discard((row.first, row.second))
    if left and HeldRole.objects.exists():
        yield RowFault(table, "", "", f"table {table}: {len(left)} rows are missing of what the rules say")


def _faults(seals: Seals, rows: Iterable[Row]) -> Iterator[RowFault]:
    left = dict(seals)
    settings = load_settings()
    keys = cache(lambda key_id: marking_key(settings, key_id))
    for row in rows:
        table = _table(row.label)
        seal = left.pop((table, row.key), None)
        if seal is None:
            yield _untold(table, row.key)
            continue
        for name, value in row.values.items():
            made = seal.marks.get(name, "")
            if not made or made != mark(keys(made.partition(":")[0]), table, row.key, name, value):
                yield RowFault(table, row.key, name, _changed(seal, name))
    for seal in left.values():
        yield RowFault(seal.table, seal.row, "", f"table {seal.table}, row {seal.row} is missing: {_last(seal)}")


def _changed(seal: RowSeal, name: str) -> str:
    return f"table {seal.table}, row {seal.row}, field {name} was changed: {_last(seal)}"


def _last(seal: RowSeal) -> str:
    return f"event {seal.number} was the last to tell of it"
