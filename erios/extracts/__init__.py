"""Extracts: what leaves the warehouse for a study. None can be made yet; here is what other parts ask of them."""
