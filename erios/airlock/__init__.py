"""The airlock's automatic checks: what a file that leaves a study could tell of a patient, before people look at it.

Owns the forms that may leave, the checks of each, and what mends a table; it knows no database and no web, and reads
every file as an enemy wrote it. A check that holds nothing is no release: two people decide.
"""
