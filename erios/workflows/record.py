"""The record held against everything that it vouches for: the chain, and every row of the governance database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from erios.audit import Verification, append, verify
from erios.audit.anchors import Anchor, anchor_faults, make_anchor, write_anchor
from erios.audit.database import exists
from erios.database import set_up_django
from erios.errors import EriosError, InputError, StorageError
from erios.settings import Settings

if TYPE_CHECKING:
    from erios.accounts.sealed_rows import RowFault


@dataclass(frozen=True)
class RecordVerification(Verification):
    """A verification of the chain, with the rows that are not as it tells; ``faults`` has a sentence for each too."""

    rows: tuple[RowFault, ...] = ()


def verify_record(settings: Settings, anchors: Sequence[Anchor] = ()) -> RecordVerification:
    """Check the whole chain, its end against these anchors, then every row of every table. KeyringError.

    Nothing is changed.
    """
    chain = verify(settings)
    faults = (*chain.faults, *(fault for anchor in anchors for fault in anchor_faults(settings, anchor)))
    whole = RecordVerification(chain.events, chain.seal, faults)
    if not chain.events or not exists(settings):
        return whole
    set_up_django()
    from erios.accounts.sealed_rows import is_sealing, verify_rows  # Django's models, once it is set up

    try:
        rows = tuple(verify_rows()) if is_sealing() else ()
    except EriosError as error:
        return replace(whole, faults=faults or (error.sentence,))
    return replace(whole, faults=(*faults, *(fault.sentence for fault in rows)), rows=rows)


def anchor_record(settings: Settings, file: Path) -> Anchor:
    """Write the end of a whole record into a new file, and put that on record.

    StorageError for a damaged record, InputError where there is nothing to anchor or no new file, MachineError when the
    time-stamping authority gives no time-stamp.
    """
    record = verify_record(settings)
    if record.faults:
        raise StorageError(
            f"a damaged record is not anchored: {record.faults[0]}; `erios audit verify` names all faults"
        )
    if not record.events:
        raise InputError(f"nothing is on record in {settings.home}: there is nothing to anchor")
    anchor = make_anchor(settings, record.events, record.seal)
    write_anchor(file, anchor)
    append(settings, "audit.anchor", details={"events": anchor.events, "timestamped": bool(anchor.timestamp)})
    return anchor
