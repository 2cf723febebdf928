"""Corpora: each yields recordings as blocks of ticks."""
