"""Programs in the background, and their figures in /proc."""

import contextlib
import os
import re
import resource
import signal
import subprocess
import threading
import time

HZ = os.sysconf("SC_CLK_TCK")


def stat_fields(pid):
    """The fields after "pid (name) " in its stat file; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def session_pids(session, zombies=False):
    """The processes of a session; each daemon starts one."""
    pids = []
    for name in os.listdir("/proc"):
        fields = stat_fields(name) if name.isdigit() else None
        if (fields and int(fields[3]) == session
                and (zombies or fields[0] != "Z")):
            pids.append(int(name))
    return pids


def listening(port, protocol="tcp"):
    """Whether something listens. A connection would count as a client, so
    this reads /proc."""
    with open("/proc/net/" + protocol) as file:
        next(file)
        for line in file:
            fields = line.split()
            if protocol == "tcp" and fields[3] != "0A":
                return False  # listeners come first
            if int(fields[1].split(":")[1], 16) == port:
                return True
    return False


def machine_busy_s():
    """CPU seconds of the whole machine since it started, except idle ones."""
    with open("/proc/stat") as file:
        ticks = list(map(int, file.readline().split()[1:9]))
    return (sum(ticks) - ticks[3] - ticks[4]) / HZ


def tcp_memory_mb():
    with open("/proc/net/sockstat") as file:
        pages = re.search(r"TCP:.* mem (\d+)", file.read()).group(1)
    return int(pages) * resource.getpagesize() / 2**20


class Daemon:
    """A background program in its own session."""

    def __init__(self, argv, log):
        self.log = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True)

    def pids(self):
        return session_pids(self.process.pid)

    def cpu_s(self):
        """User and system time, with that of children that have ended."""
        ticks = 0
        for pid in session_pids(self.process.pid, zombies=True):
            ticks += sum(map(int, (stat_fields(pid) or [0] * 15)[11:15]))
        return ticks / HZ

    def sum_kb(self, name, key):
        """The sum of a key in a file of /proc over all processes."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/{name}") as file:
                    found = re.search(rf"\n{key}:\s+(\d+)", file.read())
                total += int(found.group(1)) if found else 0
        return total

    def resident_kb(self):
        return self.sum_kb("status", "VmRSS")

    def proportional_kb(self):
        """Resident memory, in which shared memory counts once."""
        return self.sum_kb("smaps_rollup", "Pss")

    def descriptors(self):
        count = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                count += len(os.listdir(f"/proc/{pid}/fd"))
        return count

    def wait_listen(self, port, protocol="tcp"):
        end = time.time() + 15
        while not listening(port, protocol):
            if self.process.poll() is not None or time.time() > end:
                with open(self.log, errors="replace") as file:
                    raise RuntimeError(f"does not listen on port {port}: "
                                       f"{file.read()[-500:]}")
            time.sleep(0.05)

    def _signal(self, number, timeout_s):
        """True if all its processes end within the given seconds."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        end = time.time() + timeout_s
        while time.time() < end:
            self.process.poll()
            if not self.pids():
                return True
            time.sleep(0.05)
        return False

    def stop(self):
        if not self._signal(signal.SIGTERM, 3):
            self._signal(signal.SIGKILL, 3)
        self.process.wait()


class PeakResident(threading.Thread):
    """Samples a daemon's resident memory until stop(), which returns the
    peak."""

    def __init__(self, daemon, every_s):
        super().__init__(daemon=True)
        self.target = daemon
        self.every_s = every_s
        self.peak_kb = 0
        self.over = threading.Event()
        self.start()

    def run(self):
        while True:
            self.peak_kb = max(self.peak_kb, self.target.resident_kb())
            if self.over.wait(self.every_s):
                return

    def stop(self):
        self.over.set()
        self.join()
        return self.peak_kb
