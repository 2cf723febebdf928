"""Live inference: push frames and sound, get valence and arousal per tick."""
