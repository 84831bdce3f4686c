"""Workloads of datagrams. Clients and server are netload."""

import json

BACKEND = "udpecho"

# Options of netload, by the kind of workload.
SHAPES = {"udp": ["-w", "1"], "udpB": ["-w", "32"],
          "udpF": ["-w", "4", "-k", "16", "-b", "1200"],
          "udpG": ["-w", "4", "-k", "16", "-b", "1200", "-g"]}


class UdpWorkloads:
    """A base of Lab, whose methods these use."""

    def datagrams(self, name, clients, kind):
        seconds = self.options.seconds
        with self.running(name, BACKEND) as (proxy, backend, address):
            out, result = self.measure(proxy, backend, [
                "netload", "udp", address, "-c", str(clients),
                "-d", str(seconds), *SHAPES[kind]], seconds + 30)
        result.update(json.loads(out.splitlines()[-1]))
        result["cpu_us"] = round(result["proxy_cpu_s"] * 1e6 / result["n"], 3)
        return result

    def udp(self, name, clients):
        """Echoed, one at a time."""
        return self.datagrams(name, clients, "udp")

    def udpB(self, name, clients):
        """Echoed, many at a time."""
        return self.datagrams(name, clients, "udpB")

    def udpF(self, name, clients):
        """Flows in one direction."""
        return self.datagrams(name, clients, "udpF")

    def udpG(self, name, clients):
        """The same, from senders that use GSO."""
        return self.datagrams(name, clients, "udpG")

    def syscallsU(self, name, clients):
        """System calls for a datagram."""
        return self.counted(name, BACKEND, [
            "udp", "-c", str(clients), "-n", str(max(4000, 20 * clients)),
            *SHAPES["udp"]])
