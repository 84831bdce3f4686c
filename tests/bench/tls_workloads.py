"""Workloads with TLS from client to proxy and plain TCP to the backend. The
clients are tls_load; the figures are those of the proxy alone."""

import contextlib
import json
import subprocess
import time

# Options of openssl req, by the kind of key.
KEYS = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "rsa": ["rsa:2048"]}


class TlsWorkloads:
    """A base of Lab, whose methods these use."""

    def certificate(self, key):
        """Paths by their names in peers.json; the files are made once."""
        base = f"{self.dir}/{key}"
        paths = {"certificate": base + ".crt", "key": base + ".key",
                 "pem": base + ".pem"}
        with contextlib.suppress(FileNotFoundError):
            with open(paths["pem"]):
                return paths
        subprocess.run(
            ["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj",
             "/CN=bench.test", "-newkey", *KEYS[key], "-keyout", paths["key"],
             "-out", paths["certificate"]],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(paths["pem"], "w") as pem:
            for part in ("certificate", "key"):
                with open(paths[part]) as file:
                    pem.write(file.read())
        return paths

    def handshakes(self, name, in_flight, flags=(), key="ec"):
        """Connections with a handshake, 64 bytes there and back, and an end."""
        seconds = self.options.seconds
        with self.running(name, "echo", self.certificate(key)) as (
                proxy, backend, address):
            out, result = self.measure(proxy, backend, [
                "tls_load", "rate", address, "-c", str(in_flight),
                "-s", "16", "-d", str(seconds), *flags], seconds + 30)
        said = json.loads(out.splitlines()[-1])
        count = said["n"]
        if "-r" in flags and said["resumed"] < count * 0.9:
            raise RuntimeError(f"only {said['resumed']} of {count} resumed")
        result.update(
            n=count, per_s=said["per_s"], p50_us=said["p50_us"],
            p99_us=said["p99_us"], errors=said["errors"] + said["stuck"],
            cut=said["cut"],
            cpu_us=round(result["proxy_cpu_s"] * 1e6 / count, 3))
        return result

    def tls(self, name, in_flight):
        """TLS 1.3, full handshakes, a P-256 certificate."""
        return self.handshakes(name, in_flight)

    def tlsr(self, name, in_flight):
        """The same, but each resumes the session before."""
        return self.handshakes(name, in_flight, ["-r"])

    def tls12(self, name, in_flight):
        """TLS 1.2, full."""
        return self.handshakes(name, in_flight, ["-2"])

    def tls12r(self, name, in_flight):
        """TLS 1.2, resumed."""
        return self.handshakes(name, in_flight, ["-2", "-r"])

    def tlsrsa(self, name, in_flight):
        """TLS 1.3, full, a certificate of RSA 2048."""
        return self.handshakes(name, in_flight, key="rsa")

    def tlsreq(self, name, connections):
        """64 bytes there and back on persistent connections."""
        argv = ["reqs", "-c", str(connections), "-s", "16",
                "-d", str(self.options.seconds)]
        with self.running(name, "echo", self.certificate("ec")) as (
                proxy, _, address):
            with self.phases(argv[:1] + [address] + argv[1:],
                             program="tls_load") as (read, go_on):
                read()
                read()  # READY
                before = proxy.cpu_s()
                go_on()
                said = json.loads(read())
                used = proxy.cpu_s() - before
                go_on()
        return {"n": said["n"], "per_s": said["per_s"],
                "p50_us": said["p50_us"], "p99_us": said["p99_us"],
                "errors": said["errors"] + said["stuck"],
                "proxy_cpu_s": round(used, 2),
                "cpu_us": round(used * 1e6 / said["n"], 3)}

    def tlsbulk(self, name, streams):
        """Both directions at once; the client compares every byte."""
        total = self.options.seconds * 500_000_000
        with self.running(name, "echo", self.certificate("ec")) as (
                proxy, backend, address):
            out, result = self.measure(proxy, backend, [
                "tls_load", "stream", address, "-c", str(streams),
                "-n", str(total // streams)], 120)
        said = json.loads(out.splitlines()[-1])
        if said["errors"] or said["stuck"]:
            raise RuntimeError(f"tls_load: {out.strip()}")
        gb = 2 * said["n"] / 1e9
        result.update(gb=gb, gbit_s=round(8 * gb / said["seconds"], 3),
                      cpu_s_per_gb=round(result["proxy_cpu_s"] / gb, 4))
        return result

    def tlsidle(self, name, count):
        """Idle connections that have each carried a message."""
        argv = ["hold", "-c", str(count), "-s", "16", "-b", "512"]
        with self.running(name, "echo", self.certificate("ec")) as (
                proxy, _, address):
            start_kb = proxy.proportional_kb()
            with self.phases(argv[:1] + [address] + argv[1:],
                             program="tls_load") as (read, go_on):
                held = json.loads(read() or '{"n": 0}')["n"]
                read()  # READY
                time.sleep(2)
                held_kb = proxy.proportional_kb()
                go_on()
                read()  # CLOSED
            time.sleep(3)
            after_kb = proxy.proportional_kb()
        return {"held": held, "resident_start_mb": round(start_kb / 1024, 2),
                "resident_held_mb": round(held_kb / 1024, 2),
                "resident_after_mb": round(after_kb / 1024, 2),
                "bytes_per_connection":
                    round((held_kb - start_kb) * 1024 / held)}
