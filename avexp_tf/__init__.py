"""Valence and arousal from face and voice, also when one of them is missing."""

__version__ = "0.1.0"
