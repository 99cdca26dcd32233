"""The rules: who may do what, which way a study goes, what is never allowed, what a count may show.

Pure functions over plain values: no database, web, Spark or torch. Faces, actions and tests ask the same rules.
"""
