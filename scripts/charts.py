"""Judges what deploy/ gives to Kubernetes: charts and components as they come out, against Kubernetes' own schemas, against
each other, and, with `--root`, against the node that they configure.

    charts.py --helm HELM --kustomize KUSTOMIZE [--root DIRECTORY]

It runs in a Python that has `kubernetes-validate`, which brings the schemas and a reader of YAML.
"""

import argparse
import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
# The first has native sidecars by default.
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
# Custom resources, which Kubernetes has no schemas of.
CUSTOM = {"PodMonitor": "podMetricsEndpoints", "PrometheusRule": "groups"}

# Ports of a node.
METRICS, PEERS = 7401, 7402
# What a node takes for a secret has so many bytes.
SECRET_MIN = 16
# What differs from the defaults, of the values in ci/.
STARTS = {"alone-values": "/live"}
WITHOUT_POLICY = {"alone-values"}

# What nobody may be able to install, and what the refusal must say.
REFUSED = [
    ({"outrigger": {"bootstrap": ""}}, "/bootstrap"),
    ({"outrigger": {"stores": []}}, "/stores"),
    ({"outrigger": {"peers": {"insecure": False}}}, "plain text"),
    ({"outrigger": {"peers": {"secret": {"name": "", "key": "k"}}}}, "only a secret tells"),
    ({"outrigger": {"data": {"kind": "claim"}}}, "only a StatefulSet"),
    ({"outrigger": {"settings": {"memroy": "1GiB"}}}, "memroy"),
    ({"outrigger": {"kafka": {"sasl.password": "x"}}}, "sasl.password"),
    ({"outrigger": {"typing": "error"}}, "typing"),
    ({"outrigger": {"startWhen": "ready"}}, "startWhen"),
    ({"networkPolicy": {"metricsFrom": {"matchExpressions": []}}}, "matchExpressions"),
    ({"app": {"image": ""}}, "/app/image"),
    ({"app": {"ports": [{"name": "a", "containerPort": 7401}]}}, "containerPort"),
    ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
]


def fail(text):
    sys.exit(f"charts: {text}")


def expect(what, so):
    if not so:
        fail(f"not so: {what}")


def said(command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)


def done(command):
    result = said(command)
    if result.returncode != 0:
        fail(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def rendered(asked, charts):
    """What comes out, by what it came from."""
    out = {}
    app = charts / "outrigger-app"
    done([asked.helm, "dependency", "build", app])
    done([asked.helm, "lint", "--strict", charts / "outrigger", "--set", "bootstrap=b:1,stores[0].name=s"])
    for values in sorted((app / "ci").glob("*-values.yaml")):
        done([asked.helm, "lint", "--strict", app, "-f", values])
        out[values.stem] = documents(done([asked.helm, "template", "shop", app, "-f", values]))
    for more, words in REFUSED:
        file = charts / "refused.yaml"
        file.write_text(json.dumps(more))
        refused = said([asked.helm, "template", "shop", app, "-f", app / "ci/deployment-values.yaml", "-f", file])
        expect(f"{more} is refused because of {words}: {refused.stderr}", refused.returncode != 0 and words in refused.stderr)
    for example in sorted((DEPLOY / "kustomize/examples").iterdir()):
        out[f"kustomize {example.name}"] = documents(done([asked.kustomize, "build", example]))
    return out


def validate(name, document):
    kind = document["kind"]
    if kind in CUSTOM:
        expect(f"{name}: a {kind} has its {CUSTOM[kind]}", document["spec"][CUSTOM[kind]])
        if kind == "PrometheusRule":
            groups = {group["name"]: len(group["rules"]) for group in document["spec"]["groups"]}
            expect(f"{name}: it has the alerts of Outrigger: {groups}", groups.get("outrigger", 0) > 0 and all(groups.values()))
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            fail(f"{name}: {kind} of Kubernetes {version}: {error.message} at {list(error.path)}")


def versions_agree(charts, nodes):
    """A release of the binary is one of the charts, and they start it."""
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    for chart in charts.glob("*/Chart.yaml"):
        told = yaml.safe_load(chart.read_text())
        expect(f"{chart.parent.name} is {version}, like the binary", told["version"] == told["appVersion"] == version)
    tags = {node["image"].rsplit(":", 1)[1] for node in nodes if "@" not in node["image"]}
    expect(f"images of {tags} are {version}", tags == {version})


class Pods:
    """The workload of some documents, and what it needs of the others."""

    def __init__(self, name, all_documents):
        self.name, self.all = name, all_documents
        workloads = self.of("Deployment") + self.of("StatefulSet")
        expect(f"{name} has one workload", len(workloads) == 1)
        self.workload = workloads[0]
        self.template = self.workload["spec"]["template"]
        self.pod = self.template["spec"]
        (self.node,) = self.pod["initContainers"]
        self.ports = {port["name"]: port["containerPort"] for port in self.node["ports"]}

    def of(self, kind):
        return [document for document in self.all if document["kind"] == kind]

    def is_selected(self, selector):
        labels = self.template["metadata"]["labels"]
        return all(labels.get(key) == value for key, value in selector.items())

    def hold(self):
        """What Kubernetes would only find when it runs them."""
        volumes = [volume["name"] for volume in self.pod["volumes"]]
        volumes += [claim["metadata"]["name"] for claim in self.workload["spec"].get("volumeClaimTemplates", [])]
        expect(f"{self.name}: each volume once", len(volumes) == len(set(volumes)))
        containers = self.pod["initContainers"] + self.pod["containers"]
        mounted = {mount["name"] for each in containers for mount in each["volumeMounts"]}
        expect(f"{self.name}: {mounted} are volumes, and all are used: {volumes}", mounted == set(volumes))
        expect(f"{self.name}: a native sidecar", self.node["restartPolicy"] == "Always")
        expect(f"{self.name}: the workload has its pods", self.is_selected(self.workload["spec"]["selector"]["matchLabels"]))
        self.probes_hold()
        self.rollouts_hold()
        self.network_holds()
        self.secrets_hold()
        self.configuration_holds()
        for service in self.of("Service"):
            expect(f"{self.name}: its service finds it", self.is_selected(service["spec"]["selector"]))
            ports = [port["targetPort"] for port in service["spec"]["ports"]]
            expect(f"{self.name}: its service is of the peers' port, as a number: {ports}", ports == [PEERS])
        for policy in self.of("NetworkPolicy") + self.of("PodDisruptionBudget") + self.of("PodMonitor"):
            selector = policy["spec"].get("podSelector") or policy["spec"].get("selector")
            expect(f"{self.name}: {policy['kind']} is of its pods", self.is_selected(selector["matchLabels"]))
        for monitor in self.of("PodMonitor"):
            expect(f"{self.name}: metrics at a port", all(end["port"] in self.ports for end in monitor["spec"]["podMetricsEndpoints"]))

    def rollouts_hold(self):
        """Nobody gives up, evicts or hinders a pod because it takes its time."""
        probe, spec = self.node["startupProbe"], self.workload["spec"]
        waits = probe["periodSeconds"] * probe["failureThreshold"]
        if self.workload["kind"] == "Deployment":
            deadline = spec.get("progressDeadlineSeconds", 600)
            expect(f"{self.name}: a rollout may take {deadline} s, and a start {waits} s", deadline > waits)
        for budget in self.of("PodDisruptionBudget"):
            expect(f"{self.name}: who is not ready can go", budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow")
        limits = [v["emptyDir"]["sizeLimit"] for v in self.pod["volumes"] if v["name"] == "outrigger-data"]
        asked = self.node["resources"]["requests"].get("ephemeral-storage")
        expect(f"{self.name}: it asks for the space of its emptyDir {limits}: {asked}", [asked] == (limits or [None]))

    def network_holds(self):
        """Whom policies let to the ports of the node. Names of ports of init containers are not known everywhere."""
        for policy in self.of("NetworkPolicy"):
            for rule in policy["spec"]["ingress"]:
                ranges = [(port["port"], port.get("endPort", port["port"])) for port in rule["ports"] if port.get("protocol", "TCP") == "TCP"]
                expect(f"{self.name}: ports are numbers: {ranges}", all(type(end) is int for both in ranges for end in both))
                lets = [port for port in (METRICS, PEERS) if any(low <= port <= high for low, high in ranges)]
                who = rule.get("from", [{}])
                if PEERS in lets:
                    nodes = [each.get("podSelector", {}).get("matchLabels") for each in who]
                    expect(f"{self.name}: only nodes reach the peers' port: {who}", all(each and self.is_selected(each) for each in nodes))
                if METRICS in lets:
                    spaces = [each.get("namespaceSelector", {}).get("matchLabels") for each in who]
                    expect(f"{self.name}: only named namespaces reach the metrics: {who}", all(spaces))
        if self.name not in WITHOUT_POLICY:
            expect(f"{self.name}: it has a policy", len(self.of("NetworkPolicy")) == 1)

    def secrets_hold(self):
        """What an example has instead of a secret is refused by nodes: whoever forgets to replace it has no open cluster."""
        for secret in self.of("Secret"):
            for name, value in secret["data"].items():
                expect(f"{self.name}: {name} is too short for a secret", len(base64.b64decode(value)) < SECRET_MIN)

    def configuration_holds(self):
        """That numbers come through as they were given."""
        for file in self.of("ConfigMap"):
            for name, value in tomllib.loads(file["data"]["outrigger.toml"]).get("kafka", {}).items():
                expect(f"{self.name}: {name} is {value}", "e+" not in value)

    def probes_hold(self):
        probe, start = self.node["startupProbe"], STARTS.get(self.name, "/started")
        hours = probe["periodSeconds"] * probe["failureThreshold"] / 3600
        expect(f"{self.name}: the startup probe waits {hours} hours for {start}", (hours >= 1) == (start == "/started"))
        for name, path in [("startupProbe", start), ("readinessProbe", "/ready"), ("livenessProbe", "/live")]:
            asked = self.node[name]["httpGet"]
            expect(f"{self.name}: {name} asks for {path} over HTTP", asked["path"] == path and self.ports[asked["port"]] == METRICS)

    def files(self, volume):
        """What a volume of files has, made up where it is not here."""
        if "configMap" in volume:
            (found,) = [m for m in self.of("ConfigMap") if m["metadata"]["name"] == volume["configMap"]["name"]]
            return found["data"]
        if "tls" in volume["name"]:
            return certificates()
        return {"peer-secret": "0123456789abcdef0123456789abcdef"}

    def mount(self, place):
        """Makes the directories of the node's container. Returns them by their paths."""
        made, volumes = {}, {volume["name"]: volume for volume in self.pod["volumes"]}
        for mount in self.node["volumeMounts"]:
            directory = place / mount["name"]
            directory.mkdir(mode=0o755)
            volume = volumes.get(mount["name"], {"emptyDir": {}})
            group = self.pod["securityContext"]["fsGroup"]
            if "configMap" in volume or "secret" in volume:
                for name, text in self.files(volume).items():
                    file = directory / name
                    file.write_text(text)
                    file.chmod(0o440 if "secret" in volume else 0o644)
                    shutil.chown(file, 0, group)
            else:
                # As the kubelet leaves it for `fsGroup`.
                shutil.chown(directory, 0, group)
                directory.chmod(0o2775)
            made[mount["mountPath"]] = directory
        return made

    def run(self, root):
        """Starts the node in the file system of its image as what Kubernetes would start, and asks it as the application
        would: another user of the pod's group, over the socket."""
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            place.chmod(0o755)
            mounts = [f"{path}={here}" for path, here in self.mount(place).items()]
            security, group = self.node["securityContext"], self.pod["securityContext"]["fsGroup"]
            script = RUN.format(
                user=f"{security['runAsUser']}:{security['runAsGroup']}:{group}",
                application=f"1000:1000:{group}",
                args=" ".join(self.node["args"]),
                environment="OUTRIGGER_KAFKA=sasl.password=secret" if self.node.get("env") else "",
            )
            ran = said([Path(__file__).parent / "contained.sh", root, script, *mounts])
            expect(f"{self.name}: its node starts, answers and ends:\n{ran.stdout}{ran.stderr}", ran.returncode == 0)


RUN = """
CONTAINER_ENV={environment} enter {user} outrigger {args} &
node=$!
until inside {application} outrigger probe live --server unix:///run/outrigger/node.sock 2>/dev/null; do
  kill -0 $node || exit 1
  sleep 0.1
done
exec 3<>/dev/tcp/127.0.0.1/7401
printf 'GET /started HTTP/1.1\\r\\nhost: node\\r\\nconnection: close\\r\\n\\r\\n' >&3
grep -q '503' <&3
kill -TERM $node
wait $node
"""


def certificates():
    """An authority, and a certificate of a node."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
        ca = [*request, "-subj", "/CN=nodes", "-keyout", place / "ca.key", "-out", place / "ca.crt"]
        done(ca)
        done([
            *request, "-subj", "/CN=node", "-addext", "subjectAltName=DNS:shop-outrigger.default.svc", "-addext",
            "basicConstraints=critical,CA:FALSE", "-CA", place / "ca.crt", "-CAkey", place / "ca.key",
            "-keyout", place / "tls.key", "-out", place / "tls.crt",
        ])  # fmt: skip
        return {name: (place / name).read_text() for name in ["ca.crt", "tls.crt", "tls.key"]}


def main():
    parser = argparse.ArgumentParser(prog="charts.py")
    for name in ["helm", "kustomize"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--root", help="the file system of the image, to run what is configured")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        charts = Path(directory) / "helm"
        shutil.copytree(DEPLOY / "helm", charts)
        out = rendered(asked, charts)
        pods = {name: Pods(name, all_documents) for name, all_documents in out.items()}
        versions_agree(charts, [each.node for each in pods.values()])
    for name, all_documents in out.items():
        for document in all_documents:
            validate(name, document)
        pods[name].hold()
    of_helm, of_kustomize = (dict(pods[name].node) for name in ["deployment-values", "kustomize deployment"])
    of_helm["image"] = of_kustomize["image"] = None
    expect(f"both give the same node:\n{of_helm}\n{of_kustomize}", of_helm == of_kustomize)
    if asked.root:
        for each in pods.values():
            each.run(asked.root)
    kinds = sum(map(len, out.values()))
    print(f"{kinds} objects of {len(out)} pods hold in Kubernetes {VERSIONS[0]} to {VERSIONS[-1]}")


if __name__ == "__main__":
    main()
