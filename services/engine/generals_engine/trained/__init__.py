"""Trained policies: views as the collector encodes them, ONNX networks, newer versions loaded while playing.

Needs the `onnx` extra. Named in the settings as `generals_engine.trained:newest` (what the trainer publishes, always
the newest version) or `generals_engine.trained:past` (its last versions, one drawn for each game).
"""

from generals_engine.trained.factories import newest, past

__all__ = ["newest", "past"]
