#!/usr/bin/env -S python3 -B
"""Measures evproxy and its peers side by side on loopback. For each round,
workload and proxy it starts backend and proxy, loads and watches them, and
stops them. The proxies take turns, so a disturbance affects all of them. At
the end it writes a table of medians and of ratios to one of the proxies,
results.json and .md, and a chart for each group of workloads.

Workloads, as family:size (-w takes families or workloads):
  rps:C        wrk, C persistent connections: processor time, requests/s
  cps:N        one request for each connection, N at a time: the same
  bulk:P       iperf3, P streams up: Gbit/s, processor time for a GB
  bulkR:P      the same, down
  ping:1       64 bytes there and back, on one connection
  idle:N       N quiet connections: resident bytes for each
  storm:N      N clients stop reading: resident memory at the peak and after
  stall:N      N clients do not read (stallU: the upstream does not), MTU 1500:
               what the proxy's own sockets hold in the kernel for each
  crawl:N      the same at 1 MB a second for each (crawlU: the upstream)
  syscalls:C   strace: system calls for a request (counted, never timed)
  syscallsC:N  strace: system calls for a short connection
  udp:N        N clients of UDP, one datagram of each in flight, echoed:
               processor time for a datagram, datagrams/s
  udpB:N       the same, 32 of each in flight
  udpF:N       N flows of 1,200-byte datagrams; each 16th has a short answer
  udpG:N       the same from senders that use GSO, as those of QUIC do
  syscallsU:N  strace: system calls for a datagram, as udp:N

With TLS=1 also those in which the proxy terminates TLS:
  tls:C        TLS 1.3, full handshakes, C at a time: processor time for each
  tlsr:C       the same, resumed
  tls12:C, tls12r:C, tlsrsa:C   TLS 1.2; a certificate of RSA, not P-256
  tlsidle:N    N quiet connections: resident bytes for each
  tlsreq:C     64 bytes there and back, on C persistent connections
  tlsbulk:P    bytes there and back at once, on P connections

The proxies are in peers.json. haproxy-splice splices whenever it can, as its
option splice-auto does not detect bulk on loopback. Processor time is the
proxy's user and system time. Judge by it: rates and latencies are noisy where
the load runs on the same machine. -p NAME=COMMAND adds another proxy, for
example an older build:
    -p 'before=DIR/evproxy -l {listen} -u {upstream} -w 2'
or, for workloads of TLS or UDP, -p 'before=DIR/evproxy -c {config}'.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import figures
import network
from workloads import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
STREAM_MODULE = "/usr/share/nginx/modules/ngx_stream_module.so"

QUICK = ["rps:64", "rps:1000", "rps:8000", "cps:64", "bulk:1", "bulk:8",
         "idle:9000", "storm:2000", "stall:100", "stallU:100", "crawl:100",
         "crawlU:100", "syscalls:1000", "syscallsC:64",
         "udp:1000", "udpB:8", "udpF:8", "syscallsU:1000"]
FULL = QUICK[:6] + ["bulkR:1", "bulkR:8", "ping:1"] + QUICK[6:14] + [
    "udp:1", "udp:1000", "udpB:1", "udpB:8", "udpF:1", "udpF:8", "udpG:8",
    "syscallsU:1000"]
TLS = ["tls:64", "tlsr:64", "tls12:64", "tls12r:64", "tlsrsa:64",
       "tlsreq:64", "tlsbulk:4", "tlsidle:4000"]

# Counted, not timed: every round is the same within 1 %, so one is enough.
STEADY = ("idle", "storm", "stall", "stallU", "syscalls", "syscallsC",
          "tlsidle", "syscallsU")

# The programs that are needed, and the Debian packages that have them.
PACKAGES = {"haproxy": "haproxy", "nginx": "nginx", "wrk": "wrk",
            "iperf3": "iperf3", "strace": "strace", "gnuplot": "gnuplot-nox",
            "unshare": "util-linux", "hitch": "hitch", "openssl": "openssl"}
LOADS = {"rps": ["wrk", "nginx"], "cps": ["nginx"], "bulk": ["iperf3"],
         "bulkR": ["iperf3"], "syscalls": ["strace", "nginx"],
         "syscallsC": ["strace", "nginx"], "syscallsU": ["strace"]}
LOADS.update({figures.family(case): ["tls_load", "openssl"] for case in TLS})

# Descriptors that the larger workloads need in one process.
DESCRIPTORS = 20000


def missing_packages():
    names = [package for program, package in PACKAGES.items()
             if not shutil.which(program)]
    if not os.path.exists(STREAM_MODULE):
        names.append("libnginx-mod-stream")
    if not shutil.which("gostdnet"):
        names.append("golang-go")
    return names


def peer_is_installed(name, peers):
    peer = peers[name]
    program = (peer if "command" in peer else peer["tls"])["command"].split()[0]
    if not shutil.which(program):
        return False
    return program != "nginx" or os.path.exists(STREAM_MODULE)


def takes_part(peer, case):
    if figures.variant(case) not in peer:
        return False
    only = peer.get("only")
    return only is None or case in only or figures.family(case) in only


def pick_cases(text):
    picked = []
    for word in text.split(","):
        found = [case for case in FULL + TLS
                 if word in (case, figures.family(case))]
        if not found and re.fullmatch(r"\w+:\d+", word):
            found = [word]
        if not found or figures.family(found[0]) not in figures.MEASURES:
            sys.exit(f"bench: no such workload: {word}")
        picked += [case for case in found if case not in picked]
    return picked


def possible(case, many_files):
    """Whether its programs are installed; prints a line if not."""
    kind, _, size = case.partition(":")
    absent = [name for name in LOADS.get(kind, []) if not shutil.which(name)]
    if absent:
        print(f"left out: {case} (needs {', '.join(absent)})")
    elif int(size) * 2 > DESCRIPTORS // 2 and not many_files:
        print(f"left out: {case} (needs {DESCRIPTORS} open files)")
    else:
        return True
    return False


def run_one(lab, case, name, noise):
    """One run, or the quieter of two if others used the CPUs too much."""
    kind, _, size = case.partition(":")
    tries = []
    while not tries or (len(tries) < 2
                        and tries[0].get("noise_share", 0) > noise):
        row = {}
        try:
            row.update(getattr(lab, kind)(name, int(size)))
        except (RuntimeError, OSError, ValueError, AttributeError,
                IndexError, subprocess.SubprocessError) as error:
            row["error"] = f"{type(error).__name__}: {error}"[:600]
        tries.append(row)
    return min(tries, key=lambda row: row.get("noise_share", 1))


def run_all(lab, cases, names, options):
    rows = []
    for turn in range(options.rounds):
        for case in cases:
            if figures.family(case) in STEADY and turn > 0:
                continue
            first = turn % len(names)  # another proxy is first in each round
            for name in names[first:] + names[:first]:
                if not takes_part(lab.peers[name], case):
                    continue
                row = {"round": turn + 1, "case": case, "peer": name}
                row.update(run_one(lab, case, name, options.noise))
                rows.append(row)
                with open(options.out + "/runs.jsonl", "a") as file:
                    file.write(json.dumps(row) + "\n")
                report(row)
    return rows


def report(row):
    if "error" in row:
        said = row["error"]
    else:
        said = "  ".join(
            f"{label} {figures.number(row[key])}"
            for key, label, _ in figures.MEASURES[figures.family(row["case"])]
            if row.get(key) is not None)
    print(f"{row['round']:2}  {row['case']:14}{row['peer']:16}{said}",
          flush=True)


def version_of(name, command):
    try:
        out = subprocess.run(command.split(), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True).stdout
    except OSError:
        return None
    found = re.search(r"\d+\.\d+(\.\d+)?", out)
    return f"{name} {found.group(0)}" if found else None


def machine():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo") as file:
        memory_kb = int(re.search(r"MemTotal:\s+(\d+)", file.read()).group(1))
    versions = [version_of("evproxy", "evproxy -V"),
                version_of("HAProxy", "haproxy -v"),
                version_of("nginx", "nginx -v"),
                version_of("Go", "go version"),
                version_of("hitch", "hitch --version"),
                version_of("OpenSSL", "openssl version")]
    return {"cpu": model.group(1) if model else platform.machine(),
            "cpus": os.cpu_count(), "memory_gb": round(memory_kb / 2**20),
            "kernel": platform.release(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "versions": [text for text in versions if text]}


def write_results(rows, names, options):
    good = [row for row in rows if "error" not in row]
    results = figures.collect(good, options.reference)
    print(figures.tables(results, names, options.reference))
    about = machine()
    about.update(command=os.environ.get("BENCH_COMMAND", "bench.py"),
                 rounds=options.rounds, seconds=options.seconds,
                 reference=options.reference)
    with open(options.out + "/results.json", "w") as file:
        json.dump({"about": about, "results": results}, file, indent=1)
        file.write("\n")
    with open(options.out + "/results.md", "w") as file:
        file.write(figures.markdown(results, names))
    caption = (f"{about['date']}, {about['cpus']} CPUs ({about['cpu']}), "
               f"Linux {about['kernel']}, {about['command']}")
    print("\nwritten:", options.out + "/results.json",
          options.out + "/results.md",
          *figures.charts(results, names, options.out, caption))


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-p", "--peers", action="append", default=[], metavar="NAMES",
        help="comma-separated, or NAME=COMMAND; default: all of peers.json")
    add("-w", "--workloads", help="families or workloads, comma-separated")
    add("-r", "--rounds", type=int, default=1)
    add("-s", "--seconds", type=int, default=2, help="length of a timed run")
    add("--full", action="store_true", help="all workloads, not the quick ones")
    add("--pings", type=int, default=30000)
    add("--noise", type=float, default=1.0, metavar="SHARE",
        help="repeat a run once if other programs used more of the CPUs")
    add("--reference", default="nginx",
        help="the proxy that ratios refer to (%(default)s)")
    add("--path", action="append", default=[], metavar="DIR",
        help="search this folder for programs first; repeatable")
    add("--out", default=".", metavar="DIR", help="where results go")
    return parser.parse_args()


def pick_peers(options, peers):
    names = []
    for item in options.peers:
        name, is_command, command = item.partition("=")
        if is_command:
            peers[name] = {"command": command}
            if "{config}" in command:  # configured as evproxy is
                peers[name] = {kind: dict(peers["evproxy"][kind],
                                          command=command)
                               for kind in ("tls", "udp")}
            names.append(name)
        else:
            names += item.split(",")
    for name in names:
        if name not in peers:
            sys.exit(f"bench: no such peer: {name}")
    names = names or list(peers)
    present = [name for name in names if peer_is_installed(name, peers)]
    for name in names:
        if name not in present:
            print(f"left out: {name} (not installed)")
    return present


def main():
    options = arguments()
    os.environ["PATH"] = os.pathsep.join(
        [os.path.abspath(path) for path in options.path]
        + [os.environ["PATH"], "/usr/sbin"])
    isolated = bool(shutil.which("unshare")) and network.enter()
    if not isolated:
        print("not root: no separate network namespace, so the machine's"
              " settings and other traffic affect the results")
    missing = missing_packages()
    if missing:
        print("not installed; to install all:\n    apt-get install -y "
              "--no-install-recommends", *missing)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    many_files = hard == resource.RLIM_INFINITY or hard >= DESCRIPTORS

    with open(HERE + "/peers.json") as file:
        peers = json.load(file)
    names = pick_peers(options, peers)
    wanted = (pick_cases(options.workloads) if options.workloads
              else (FULL if options.full else QUICK)
              + TLS * bool(shutil.which("tls_load")))
    cases = [case for case in wanted if possible(case, many_files)]
    if not names or not cases:
        sys.exit("bench: nothing to measure")
    if options.reference not in names:
        options.reference = names[0]
    os.makedirs(options.out, exist_ok=True)
    open(options.out + "/runs.jsonl", "w").close()

    # The daemons are stopped together with this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    lab = Lab(options, peers, isolated)
    try:
        rows = run_all(lab, cases, names, options)
    finally:
        shutil.rmtree(lab.dir, ignore_errors=True)
    write_results(rows, names, options)
    if any("error" in row for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
