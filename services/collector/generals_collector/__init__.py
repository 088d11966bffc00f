"""Transitions in, tensorised and rewarded experiences out."""
