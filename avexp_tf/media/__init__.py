"""Media files to frames with timestamps and to waveforms."""
