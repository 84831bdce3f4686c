#!/usr/bin/env -S python3 -B
"""The memory of very many connections, from the results of the virtual machine.

  summary.py add RESULT BASELINE   prints the result less the run with no proxy
  summary.py show FILE             prints the last result of each proxy
"""

import json
import sys


def load(path):
    with open(path) as file:
        return json.load(file)


def add(result, baseline):
    for phase in ("idle", "active"):
        now = result[phase]
        now["bytes_resident"] = round(now["resident_kb"] * 1024 / result["n"])
        now["bytes_in_all"] = round(
            (now["used_kb"] - baseline[phase]["used_kb"]) * 1024 / result["n"])
    print(json.dumps(result))


def verdict(client):
    lost = client["failed"] + client["closed_by_peer"] + client["unanswered"]
    if lost or client["mismatches"]:
        return f"{lost} lost, {client['mismatches']} wrong"
    return f"all {client['messages']:,} messages right"


def show(path):
    last = {}
    with open(path) as file:
        for line in file:
            result = json.loads(line)
            last[result["n"], result["name"]] = result
    print("\nbytes for each connection, resident / kernel and user together:")
    for (count, name), result in sorted(last.items()):
        idle, active = result["idle"], result["active"]
        print(f"{count:9,}  {name:10}"
              f"  idle {idle['bytes_resident']:6,} / {idle['bytes_in_all']:6,}"
              f"  active {active['bytes_resident']:6,} / "
              f"{active['bytes_in_all']:6,}  {verdict(result['client'])}")


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "add":
        add(load(sys.argv[2]), load(sys.argv[3]))
    elif len(sys.argv) == 3 and sys.argv[1] == "show":
        show(sys.argv[2])
    else:
        sys.exit(__doc__)
