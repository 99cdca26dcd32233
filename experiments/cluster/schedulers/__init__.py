"""Kinds of schedulers, one module each: it provides ``KIND`` (``scheduler_kinds.SchedulerKind``), and nothing else names it.

To add one, write a module here; its name as ``kind`` in a profile selects it.
"""
