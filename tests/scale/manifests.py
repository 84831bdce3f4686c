#!/usr/bin/python3
"""What no schema knows of the manifests: manifests.py FILE...

  manifests.py json FILE...        all objects of these files, as JSON
  manifests.py ini FILE...         the configuration in the ConfigMap
  manifests.py check FILE...       one line for each thing that does not fit
"""
import json
import re
import sys

import yaml


def seconds(ini, key):
    return int(re.search(rf"^{key} = (\d+)s$", ini, re.M)[1])


def ports_of(ini):
    found = re.findall(r"^(?:metrics_)?listen = :(\d+)$", ini, re.M)
    return {int(port) for port in found}


def check_workload(thing, ini, names):
    spec = thing["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    labels = spec["template"]["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    metrics = int(re.search(r"^metrics_listen = :(\d+)$", ini, re.M)[1])
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = seconds(ini, "drain_delay") + seconds(ini, "drain_timeout")
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for probe, path in (("readinessProbe", "/healthz"), ("livenessProbe", "/livez")):
        get = container[probe]["httpGet"]
        yield get["path"] == path, f"{probe} asks for {path}"
        yield ports.get(get["port"]) == metrics, f"{probe} asks metrics_listen"
    yield pod["terminationGracePeriodSeconds"] > pause + drain, "the grace is enough"
    yield set(ports.values()) == ports_of(ini), "the ports are those of the file"
    yield spec["selector"]["matchLabels"].items() <= labels.items(), "selects its pods"
    yield mounts.keys() == volumes.keys(), "each volume is mounted"
    yield "subPath" not in mounts["configuration"], "the mount follows the ConfigMap"
    yield volumes["configuration"]["configMap"]["name"] in names, "the ConfigMap is here"
    yield container["args"] == ["-c", "/etc/evproxy/evproxy.ini"], "reads the file"
    if thing["kind"] == "DaemonSet":
        yield pod.get("hostNetwork") is True, "has the network of the host"
        yield all(p["hostPort"] == p["containerPort"] for p in container["ports"]), \
            "ports are the host's"
        yield "sysctls" not in pod["securityContext"], "leaves the host's sysctls alone"


def check(things):
    (config,) = (t for t in things if t["kind"] == "ConfigMap")
    ini = config["data"]["evproxy.ini"]
    workloads = [t for t in things if t["kind"] in ("DaemonSet", "Deployment")]
    names = {config["metadata"]["name"]}
    found = [(len(workloads) == 2, "there are two workloads")]
    for thing in workloads:
        found += check_workload(thing, ini, names)
        pod_labels = thing["spec"]["template"]["metadata"]["labels"]
        ports = thing["spec"]["template"]["spec"]["containers"][0]["ports"]
        for service in (t for t in things if t["kind"] == "Service"):
            selector = service["spec"]["selector"]
            targets = {port["targetPort"] for port in service["spec"]["ports"]}
            found.append((selector.items() <= pod_labels.items(), "a Service has pods"))
            found.append((targets <= {port["name"] for port in ports},
                          "a Service has its ports"))
    (public,) = (t for t in things if t["spec" if "spec" in t else "data"].get("type") == "LoadBalancer")
    (monitor,) = (t for t in things if t["kind"] == "ServiceMonitor")
    (watched,) = (t for t in things if t["kind"] == "Service"
                  and t["metadata"].get("labels") == monitor["spec"]["selector"]["matchLabels"])
    (endpoint,) = monitor["spec"]["endpoints"]
    found += [
        (public["spec"]["externalTrafficPolicy"] == "Local", "clients keep their address"),
        (endpoint["honorLabels"] is True, "labels are honoured"),
        (endpoint["port"] in {port["name"] for port in watched["spec"]["ports"]},
         "the monitor has its port"),
    ]
    wrong = [what for good, what in found if not good]
    print("\n".join(f"not so: {what}" for what in wrong))
    return 1 if wrong else 0


def main():
    command, *files = sys.argv[1:]
    things = []
    for file in files:
        with open(file) as text:
            things += yaml.safe_load_all(text)
    if command == "check":
        return check(things)
    if command == "ini":
        print(*(t["data"]["evproxy.ini"] for t in things if t["kind"] == "ConfigMap"))
    else:
        json.dump(things, sys.stdout)
    return 0


sys.exit(main())
