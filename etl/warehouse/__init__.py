"""Published tables: data files, Delta commits, releases, and what may be deleted. A reader needs no view compiler."""
