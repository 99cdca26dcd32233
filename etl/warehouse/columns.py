"""Columns that the loader adds to every table, and the internal tables: ledger, identifiers, links, identities."""

from __future__ import annotations

VERSION_TYPES = {"_last_updated": "TIMESTAMP WITH TIME ZONE", "_version": "VARCHAR", "_hash": "BIGINT"}
"""What orders the versions of a resource: version time (UTC instant), version id, keyed content hash."""


VERSION = tuple(VERSION_TYPES)


PATIENT, LOGICAL = "_patient", "_logical"


ROW_VERSION = "date_trunc('day', o._last_updated) AS _last_updated"
"""SQL of what a row shows of its version: the day. The exact version, a key shared with the source server, is in the
ledger alone, which no reader is handed."""


LINEAGE_TYPES = {"_last_updated": VERSION_TYPES["_last_updated"], PATIENT: "VARCHAR", LOGICAL: "VARCHAR[]"}
"""Columns the loader adds to every row: the day of its version, the patient as the record names it (before merges of
identities), and the keyed business identifiers by which its columns refer (``column:place=key``), to be resolved again.
"""


LEDGER = "_ledger"


LEDGER_COLUMNS = {
    "resource_type": "VARCHAR",
    "resource_key": "VARCHAR",
    "patient_key": "VARCHAR",
    **VERSION_TYPES,
    "deleted": "BOOLEAN",
    "withheld": "BOOLEAN",
    "generation": "INTEGER",
}
"""One row for each version of a resource that was current, of all types, also those that no view reads; the row of the
greatest generation counts. ``withheld``: the version makes no row, because the patient objects or has been replaced."""


IDENTIFIER = "_identifier"


IDENTIFIER_COLUMNS = {"identifier_key": "VARCHAR", "resource_key": "VARCHAR"}
"""Keyed business identifier → resource key: resolves references by identifier."""


LINK = "_link"


LINK_COLUMNS = {"resource_key": "VARCHAR", "replaced_by": "VARCHAR", "replaces": "VARCHAR"}
"""Patient.link of the current patients: which identities were merged."""


IDENTITY = "_identity"


IDENTITY_COLUMNS = {
    "alias": "VARCHAR",
    "target": "VARCHAR",
    "logical": "BOOLEAN",
    "objects": "BOOLEAN",
    "excluded": "BOOLEAN",
}
"""How references are resolved today: ``alias``, the pseudonym of a patient or (``logical``) of a business identifier,
means the resource ``target``, NULL when that is unknown. Rows only of aliases that do not mean themselves, and of
patients who object: ``objects`` is an entry of the register, ``excluded`` every alias of such a patient."""


INTERNAL = {LEDGER: LEDGER_COLUMNS, IDENTIFIER: IDENTIFIER_COLUMNS, LINK: LINK_COLUMNS, IDENTITY: IDENTITY_COLUMNS}
