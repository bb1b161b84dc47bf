"""How much each section measures: in full, or just enough to prove that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The sizes of one run. Times are seconds."""

    quick: bool

    #: Interleaved rounds, and requests of one subject within each.
    rounds: int
    batch: int
    probes: tuple[int, ...]

    #: Numbers of cached organizations, and the requests among them that are timed.
    organizations: tuple[int, ...]
    hits: int
    #: Organizations that pass through a bound.
    passing: int
    bound: int

    misses: int
    missed_probes: tuple[int, ...]

    slow_probes: int
    slow: float
    repeats: int

    deadline: float
    #: How long a peer's check hangs; ours hangs until the measurement is over.
    hang: float
    hung_requests: int

    clients: int
    stampede: float

    #: Numbers of organizations that are polled, how often and for how long, and what a probe
    #: of theirs takes.
    polled: tuple[int, ...]
    poll_interval: float
    poll_seconds: float
    polled_probes: tuple[float, ...]

    memory_requests: int
    imports: int


FULL = Scale(
    quick=False,
    rounds=300,
    batch=20,
    probes=(0, 1, 5, 20, 100),
    organizations=(1, 1_000, 100_000, 1_000_000),
    hits=20_000,
    passing=1_000_000,
    bound=10_000,
    misses=1_000,
    missed_probes=(0, 1, 20),
    slow_probes=10,
    slow=0.1,
    repeats=3,
    deadline=0.8,
    hang=3.0,
    hung_requests=200,
    clients=50,
    stampede=0.2,
    polled=(300, 1_000, 2_000),
    poll_interval=5.0,
    poll_seconds=15.0,
    polled_probes=(0.2, 0.5),
    memory_requests=200_000,
    imports=15,
)

QUICK = Scale(
    quick=True,
    rounds=3,
    batch=2,
    probes=(0, 3),
    organizations=(1, 50),
    hits=100,
    passing=200,
    bound=20,
    misses=10,
    missed_probes=(0, 2),
    slow_probes=3,
    slow=0.02,
    repeats=1,
    deadline=0.1,
    hang=0.2,
    hung_requests=5,
    clients=5,
    stampede=0.05,
    polled=(10,),
    poll_interval=0.1,
    poll_seconds=0.2,
    polled_probes=(0.01,),
    memory_requests=400,
    imports=1,
)
