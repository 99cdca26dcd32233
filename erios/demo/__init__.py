"""The demonstration on a generated hospital, from the keys to trained models, then served locally.

Owns the demonstration's home, its accounts and the order of its steps. Each step asks the record whether it is done, so
an interrupted demonstration goes on where it stopped. It must never touch a home that is not a demonstration's.
"""

from __future__ import annotations
