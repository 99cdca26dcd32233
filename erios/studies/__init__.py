"""Studies: proposals, votes, visas, decisions, points, conditions and comments, kept in the governance database.

Reads are selectors, writes are actions: one function a write, one transaction with its audit event.
"""
