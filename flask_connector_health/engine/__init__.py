"""The probe engine: it knows probes and time, and no web framework."""
