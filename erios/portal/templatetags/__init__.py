"""Words of the rules in templates."""
