"""The machine that a run was made on, as far as it bears on the figures: no host names, no paths."""

import os
import platform
import statistics
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import confluent_kafka
import psutil

PACKAGES = ("confluent-kafka", "SQLAlchemy", "PyMySQL", "msgspec")
UNKNOWN = "unknown"
FSYNC_TIMES = 50
FSYNC_BYTES = 4096
BUSES = {"nvme": "NVMe disk", "vd": "virtio disk", "xvd": "Xen disk", "sd": "SCSI or SATA disk", "mmcblk": "flash card",
         "dm-": "device mapper", "md": "software RAID", "loop": "loop device"}  # fmt: skip


def describe(folder: Path | None = None) -> dict[str, Any]:
    """The machine, its load, the software, and the disk under `folder` (the working folder where none is given).

    `cores` are those that this process may use, `memory_gb` is 10^9 bytes, `fsync_ms` the median milliseconds of a
    4 kB write with its fsync, `load_average` that of the last 1, 5 and 15 minutes. A limit that a container sets on
    CPU time or memory is not seen. Raises `OSError` where `folder` cannot be written to.
    """
    place = folder or Path.cwd()
    return {
        "load_average": [round(load, 2) for load in os.getloadavg()],  # before we ourselves do anything
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "disk": disk_kind(place),
        "fsync_ms": round(fsync_ms(place), 3),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions(),
        "commit": commit(),
    }


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as the kernel gives it, or `unknown`."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return UNKNOWN
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine() or UNKNOWN


def disk_kind(folder: Path) -> str:
    """The kind of disk and the file system under a folder, such as `virtio disk, ext4`; without the disk's name."""
    number = folder.stat().st_dev
    node = f"{os.major(number)}:{os.minor(number)}"
    block = Path("/sys/dev/block", node)
    system = file_system(node)
    return f"{_block_kind(block.resolve())}, {system}" if block.exists() else f"no disk of its own, {system}"


def _block_kind(block: Path) -> str:
    disk = block.parent if (block / "partition").exists() else block
    bus = next((kind for prefix, kind in BUSES.items() if disk.name.startswith(prefix)), "disk")
    try:
        spins = (disk / "queue" / "rotational").read_text().strip() == "1"
    except OSError:
        return bus
    return f"{bus} ({'the kernel takes it for rotating' if spins else 'not rotating'})"


def file_system(node: str, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The file system of the device `major:minor` by the kernel's list of mounts, or `unknown`."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return UNKNOWN
    for line in lines:
        mount, _, rest = line.partition(" - ")
        if mount.split()[2] == node:
            return rest.split()[0]
    return UNKNOWN


def fsync_ms(folder: Path, times: int = FSYNC_TIMES) -> float:
    """The median milliseconds of a 4 kB write with its fsync, in a file of the folder that is gone afterwards."""
    block = os.urandom(FSYNC_BYTES)
    taken = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(block)
            os.fsync(file.fileno())
            taken.append(1e3 * (time.perf_counter() - began))
    return statistics.median(taken)


def versions() -> dict[str, str]:
    """The versions of the packages that the figures rest on, and of librdkafka."""
    return {**{name: metadata.version(name) for name in PACKAGES}, "librdkafka": confluent_kafka.libversion()[0]}


def commit() -> str:
    """The commit of this checkout, with `and uncommitted changes` where tracked files differ; or `unknown`."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return f"{head} and uncommitted changes" if changed else head


def _git(*arguments: str) -> str:
    place = Path(__file__).resolve().parent
    done = subprocess.run(["git", *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()
