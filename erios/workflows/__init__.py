"""The composed steps that both faces call: they tie the wings together with settings and keys."""
