"""What no schema knows about the files in deploy/: that they agree with each other and with the configuration inside them.

    manifests.py DIRECTORY      writes each hookgate configuration there, those in ConfigMaps too, and names them on stdout
"""

import pathlib
import re
import sys

import yaml

DEPLOY = pathlib.Path(__file__).resolve().parent.parent
# After shutdown.timeout: last answers 1 s, flush of rejects.db and of the store 10 s each, threads left behind 1 s.
WAY_OUT_SECONDS = 22
# What Kubernetes writes with Gi, hookgate with GiB.
UNITS = {"s": 1, "m": 60, "h": 3600, "Mi": 2**20, "Gi": 2**30, "MiB": 2**20, "GiB": 2**30}

problems = []


def expect(holds, what):
    if not holds:
        problems.append(what)


def amount(text):
    """Seconds or bytes."""
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]+)", text).groups()
    return int(number) * UNITS[unit]


def port_of(listen):
    return int(listen.rsplit(":", 1)[1])


def stop_seconds(config):
    shutdown = {"delay": "0s", "timeout": "20s"} | config.get("shutdown", {})
    return amount(shutdown["delay"]) + amount(shutdown["timeout"]) + WAY_OUT_SECONDS


def kubernetes(path, directory):
    documents = list(yaml.safe_load_all(path.read_text()))
    of_kind = lambda kind: [d for d in documents if d["kind"] == kind]
    [stateful] = of_kind("StatefulSet")
    [budget] = of_kind("PodDisruptionBudget")
    [policy] = of_kind("NetworkPolicy")
    spec, pod = stateful["spec"], stateful["spec"]["template"]["spec"]
    labels = stateful["spec"]["template"]["metadata"]["labels"]
    containers = pod.get("initContainers", []) + pod["containers"]
    [gateway] = [c for c in containers if c["name"] == "hookgate"]
    ports = {p["name"]: p["containerPort"] for p in gateway["ports"]}

    [text] = [d["data"]["hookgate.yaml"] for d in of_kind("ConfigMap")]
    config = yaml.safe_load(text)
    file = directory / f"{path.stem}.yaml"
    file.write_text(text)
    print(file)

    # Named once and meant everywhere.
    [config_map] = [d["metadata"]["name"] for d in of_kind("ConfigMap")]
    volumes = {v["name"]: v for v in pod["volumes"]}
    expect(volumes["config"]["configMap"]["name"] == config_map, f"{path}: the pod mounts another ConfigMap")
    expect(sorted(ports.values()) == sorted(map(port_of, (config["listen"], config["admin"]["listen"]))), f"{path}: the ports are not those of hookgate.yaml")
    for document in documents:
        selector = document.get("spec", {}).get("selector") or document.get("spec", {}).get("podSelector")
        if selector:
            selector = selector.get("matchLabels", selector)
            expect(selector.items() <= labels.items(), f"{path}: {document['kind']} selects other pods")
        if document["kind"] == "Service":
            for port in document["spec"]["ports"]:
                expect(port["targetPort"] in ports, f"{path}: no port is called {port['targetPort']}")
    for rule in policy["spec"]["ingress"]:
        expect(all(p["port"] in ports for p in rule["ports"]), f"{path}: the NetworkPolicy names a port that the pod has not")
    for probe, asked in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        get = gateway[probe]["httpGet"]
        expect((get["path"], ports[get["port"]]) == (asked, port_of(config["admin"]["listen"])), f"{path}: {probe} asks elsewhere")
    services = [d["metadata"]["name"] for d in of_kind("Service") if d["spec"].get("clusterIP") == "None"]
    expect(spec["serviceName"] in services, f"{path}: serviceName is no headless Service")

    # A stop that has its time, one after the other.
    before = sum(c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0) for c in containers)
    needs = before + stop_seconds(config)
    expect(pod["terminationGracePeriodSeconds"] >= needs, f"{path}: a stop may take {needs} s, longer than its grace period")
    expect(config["shutdown"]["delay"] == "5s", f"{path}: shutdown.delay is not 5s")

    # A volume for each, that holds what may be stored, and nothing else to write to.
    expect(spec["replicas"] == 2 and budget["spec"]["maxUnavailable"] == 1, f"{path}: not two, of which one may be away")
    [claim] = spec["volumeClaimTemplates"]
    mounts = {m["name"]: m for m in gateway["volumeMounts"]}
    mounted = pathlib.PurePosixPath(mounts[claim["metadata"]["name"]]["mountPath"])
    expect(mounted in pathlib.PurePosixPath(config["store"]["path"]).parents, f"{path}: store.path is not below the volume")
    room = amount(claim["spec"]["resources"]["requests"]["storage"])
    needed = amount(config["store"]["max_size"]) + 2 * amount(config["store"].get("min_free", "256MiB"))
    expect(room >= needed, f"{path}: the volume is smaller than max_size and twice min_free")
    expect(all(m.get("readOnly") for n, m in mounts.items() if n != claim["metadata"]["name"]), f"{path}: more than one place to write to")
    security = gateway["securityContext"]
    expect(security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}, f"{path}: the root is writable, or has capabilities")
    expect(pod["securityContext"]["runAsNonRoot"], f"{path}: may run as root")


def main():
    directory = pathlib.Path(sys.argv[1])
    for path in sorted(DEPLOY.glob("kubernetes/*.yaml")):
        if path.name != "servicemonitor.yaml":
            kubernetes(path, directory)

    [monitor] = yaml.safe_load_all((DEPLOY / "kubernetes/servicemonitor.yaml").read_text())
    wanted = monitor["spec"]["selector"]["matchLabels"]
    for path in DEPLOY.glob("kubernetes/*.yaml"):
        services = [d for d in yaml.safe_load_all(path.read_text()) if d["kind"] == "Service"]
        found = [s for s in services if wanted.items() <= s["metadata"]["labels"].items()]
        expect(not services or len(found) == 1, f"{path}: the ServiceMonitor selects {len(found)} of its Services")
        for service in found:
            names = [p["name"] for p in service["spec"]["ports"]]
            expect(monitor["spec"]["endpoints"][0]["port"] in names, f"{path}: the ServiceMonitor's port is not there")

    compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())["services"]["gateway"]
    config = DEPLOY / "compose/hookgate.yaml"
    print(config)
    grace = amount(compose["stop_grace_period"])
    needs = stop_seconds(yaml.safe_load(config.read_text()))
    expect(grace >= needs, f"compose.yaml: a stop may take {needs} s, longer than stop_grace_period")

    config = DEPLOY / "systemd/hookgate.yaml"
    print(config)
    unit = (DEPLOY / "systemd/hookgate.service").read_text()
    grace = amount(re.search(r"^TimeoutStopSec=(\w+)$", unit, re.M)[1])
    needs = stop_seconds(yaml.safe_load(config.read_text()))
    expect(grace >= needs, f"hookgate.service: a stop may take {needs} s, longer than TimeoutStopSec")

    # Every file that a configuration could be in was looked at.
    looked_at = {"compose", "kubernetes", "systemd"}
    others = [p for p in DEPLOY.rglob("*hookgate*.yaml") if p.parent.name not in looked_at]
    expect(not others, f"nobody checks {others}")

    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


main()
