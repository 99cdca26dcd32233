"""Pages, one module an audience."""
