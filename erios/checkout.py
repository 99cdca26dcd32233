"""Where the product lies on disk."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
"""The checkout: the folder that holds ``erios/`` and ``conf/``."""
