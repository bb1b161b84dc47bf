"""Probes: their specification and their policy."""
