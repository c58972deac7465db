"""The speed gates: what `run.py --gate` insists on, as ratios to uvloop in the same run."""

from dataclasses import dataclass

from network import SIZES, Echo


@dataclass(frozen=True, slots=True)
class Gate:
    """boros has to be at least `factor` times cheaper than uvloop in this case."""

    case: str
    factor: float


GATES = (
    Gate("tasks/sleep-zero", 4.0),
    Gate("scheduling/call-soon-chain", 6.0),
    Gate("tasks/create", 3.0),
    Gate("futures/ping-pong", 2.2),
    Gate("timers/schedule-cancel", 2.0),
    Gate("threads/threadsafe-own", 2.0),
    *(Gate(Echo("protocol", size, count).name, 1.0) for count in (1, 50) for size in SIZES),
)
