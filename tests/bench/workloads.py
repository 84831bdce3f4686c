"""The workloads. Each starts one proxy and its backend, and returns a
dictionary of the figures."""

import contextlib
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import tempfile
import threading
import time

import network
import udp_workloads
from daemons import (Daemon, PeakResident, listening, machine_busy_s,
                     tcp_memory_mb)
from slow_workloads import SlowWorkloads
from tls_workloads import TlsWorkloads

HOST = "127.0.0.1"
FIRST_PORT, PORTS = 18000, 3000  # below the ephemeral ports
WRK_UNITS_US = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}
WARM_PINGS = 1000  # as in load_requests.c

BACKEND = """daemon off; worker_processes 1; pid {dir}/backend.pid;
error_log {dir}/backend.err crit;
events {{ worker_connections 19000; }}
http {{
    client_body_temp_path {dir}; proxy_temp_path {dir};
    fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
    access_log off; keepalive_timeout 600s; keepalive_requests 1000000000;
    server {{
        listen {address} backlog=16384;
        location / {{ return 200 "{body}"; }}
    }}
}}
"""


def fill(text, values):
    """The text with each known {name} replaced."""
    return re.sub(r"\{(\w+)\}",
                  lambda found: values.get(found.group(1), found.group(0)),
                  text)


def per(total, count, digits=3):
    return round(total / count, digits) if count else None


class Lab(TlsWorkloads, SlowWorkloads, udp_workloads.UdpWorkloads):
    """Gives the workloads proxies, backends, a folder and ports."""

    def __init__(self, options, peers, isolated):
        self.options = options
        self.peers = peers
        self.isolated = isolated  # in a separate network namespace
        self.port = FIRST_PORT
        self.dir = tempfile.mkdtemp(prefix="evproxy-bench-")
        os.chmod(self.dir, 0o755)

    # ---- proxies and backends ---------------------------------------------

    def free_port(self):
        while True:  # a new one each time
            self.port = FIRST_PORT + (self.port + 1 - FIRST_PORT) % PORTS
            if not listening(self.port):
                return self.port

    def started(self, argv, name, port, protocol):
        daemon = Daemon(argv, f"{self.dir}/{name}.log")
        try:
            daemon.wait_listen(port, protocol)
        except RuntimeError:
            daemon.stop()
            raise
        return daemon

    def start_backend(self, kind, protocol):
        port = self.free_port()
        address = f"{HOST}:{port}"
        if kind == "http":
            path = self.dir + "/backend.conf"
            with open(path, "w") as file:
                file.write(BACKEND.format(dir=self.dir, address=address,
                                          body="x" * 600))
            argv = ["nginx", "-c", path, "-e", self.dir + "/backend.err"]
        elif kind == "iperf":
            argv = ["iperf3", "-s", "-B", HOST, "-p", str(port)]
        else:
            argv = ["netload", kind, address]
        return self.started(argv, "backend", port, protocol), address

    def start_proxy(self, name, upstream, protocol, certificate):
        peer, port = self.peers[name], self.free_port()
        if certificate or protocol == "udp":
            peer = peer["tls" if certificate else "udp"]
        values = {"listen": f"{HOST}:{port}", "listen_port": str(port),
                  "upstream": upstream,
                  "upstream_port": upstream.rpartition(":")[2],
                  "config": self.dir + "/proxy.conf", "dir": self.dir,
                  **(certificate or {})}
        if "config" in peer:
            with open(values["config"], "w") as file:
                file.write(fill("\n".join(peer["config"]), values) + "\n")
        argv = [fill(word, values) for word in shlex.split(peer["command"])]
        proxy = self.started(argv, "proxy", port, protocol)
        return proxy, values["listen"]

    @contextlib.contextmanager
    def running(self, name, kind, certificate=None):
        """Backend and proxy: (proxy, backend, address for the load). With a
        certificate the proxy terminates TLS."""
        protocol = "udp" if kind == udp_workloads.BACKEND else "tcp"
        backend, address = self.start_backend(kind, protocol)
        proxy = None
        try:
            proxy, address = self.start_proxy(name, address, protocol,
                                              certificate)
            time.sleep(0.3)
            yield proxy, backend, address
        finally:
            if proxy:
                proxy.stop()
            backend.stop()

    # ---- loads and their processor time -----------------------------------

    def measure(self, proxy, backend, argv, timeout):
        """Runs a client to its end: its output, and the time that all used."""
        peak = PeakResident(proxy, 0.5)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own, busy, begun = time.process_time(), machine_busy_s(), time.time()
        proxy_s, backend_s = proxy.cpu_s(), backend.cpu_s()
        try:
            out = subprocess.run(
                argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, text=True, timeout=timeout).stdout
        finally:
            resident_kb = peak.stop()
        wall = time.time() - begun
        proxy_s = proxy.cpu_s() - proxy_s
        backend_s = backend.cpu_s() - backend_s
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        client_s = (now.ru_utime + now.ru_stime
                    - children.ru_utime - children.ru_stime)
        ours = proxy_s + backend_s + client_s + time.process_time() - own
        others = machine_busy_s() - busy - ours
        result = {"wall_s": round(wall, 3), "proxy_cpu_s": round(proxy_s, 2),
                  "backend_cpu_s": round(backend_s, 2),
                  "client_cpu_s": round(client_s, 2),
                  "noise_share": round(others / wall / os.cpu_count(), 3),
                  "resident_peak_mb": round(resident_kb / 1024, 1)}
        if not proxy.pids():
            result["died"] = True
        return out, result

    def rps(self, name, connections):
        """wrk over persistent connections. Many connections get more seconds,
        as they are opened first."""
        seconds = self.options.seconds + connections // 2000
        with self.running(name, "http") as (proxy, backend, address):
            out, result = self.measure(proxy, backend, [
                "wrk", "-t", str(min(2, connections)), "-c", str(connections),
                "-d", f"{seconds}s", "--latency", "--timeout", "10s",
                f"http://{address}/"], seconds + 40)
        for share in ("50", "99"):
            found = re.search(rf"\b{share}%\s+([\d.]+)(us|ms|s|m)", out)
            if found:
                result[f"p{share}_us"] = round(
                    float(found.group(1)) * WRK_UNITS_US[found.group(2)], 1)
        count = int(re.search(r"(\d+) requests in", out).group(1))
        failed = re.search(r"Socket errors: connect (\d+), read (\d+), "
                           r"write (\d+), timeout (\d+)", out)
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
        result.update(
            n=count,
            per_s=float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
            errors=(sum(map(int, failed.groups())) if failed else 0)
            + (int(bad.group(1)) if bad else 0),
            cpu_us=per(result["proxy_cpu_s"] * 1e6, count))
        return result

    def cps(self, name, in_flight):
        """One request for each connection."""
        with self.running(name, "http") as (proxy, backend, address):
            out, result = self.measure(proxy, backend, [
                "netload", "rate", address, "-c", str(in_flight), "-s", "16",
                "-d", str(self.options.seconds)], self.options.seconds + 30)
        said = json.loads(out.splitlines()[-1])
        result.update(
            n=said["n"], per_s=said["per_s"], p50_us=said["p50_us"],
            p99_us=said["p99_us"],
            errors=said["errors"] + said["stuck"] + said["dial_failures"],
            cpu_us=per(result["proxy_cpu_s"] * 1e6, said["n"]))
        return result

    def bulk(self, name, streams, reverse=False):
        """iperf3 from client to server."""
        with self.running(name, "iperf") as (proxy, backend, address):
            host, _, port = address.partition(":")
            out, result = self.measure(proxy, backend, [
                "iperf3", "-c", host, "-p", port, "-J", "-P", str(streams),
                "-t", str(self.options.seconds)] + ["-R"] * reverse,
                self.options.seconds + 30)
        said = json.loads(out)
        if "sum_received" not in said.get("end", {}):
            raise RuntimeError("iperf3: " + said.get("error", "no result"))
        got = said["end"]["sum_received"]
        result.update(gbit_s=round(got["bits_per_second"] / 1e9, 3),
                      gb=round(got["bytes"] / 1e9, 3),
                      cpu_s_per_gb=per(result["proxy_cpu_s"],
                                       got["bytes"] / 1e9, 4))
        return result

    def bulkR(self, name, streams):
        """iperf3 from server to client."""
        return self.bulk(name, streams, reverse=True)

    def ping(self, name, _):
        """64 bytes there and back, on one connection."""
        pings = self.options.pings
        with self.running(name, "echo") as (proxy, backend, address):
            out, result = self.measure(proxy, backend, [
                "netload", "ping", address, "-n", str(pings)], 120)
        said = json.loads(out.splitlines()[-1])
        result.update(said, cpu_us=per(result["proxy_cpu_s"] * 1e6,
                                       pings + WARM_PINGS))
        return result

    # ---- idle and stalled connections -------------------------------------

    @contextlib.contextmanager
    def phases(self, argv, timeout=60, program="netload"):
        """A client with phases: (read a line, go on), with a time limit."""
        client = subprocess.Popen([program] + argv, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        timer = threading.Timer(timeout, client.kill)
        timer.start()

        def go_on():
            client.stdin.write("\n")
            client.stdin.flush()
        try:
            yield client.stdout.readline, go_on
        finally:
            timer.cancel()
            client.kill()
            client.wait()
            client.stdin.close()
            client.stdout.close()

    def held(self, name, kind, argv, hold_s, after_s):
        """Connects, holds and disconnects: the memory at each step."""
        with self.running(name, kind) as (proxy, _, address):
            start_kb, start_fds = proxy.resident_kb(), proxy.descriptors()
            peak = PeakResident(proxy, 0.1)
            with self.phases([argv[0], address, "-s", "16"] + argv[1:]) as (
                    read, go_on):
                count = json.loads(read() or '{"n": 0}')["n"]
                read()  # READY
                time.sleep(hold_s)
                held_kb = proxy.resident_kb()
                peak_kb = max(peak.stop(), held_kb)
                kernel_mb = tcp_memory_mb()
                if proxy.pids():
                    go_on()
                    read()  # CLOSED
            time.sleep(after_s)
            return {
                "held": count, "resident_start_mb": round(start_kb / 1024, 2),
                "resident_held_mb": round(held_kb / 1024, 2),
                "resident_peak_mb": round(peak_kb / 1024, 2),
                "resident_after_mb": round(proxy.resident_kb() / 1024, 2),
                "tcp_memory_mb": round(kernel_mb, 1),
                "descriptors_left": proxy.descriptors() - start_fds,
                "bytes_per_connection": per((held_kb - start_kb) * 1024,
                                            count, 0)}

    def idle(self, name, count):
        """Idle connections that have each carried a message."""
        return self.held(name, "echo", ["hold", "-c", str(count), "-b", "512"],
                         2, 3)

    def storm(self, name, count):
        """Clients stop reading while the backend pushes, then leave."""
        if self.isolated:
            network.apply(network.SMALL_BUFFERS)
        try:
            return self.held(name, "push",
                             ["storm", "-c", str(count), "-b", "65536"], 3, 5)
        finally:
            if self.isolated:
                network.apply(network.SETTINGS)

    # ---- system calls -----------------------------------------------------

    def strace(self, proxy):
        """Starts to count. The function that it returns stops, and returns the
        calls by name."""
        path = self.dir + "/strace.out"
        argv = ["strace", "-c", "-f", "-q", "-U", "calls,name", "-o", path]
        for pid in proxy.pids():
            argv += ["-p", str(pid)]
        tracer = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        time.sleep(1.5)
        if tracer.poll() is not None:
            raise RuntimeError("strace may not attach")

        def finish():
            tracer.send_signal(signal.SIGINT)
            tracer.wait(30)
            with open(path) as file:
                rows = [line.split() for line in file]
            return {row[1]: int(row[0]) for row in rows
                    if len(row) == 2 and row[0].isdigit()
                    and row[1] != "total"}
        return finish

    @staticmethod
    def share_out(calls, count):
        often = {name: per(number, count) for name, number in calls.items()
                 if number * 50 >= count}
        return {"n": count, "calls": per(sum(calls.values()), count),
                "by_name": often}

    def syscalls(self, name, connections):
        """System calls for a request on a persistent connection."""
        return self.counted(name, "http", [
            "reqs", "-c", str(connections),
            "-n", str(max(4000, 10 * connections))])

    def counted(self, name, kind, load):
        """System calls between the phases of a load."""
        with self.running(name, kind) as (proxy, _, address):
            with self.phases([load[0], address] + load[1:]) as (read, go_on):
                if read().strip() != "READY":
                    raise RuntimeError("the client could not connect")
                finish = self.strace(proxy)
                go_on()
                said = json.loads(read())
                calls = finish()
                go_on()
        return self.share_out(calls, said["n"])

    def syscallsC(self, name, in_flight):
        """System calls for a short connection."""
        with self.running(name, "http") as (proxy, _, address):
            finish = self.strace(proxy)
            done = subprocess.run(
                ["netload", "rate", address, "-c", str(in_flight),
                 "-n", "2000"], stdout=subprocess.PIPE, text=True, timeout=90)
            time.sleep(0.3)
            calls = finish()
        return self.share_out(calls, json.loads(done.stdout)["n"])
