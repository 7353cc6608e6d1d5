"""What Linux says of processes and cores: CPU seconds, memory, affinity."""

from __future__ import annotations

import os
import resource
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process, of all its threads, user and system.

    To the nanosecond where the scheduler tells, otherwise in steps of 10 ms.
    """
    exact = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            exact += int((task / "schedstat").read_text().split()[0])
    except OSError:
        exact = 0
    if exact:
        return exact / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def memory(pid: int) -> dict[str, int]:
    """Return the bytes of a process: resident, its share of what is shared, and what is its own."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kb = {line.partition(":")[0]: int(line.split()[1]) for line in rollup}
    own = kb["Private_Clean"] + kb["Private_Dirty"]
    return {"rss": kb["Rss"] * 1024, "pss": kb["Pss"] * 1024, "uss": own * 1024}


def descriptors(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def busy_seconds(core: int) -> float:
    """Return for how many seconds a core has been busy, with whatever."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq = (int(it) for it in fields[:7])
            return (user + nice + system + irq + softirq) / TICK
    raise LookupError(f"no core {core}")


def cores() -> tuple[int, int]:
    """Return the cores of server and viewers; the same one twice where there is but one."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[min(1, len(available) - 1)]


def raise_file_limit() -> int:
    """Raise the limit of open files to the hard one, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def processor() -> str:
    """Return the name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
