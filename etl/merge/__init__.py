"""From staged rows to the changed files of every table: newest versions, patients' identities, reconciliation."""
