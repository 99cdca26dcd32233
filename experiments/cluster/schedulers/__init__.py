"""Kinds of schedulers, a module each: it provides ``KIND`` (``scheduler_kinds.SchedulerKind``); nothing else names it.

To add one, write a module here; its name as ``kind`` in a profile selects it.
"""
