"""Runnable tools for records: prepare, inspect, verify."""
