"""From an export to staged, pseudonymised rows: landing, reading, checks, views, privacy rules, quarantine."""
