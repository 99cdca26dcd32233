"""A disclosure ledger in memory, with accounts: what ``erios.studies.ledger`` keeps in the database, without one."""

from __future__ import annotations

from collections import defaultdict

from erios.extracts.counts import EVERYBODY_DIGEST, Counter, Feasibility
from erios.extracts.criteria import Criterion
from erios.extracts.ledger import Key, Ledger, Reader
from erios.governance.disclosure import Account, Parameters


class Desk:
    """Where people of a hospital ask: ``readings`` of each person in each study; nobody is on another's team."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self.ledger = Ledger(self.parameters.threshold)
        self.readings: dict[tuple[str, str], set[Key]] = defaultdict(set)

    def ask(self, counter: Counter, question: Criterion, person: str = "ada", study: str = "draft 1") -> Feasibility:
        """An answer, charged; a study named "draft …" was never submitted."""
        self.ledger.enrol(counter.patients)
        answer = counter.count(question, self.ledger, self._reader(person, study))
        self.ledger.add(answer.entry)
        self.readings[person, study] |= set(answer.shown_keys)
        return answer

    def shown_to(self, person: str) -> int:
        """New counts that a person was shown, over all studies."""
        return len(_charged(self._of(person)))

    def _of(self, person: str, drafts: bool = False) -> set[Key]:
        found = [keys for (who, study), keys in self.readings.items() if who == person and (not drafts or _new(study))]
        return set().union(*found)

    def _reader(self, person: str, study: str) -> Reader:
        of_study = set().union(*(keys for (_, name), keys in self.readings.items() if name == study))
        accounts = [
            self._account("study", self.parameters.budget, of_study, of_study),
            self._account("person", self.parameters.person, self._of(person), self._of(person)),
        ]
        if _new(study):
            paid = self._of(person, drafts=True)
            accounts.append(self._account("drafts", self.parameters.before_submission, paid, self._of(person)))
        return Reader(person, tuple(accounts), frozenset(of_study | self._of(person)))

    @staticmethod
    def _account(kind: str, limit: int, paid: set[Key], shown: set[Key]) -> Account:
        return Account(kind, limit, len(_charged(paid)), frozenset(shown))


def _new(study: str) -> bool:
    return study.startswith("draft")


def _charged(keys: set[Key]) -> set[Key]:
    return {key for key in keys if key[1] != EVERYBODY_DIGEST}
