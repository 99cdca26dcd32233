"""Levels of generalisation: one vocabulary for the forms of an extract's columns and for the search of its risk.

``vocabulary`` has names and words, ``columns`` the SQL of a typed column as the build writes it, ``values`` that of
the text of a value as the risk search tries it.
"""
