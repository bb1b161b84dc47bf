"""What a health request costs here and elsewhere: ``python -m tests.benchmarks``.

It measures and never judges: no time is asserted, so a busy machine fails nothing.
"""
