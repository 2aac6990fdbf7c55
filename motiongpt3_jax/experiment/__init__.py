"""Experiments: from a config to a run that is trained, for any system."""
