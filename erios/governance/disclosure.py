"""What a count may show: masking under a threshold, the cell-key noise, hidden companions, the budget of questions.

Owns the rules and their parameters; must never see a patient's row or a key that is not handed to it. Sources: the
cell-key method of the Australian Bureau of Statistics (TableBuilder) and of Eurostat's guidelines for the 2021 census,
whose table of noise has the greatest entropy for its mean, variance and bound; primary and complementary suppression
as in the handbook of the European centre of excellence on statistical disclosure control.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from erios.errors import RefusedError, UsageError
from erios.translation import gettext, mark

THRESHOLD = 11
_FEWER = mark("moins de {count}")


@dataclass(frozen=True)
class Parameters:
    """``variance`` (patients²) and ``bound`` (patients) of the noise; counts that may be shown: ``budget`` to a study,
    ``person`` to one person in ``days`` days over all studies, ``before_submission`` of these for drafts.

    ``looks`` says how precisely people of one circle may come to know one group by crossing their answers: never better
    than the mean of that many fresh answers. ``blur``: up to so many patients over the threshold, whether a group is
    small, or near another, is drawn by key. The threshold may be raised and never lowered.
    """

    threshold: int = THRESHOLD
    variance: float = 100.0
    bound: int = 30
    budget: int = 200
    person: int = 400
    before_submission: int = 100
    days: int = 365
    looks: float = 4.0
    blur: int = 33

    def __post_init__(self) -> None:
        """UsageError for parameters that would not protect."""
        if self.threshold < THRESHOLD:
            raise UsageError(f"disclosure threshold {self.threshold}: {THRESHOLD} is the least allowed")
        if self.bound < 1 or not 0 < self.variance <= self.bound**2 / 3:
            raise UsageError("disclosure noise: bound is 1 or more, variance is above 0 and at most bound²/3")
        if min(self.budget, self.person, self.before_submission, self.days, self.looks) < 1:
            raise UsageError("disclosure budget, person, before_submission, days and looks: each is 1 or more")
        if self.blur < THRESHOLD:
            raise UsageError(f"disclosure blur {self.blur}: {THRESHOLD} is the least allowed")


@dataclass(frozen=True)
class Shown:
    """A count as a person may see it: ``value`` is None when it is masked."""

    value: int | None
    threshold: int = THRESHOLD

    def __str__(self) -> str:
        """In the current language, with thin spaces between thousands."""
        if self.value is None:
            return gettext(_FEWER, count=self.threshold)
        return f"{self.value:,}".replace(",", "\u202f")


def noise_table(parameters: Parameters) -> tuple[tuple[int, float], ...]:
    """(noise, probability): the discrete law of greatest entropy with mean 0, this variance and this bound."""
    return _noise_table(parameters.variance, parameters.bound)


@cache
def _noise_table(variance: float, bound: int) -> tuple[tuple[int, float], ...]:
    low, high = 0.0, 50.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _variance(_weights(middle, bound)) > variance else (low, middle)
    weights = _weights(low, bound)
    total = sum(weights)
    return tuple((noise, weight / total) for noise, weight in zip(range(-bound, bound + 1), weights, strict=True))


def _weights(slope: float, bound: int) -> list[float]:
    return [math.exp(-slope * noise * noise) for noise in range(-bound, bound + 1)]


def _variance(weights: Sequence[float]) -> float:
    bound = len(weights) // 2
    return sum(w * (place - bound) ** 2 for place, w in enumerate(weights)) / sum(weights)


def cell_noise(secret: bytes, count: int, key_sum: int, parameters: Parameters) -> int:
    """The noise of a set of patients, known by its size and the sum of its record keys: a function of the set alone."""
    digest = hmac.digest(secret, f"cell {count} {key_sum}".encode(), "sha256")
    place = int.from_bytes(digest[:8], "big") / 2**64
    table = noise_table(parameters)
    reached = accumulate(probability for _, probability in table)
    return next((noise for (noise, _), upto in zip(table, reached, strict=True) if place < upto), parameters.bound)


def show(secret: bytes, count: int, key_sum: int, parameters: Parameters) -> Shown:
    """A count masked if it, or its perturbed value, is under the threshold; else perturbed."""
    perturbed = count + cell_noise(secret, count, key_sum, parameters)
    hidden = count < parameters.threshold or perturbed < parameters.threshold
    return Shown(None if hidden else perturbed, parameters.threshold)


def blurred_limit(secret: bytes, about: bytes, parameters: Parameters) -> int:
    """From how many patients on a group is not small (or two groups are not near): the threshold to threshold + blur.

    With one limit for all, whoever sees where a count appears, or where two answers part, would learn that exactly 11
    patients lie there: a scan of such places tells of one patient whether they are among them. Each question, and each
    pair of groups, has a limit of its own. P(limit > n) falls from 1 to 0 as cos², so that seeing which side of its
    limit a group lies on tells equally little wherever it lies: the Fisher information is (π / 2 (blur + 1))² · 4.
    """
    digest = hmac.digest(secret, b"limit " + about, "sha256")
    angle = math.acos(math.sqrt(int.from_bytes(digest[:8], "big") / 2**64))
    return parameters.threshold + int((parameters.blur + 1) * angle * 2 / math.pi)


def round_count(count: int, threshold: int = THRESHOLD) -> int:
    """To two figures that count, and to a multiple of more than twice the threshold at least."""
    steps = (nice * 10**power for power in range(1, 18) for nice in (1, 2.5, 5))
    step = max(int(next(step for step in steps if step > 2 * threshold)), int(f"1{'0' * (len(str(count)) - 2)}"))
    return max(step, step * round(count / step))


def protect_row(counts: Sequence[int], threshold: int = THRESHOLD) -> tuple[int | None, ...]:
    """Cells whose total is known: those under the threshold are hidden, and as many more (the smallest) as it takes
    for two cells at least, and ``threshold`` patients at least, to be hidden together."""
    hidden = _companions(counts, {place for place, count in enumerate(counts) if count < threshold}, threshold)
    return tuple(None if place in hidden else count for place, count in enumerate(counts))


def _companions(counts: Sequence[int], hidden: set[int], threshold: int) -> set[int]:
    hidden = set(hidden)
    for place in sorted(range(len(counts)), key=lambda place: counts[place]):
        if not hidden or (len(hidden) > 1 and sum(counts[h] for h in hidden) >= threshold):
            break
        hidden.add(place)
    return hidden


_ACCOUNTS = {
    "study": "of the study's {limit}",
    "person": "of your {limit} in {days} days, over all studies,",
    "drafts": "of your {limit} in {days} days for studies that were never submitted",
}


@dataclass(frozen=True)
class Account:
    """Who pays for new counts: a study, a person, or the same person's drafts; ``shown``: answers that are free to it.

    An answer's key is its release and the digest of its question.
    """

    kind: str
    limit: int
    spent: int = 0
    shown: frozenset[tuple[str, str]] = frozenset()

    @property
    def left(self) -> int:
        """Counts that may still be shown."""
        return max(0, self.limit - self.spent)

    def price(self, wanted: Iterable[tuple[str, str]]) -> int:
        """How many of these answers are new to it."""
        return len(set(wanted) - self.shown)


def check_budget(accounts: Iterable[Account], wanted: Collection[tuple[str, str]], parameters: Parameters) -> int:
    """The most that any account pays; RefusedError when it costs one more than it has left."""
    most = 0
    for account in accounts:
        price = account.price(wanted)
        most = max(most, price)
        if price > account.left:
            limit = _ACCOUNTS[account.kind].format(limit=account.limit, days=parameters.days)
            raise RefusedError(
                f"this question would show {price} new counts and {account.left} {limit} are left;"
                " questions already asked stay free"
            )
    return most
