"""Evaluation: sweeps over loss conditions, statistics, report."""
