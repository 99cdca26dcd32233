"""Terminology: which codes are words of a closed vocabulary, and what they are called."""
