"""The record held against everything that it vouches for: the chain, and every row of the governance database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from erios.audit import Verification, verify
from erios.audit.database import exists
from erios.database import set_up_django
from erios.errors import EriosError
from erios.settings import Settings

if TYPE_CHECKING:
    from erios.accounts.sealed_rows import RowFault


@dataclass(frozen=True)
class RecordVerification(Verification):
    """A verification of the chain, with the rows that are not as it tells; ``faults`` has a sentence for each too."""

    rows: tuple[RowFault, ...] = ()


def verify_record(settings: Settings) -> RecordVerification:
    """Check the whole chain, then every row of every table against it; nothing is changed. KeyringError."""
    chain = verify(settings)
    whole = RecordVerification(chain.events, chain.seal, chain.faults)
    if not chain.events or not exists(settings):
        return whole
    set_up_django()
    from erios.accounts.sealed_rows import is_sealing, verify_rows  # Django's models, once it is set up

    try:
        rows = tuple(verify_rows()) if is_sealing() else ()
    except EriosError as error:
        return replace(whole, faults=chain.faults or (error.sentence,))
    return replace(whole, faults=(*whole.faults, *(fault.sentence for fault in rows)), rows=rows)
