"""Turns runs into medians, ratios, tables and charts."""

import os
import shutil
import statistics
import subprocess

# For each workload: the measures, their labels, and which is better.
MORE, LESS, NEITHER = "+", "-", ""
MEASURES = {
    "rps": [("cpu_us", "CPU us/request", LESS), ("per_s", "requests/s", MORE),
            ("p50_us", "p50 us", LESS), ("p99_us", "p99 us", LESS),
            ("errors", "errors", NEITHER)],
    "cps": [("cpu_us", "CPU us/connection", LESS),
            ("per_s", "connections/s", MORE), ("p50_us", "p50 us", LESS),
            ("p99_us", "p99 us", LESS), ("errors", "errors", NEITHER)],
    "bulk": [("gbit_s", "Gbit/s", MORE), ("cpu_s_per_gb", "CPU s/GB", LESS)],
    "ping": [("p50_us", "p50 us", LESS), ("p99_us", "p99 us", LESS),
             ("cpu_us", "CPU us/trip", LESS)],
    "idle": [("bytes_per_connection", "bytes/connection", LESS),
             ("held", "held", NEITHER),
             ("resident_after_mb", "MB after", LESS)],
    "storm": [("resident_peak_mb", "MB at peak", LESS),
              ("resident_start_mb", "MB at start", LESS),
              ("resident_after_mb", "MB 5 s after", LESS),
              ("tcp_memory_mb", "kernel TCP MB", LESS),
              ("held", "held", NEITHER)],
    "stall": [("queued_kb", "kB/connection in the kernel", LESS),
              ("read_kb_s", "kB/s read", NEITHER)],
    "syscalls": [("calls", "calls/request", LESS)],
    "syscallsC": [("calls", "calls/connection", LESS)],
    "udp": [("cpu_us", "CPU us/datagram", LESS),
            ("per_s", "datagrams/s", MORE), ("lost", "lost", NEITHER),
            ("wrong", "wrong", NEITHER)],
    "syscallsU": [("calls", "calls/datagram", LESS)],
}
MEASURES["udpB"] = MEASURES["udpF"] = MEASURES["udpG"] = MEASURES["udp"]
MEASURES["stallU"] = MEASURES["stall"]
MEASURES["crawl"] = MEASURES["crawlU"] = MEASURES["stall"]
MEASURES["bulkR"] = MEASURES["tlsbulk"] = MEASURES["bulk"]
MEASURES["tlsreq"] = MEASURES["rps"]
MEASURES["tlsidle"] = MEASURES["idle"]
MEASURES.update({kind: [
    ("cpu_us", "CPU us/handshake", LESS), ("per_s", "handshakes/s", MORE),
    ("p50_us", "p50 us", LESS), ("p99_us", "p99 us", LESS),
    ("errors", "errors", NEITHER), ("cut", "ended without TLS", NEITHER)]
    for kind in ("tls", "tlsr", "tls12", "tls12r", "tlsrsa")})

TITLES = {
    "rps": "keep-alive requests, {} connections",
    "cps": "short connections, {} at a time",
    "bulk": "bulk, client to server, streams: {}",
    "bulkR": "bulk, server to client, streams: {}",
    "ping": "64-byte round trips, connections: {}",
    "idle": "{} idle connections",
    "storm": "{} stalled readers",
    "stall": "clients that do not read: {}",
    "stallU": "clients of an upstream that does not read: {}",
    "crawl": "clients that read 1 MB a second: {}",
    "crawlU": "clients of an upstream that reads 1 MB a second of each: {}",
    "syscalls": "system calls of requests, {} connections",
    "syscallsC": "system calls of short connections, {} at a time",
    "udp": "UDP, one datagram at a time, clients: {}",
    "udpB": "UDP, 32 datagrams at a time, clients: {}",
    "udpF": "UDP, flows of 1,200 bytes: {}",
    "udpG": "UDP, flows of 1,200 bytes, GSO: {}",
    "syscallsU": "system calls of UDP, clients: {}",
    "tls": "TLS 1.3 handshakes, {} at a time",
    "tlsr": "TLS 1.3 handshakes, resumed, {} at a time",
    "tls12": "TLS 1.2 handshakes, {} at a time",
    "tls12r": "TLS 1.2 handshakes, resumed, {} at a time",
    "tlsrsa": "TLS 1.3 handshakes, RSA, {} at a time",
    "tlsreq": "round trips over TLS, {} connections",
    "tlsbulk": "TLS, bytes there and back, streams: {}",
    "tlsidle": "{} idle TLS connections",
}

# The panels of each chart: a title, a unit, and groups of bars, each of them
# (workload, measure, label).
CHARTS = {
    "requests": [
        ("Processor time of the proxy for a keep-alive request",
         "microseconds",
         [(f"rps:{n}", "cpu_us", f"{n:,} connections")
          for n in (64, 1000, 8000)])],
    "short": [
        ("Processor time of the proxy for a short connection", "microseconds",
         [("cps:64", "cpu_us", "64 at a time")]),
        ("Short connections a second", "connections/s",
         [("cps:64", "per_s", "64 at a time")])],
    "bulk": [
        (title, unit,
         [(f"{case}:{n}", measure, f"{n} {arrow}")
          for case, arrow in (("bulk", "up"), ("bulkR", "down"))
          for n in (1, 8)])
        for title, unit, measure in (
            ("Bulk, by number of streams", "Gbit/s", "gbit_s"),
            ("Processor time of the proxy for it", "s/GB", "cpu_s_per_gb"))],
    "memory": [
        ("Resident memory of an idle connection", "bytes",
         [("idle:9000", "bytes_per_connection", "9,000 held")]),
        ("2,000 stalled readers: resident memory", "MB",
         [("storm:2000", "resident_start_mb", "before"),
          ("storm:2000", "resident_peak_mb", "at the peak"),
          ("storm:2000", "resident_after_mb", "5 s after")]),
        ("In the kernel for a slow peer", "kB",
         [("stall:100", "queued_kb", "client stalls"),
          ("stallU:100", "queued_kb", "upstream stalls"),
          ("crawl:100", "queued_kb", "client 1 MB/s"),
          ("crawlU:100", "queued_kb", "upstream 1 MB/s")])],
    "calls": [
        ("System calls for a request, 1,000 connections", "calls",
         [("syscalls:1000", "calls", "keep-alive")]),
        ("... for a short connection", "calls",
         [("syscallsC:64", "calls", "64 at a time")])],
    "datagrams": [
        (title, unit,
         [("udp:1000", measure, "1,000 clients"),
          ("udpB:8", measure, "8, 32 at a time"),
          ("udpF:8", measure, "8 flows"),
          ("udpG:8", measure, "8 flows, GSO")])
        for title, unit, measure in (
            ("Processor time of the proxy for a datagram", "microseconds",
             "cpu_us"),
            ("Datagrams a second, both ways", "datagrams/s", "per_s"))],
    "tls": [
        ("Processor time of the proxy for a TLS handshake", "microseconds",
         [("tls:64", "cpu_us", "1.3"), ("tlsrsa:64", "cpu_us", "1.3, RSA"),
          ("tls12:64", "cpu_us", "1.2"), ("tlsr:64", "cpu_us", "1.3, resumed"),
          ("tls12r:64", "cpu_us", "1.2, resumed")]),
        ("Resident memory of an idle TLS connection", "bytes",
         [("tlsidle:4000", "bytes_per_connection", "4,000 held")])],
}

OURS, YARDSTICK = "evproxy", "floor"

COLOURS = ["#0b6e4f", "#d1495b", "#edae49", "#66717e", "#00798c", "#b8b8aa",
           "#8d6a9f", "#c97b3d"]


def family(case):
    return case.partition(":")[0]


def variant(case):
    """The entry in peers.json that a proxy needs for the workload."""
    for kind in ("tls", "udp"):
        if family(case).startswith(kind):
            return kind
    return "udp" if family(case) == "syscallsU" else "command"


def title(case):
    kind, _, size = case.partition(":")
    return TITLES[kind].format(f"{int(size):,}")


def spread(values):
    """The coefficient of variation, in percent; None for a single value."""
    if len(values) < 2 or not statistics.mean(values):
        return None
    return round(100 * statistics.stdev(values)
                 / abs(statistics.mean(values)), 1)


def collect(rows, reference):
    """{case: {measure: {peer: {"median", "spread", "ratio"}}}}. The ratio is
    the median of the ratios to the reference in the same round."""
    result = {}
    for case in dict.fromkeys(row["case"] for row in rows):
        for measure, _, _ in MEASURES[family(case)]:
            rounds = {}
            for row in rows:
                if row["case"] == case and row.get(measure) is not None:
                    rounds.setdefault(row["peer"], {})[row["round"]] = (
                        row[measure])
            base = rounds.get(reference, {})
            for peer, values in rounds.items():
                ratios = [values[key] / base[key] for key in values
                          if base.get(key)]
                result.setdefault(case, {}).setdefault(measure, {})[peer] = {
                    "median": statistics.median(values.values()),
                    "spread": spread(list(values.values())),
                    "ratio": (round(statistics.median(ratios), 3)
                              if ratios else None)}
    return result


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def cell(entry, better):
    if entry is None:
        return "-"
    text = number(entry["median"])
    if better and entry["ratio"] is not None:
        text += f" x{entry['ratio']:.2f}"
    if better and entry["spread"] is not None:
        text += f" ±{entry['spread']:.0f}%"
    return text


def tables(results, peers, reference):
    """Text: a table for each workload, of medians, ratios and spreads."""
    lines = []
    for case, measures in results.items():
        columns = [entry for entry in MEASURES[family(case)]
                   if entry[0] in measures]
        lines.append(f"\n{title(case)} (x: ratio to {reference})")
        lines.append(f"{'':16}" + "".join(
            f"{label + ' ' + better:>23}" for _, label, better in columns))
        for peer in peers:
            if any(peer in measures[key] for key, _, _ in columns):
                lines.append(f"{peer:16}" + "".join(
                    f"{cell(measures[key].get(peer), better):>23}"
                    for key, _, better in columns))
    return "\n".join(lines)


def best_peer(entries, better):
    """The best median of a proxy other than evproxy and the yardstick."""
    values = [entry["median"] for peer, entry in entries.items()
              if peer not in (OURS, YARDSTICK)]
    if not values:
        return None
    return min(values) if better == LESS else max(values)


def markdown(results, peers):
    """A table of the medians; the last column is our ratio to the best peer."""
    lines = ["| | " + " | ".join(peers) + " | to the best peer |",
             "| --- " * (len(peers) + 2) + "|"]
    for case, measures in results.items():
        for key, label, better in MEASURES[family(case)]:
            entries = measures.get(key)
            if not entries or not better:
                continue
            cells = [number(entries[peer]["median"]) if peer in entries
                     else "" for peer in peers]
            best = best_peer(entries, better)
            cells.append(f"{entries[OURS]['median'] / best:.2f}"
                         if OURS in entries and best else "")
            lines.append(f"| {title(case)}: {label} | "
                         + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


# ---- charts -----------------------------------------------------------------

def panel(results, peers, heading, unit, groups):
    """The gnuplot commands of one panel, or None if nothing was measured."""
    groups = [(case, measure, label) for case, measure, label in groups
              if measure in results.get(case, {})]
    shown = [peer for peer in peers
             if any(peer in results[case][measure]
                    for case, measure, _ in groups)]
    if not groups or not shown:
        return None
    lines = ["$data << END"]
    for case, measure, label in groups:
        entries = results[case][measure]
        lines.append(" ".join([f'"{label}"'] + [
            str(entries[peer]["median"]) if peer in entries else "?"
            for peer in shown]))
    lines += ["END", f'set title "{heading}"', f'set ylabel "{unit}"',
              f"set xrange [-0.6:{len(groups) - 0.4}]", "set yrange [0:*]"]
    lines.append("plot " + ", ".join(
        f'$data using {i + 2}:xtic(1) title "{peer}" '
        f'linecolor rgb "{COLOURS[peers.index(peer) % len(COLOURS)]}"'
        for i, peer in enumerate(shown)))
    return "\n".join(lines)


def chart(results, peers, name, folder, caption):
    """Draws one chart; False if there is nothing to draw."""
    panels = [text for text in (panel(results, peers, *spec)
                                for spec in CHARTS[name]) if text]
    if not panels:
        return False
    script = f"""set terminal svg size 840,{40 + 260 * len(panels)} \
font "sans-serif,12" background "white"
set output "{os.path.join(folder, name + '.svg')}"
set style data histogram
set style histogram clustered gap 1
set style fill solid noborder
set boxwidth 0.9
set grid ytics linecolor rgb "#dddddd"
set border 3
set tics nomirror
set key outside right top
set lmargin 10
set datafile missing "?"
set multiplot layout {len(panels)},1 title "{caption}" font "sans-serif,10"
""" + "\n".join(panels) + "\nunset multiplot\n"
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    return True


def charts(results, peers, folder, caption):
    """Draws all charts that have data, and returns their paths."""
    caption = caption.replace('"', "'")
    if not shutil.which("gnuplot"):
        return []
    return [os.path.join(folder, name + ".svg") for name in CHARTS
            if chart(results, peers, name, folder, caption)]
