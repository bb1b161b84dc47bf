"""Probes: how one is specified."""
