"""The hospital's disclosure ledger in the database: read into memory, appended under one lock, charged to who asks.

Owns the order: whoever appends holds the ledger's lock from the moment it is read, so that no two answers are given
without knowing of each other. What an answer may show is ``erios.extracts.counts``'.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from erios.accounts.audit_events import record
from erios.accounts.models import User
from erios.audit import Draft
from erios.extracts.counts import EVERYBODY_DIGEST, Counter, Feasibility, load_parameters
from erios.extracts.ledger import Answer, Entry, Figure, Key, Ledger, Reader
from erios.governance.disclosure import Account, Parameters
from erios.studies.models import (
    LedgerAnswer,
    LedgerGroup,
    LedgerPatients,
    LedgerReading,
    PartKind,
    Study,
)


class _Reading:
    """The ledger as this process has read it, and how far: the last row of each table, with its time."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what was read."""
        self.ledger = Ledger(load_parameters().threshold)
        self.last: dict[_Table, tuple[int, datetime]] = {}
        self.places: dict[int, int] = {}
        """Place of each group by its key in the database."""

    def go_on(self) -> Ledger:
        """What was appended since; all of it anew where what was read is no longer there (another database)."""
        if not all(table.objects.filter(pk=pk, at=at).exists() for table, (pk, at) in self.last.items()):
            self.begin()
        for patients in self._new(LedgerPatients):
            self.ledger.roster.add(np.frombuffer(bytes(patients.digests), dtype="<i8").astype(np.int64))
        for group in self._new(LedgerGroup):
            self.places[group.pk] = len(self.ledger.groups)
            self.ledger.add(Entry((np.frombuffer(zlib.decompress(bytes(group.bits)), dtype=np.uint8),), ()))
        for row in self._new(LedgerAnswer):
            self.ledger.add(Entry((), (self._answer(row),)))
        return self.ledger

    def _new(self, table: _Table) -> Iterator[Any]:
        after = self.last[table][0] if table in self.last else 0
        for row in table.objects.filter(pk__gt=after).order_by("pk").iterator():
            self.last[table] = (row.pk, row.at)
            yield row

    def _answer(self, row: LedgerAnswer) -> Answer:
        group = None if row.group_id is None else self.places[row.group_id]
        named = tuple(self.places[pk] for pk in row.named)
        return Answer(row.release, row.canonical, row.digest, row.value, group, named, row.fresh)


_Table: TypeAlias = type[LedgerPatients] | type[LedgerGroup] | type[LedgerAnswer]
_reading = _Reading()
_lock = Lock()


@contextmanager
def open_ledger() -> Iterator[Ledger]:
    """The ledger as it stands, nobody else appending until the block ends; opens a transaction."""
    with transaction.atomic():
        _ = LedgerPatients.objects.select_for_update(no_key=True).order_by("pk")[0]
        with _lock:
            yield _reading.go_on()


def enrol(counter: Counter) -> None:
    """Give the patients of a counter's release their places in the roster."""
    with open_ledger() as ledger:
        missing = ledger.roster.missing(counter.patients)
        if len(missing):
            row = LedgerPatients.objects.create(digests=missing.astype("<i8").tobytes())
            record([Draft("ledger.enrol", details={"patients": len(missing)})], by=None, rows=[row])


def forget_absent(counter: Counter | None) -> None:
    """Take out of the roster whoever is not in the counter's release (all without one): erased patients.

    The groups that they were in no longer say who they were; their places stay empty.
    """
    present = counter.patients if counter else np.empty(0, dtype=np.int64)
    with open_ledger():
        rows = list(LedgerPatients.objects.all())
        for row in rows:
            digests = np.frombuffer(bytes(row.digests), dtype="<i8")
            row.digests = np.where(np.isin(digests, present), digests, 0).astype("<i8").tobytes()
            row.at = timezone.now()  # tells every process to read anew
            row.save()
        record([Draft("ledger.forget")], by=None, rows=rows)


def keep(entry: Entry, ledger: Ledger) -> list[Model]:
    """Append what an answer adds; inside ``open_ledger``. It is in memory from the next reading on.

    Answers the rows, which the caller's event seals.
    """
    rows: list[Model] = []
    pks = {place: pk for pk, place in _reading.places.items()}
    for place, bits in enumerate(entry.groups, len(ledger.groups)):
        rows.append(LedgerGroup.objects.create(bits=zlib.compress(bits.tobytes(), 6)))
        pks[place] = rows[-1].pk
    for answer in entry.answers:
        group = None if answer.group is None else pks[answer.group]
        row = LedgerAnswer.objects.create(
            release=answer.release,
            digest=answer.digest,
            canonical=answer.canonical,
            value=answer.value,
            group_id=group,
            named=[pks[place] for place in answer.named],
            fresh=answer.fresh,
        )
        rows.append(row)
    return rows


def publish(counter: Counter, figures: Sequence[Figure]) -> list[int]:
    """Put figures of a release that are the same for everybody on the hospital's own account; the values to show."""
    enrol(counter)
    with open_ledger() as ledger:
        values, entry = ledger.publish(counter.release.id, figures, counter.limits)
        rows = keep(entry, ledger)
        record([Draft("ledger.publish", counter.release.id, details={"figures": len(values)})], by=None, rows=rows)
    return values


def tell_team(counter: Counter, figure: Figure, study: Study, people: Sequence[User]) -> None:
    """Put on the ledger that a team may now read an exact figure of its own; charged to the study and to each of them.

    It is about a group like any other: a later count of nearly these patients is taken for it, whoever asks.
    """
    enrol(counter)
    with open_ledger() as ledger:
        _values, entry = ledger.publish(counter.release.id, [figure], counter.limits)
        rows = keep(entry, ledger)
        answer = LedgerAnswer.objects.get(
            release=counter.release.id, digest=hashlib.sha256(figure.canonical.encode()).hexdigest()
        )
        for person in people:
            values = {"draft": False}
            reading, new = LedgerReading.objects.get_or_create(
                answer=answer, person=person, study=study, defaults=values
            )
            rows += [reading] if new else []
        record([Draft("study.told", study.number, details={"digest": answer.digest})], by=None, rows=rows)


def charge(answer: Feasibility, study: Study, by: User) -> list[LedgerReading]:
    """Put on the ledger that a person was shown an answer for a study; inside ``open_ledger``.

    Answers the rows, which the caller's event seals.
    """
    rows = LedgerAnswer.objects.filter(release=answer.release, digest__in={digest for _, digest in answer.shown_keys})
    draft = is_draft(study)
    LedgerReading.objects.bulk_create(
        (LedgerReading(answer=row, person=by, study=study, draft=draft) for row in rows), ignore_conflicts=True
    )
    return list(LedgerReading.objects.filter(answer__in=rows, person=by, study=study))


def is_draft(study: Study) -> bool:
    """Was no version of it ever submitted?"""
    return not study.proposals.filter(submitted__isnull=False).exists()


def reader_of(study: Study, by: User, parameters: Parameters) -> Reader:
    """Who pays for a question, and what they and those they work with were shown."""
    return Reader(str(by.pk), accounts_of(study, by, parameters), _keys(_circle(study, by)))


def accounts_of(study: Study, by: User, parameters: Parameters) -> tuple[Account, ...]:
    """The accounts that pay for a question of this person in this study."""
    since = timezone.now() - timedelta(days=parameters.days)
    own = LedgerReading.objects.filter(person=by)
    lately, drafts = own.filter(at__gt=since), own.filter(at__gt=since, draft=True)
    accounts = [
        _account("study", parameters.budget, study.readings.all(), study.readings.all()),
        _account("person", parameters.person, lately, own),
    ]
    if is_draft(study):
        accounts.append(_account("drafts", parameters.before_submission, drafts, own))
    return tuple(accounts)


def _account(kind: str, limit: int, paid: QuerySet[LedgerReading], shown: QuerySet[LedgerReading]) -> Account:
    charged = paid.exclude(answer__digest=EVERYBODY_DIGEST)
    return Account(kind, limit, charged.values("answer").distinct().count(), _keys(shown))


def _keys(readings: QuerySet[LedgerReading]) -> frozenset[Key]:
    return frozenset(readings.values_list("answer__release", "answer__digest"))


def _circle(study: Study, by: User) -> QuerySet[LedgerReading]:
    """What this person, the study's team, and the teams that they are on were shown."""
    kinds = [PartKind.PROPOSER, PartKind.TEAM]
    people = User.objects.filter(
        Q(pk=by.pk) | Q(pk=study.proposer_id) | Q(parts__proposal__study=study, parts__kind__in=kinds)
    )
    studies = Study.objects.filter(
        Q(pk=study.pk)
        | Q(proposer__in=people)
        | Q(proposals__parts__person__in=people, proposals__parts__kind__in=kinds)
    )
    return LedgerReading.objects.filter(Q(person__in=people) | Q(study__in=studies)).distinct()


def left(study: Study, by: User) -> int:
    """New counts that this person may still be shown in this study: of the account that has the least left."""
    return min(account.left for account in accounts_of(study, by, load_parameters()))


def shown_to(study: Study) -> Sequence[str]:
    """Canonical questions whose answers, not masked, the study or somebody on its team was shown, oldest first."""
    shown = _circle(study, study.proposer).exclude(answer__value=None).filter(answer__fresh=True)
    return list(dict.fromkeys(shown.order_by("answer_id").values_list("answer__canonical", flat=True)))
