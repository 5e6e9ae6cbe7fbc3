"""The workload that comes out of a chart or a component, and what it needs of the objects beside it."""

import base64
import shutil
import tempfile
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from judge import ROOT, done, expect, said

# Ports of a node.
METRICS, PEERS = 7401, 7402
# What Pod Security asks of each container in a namespace of its level `restricted`.
RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
# What a node takes for a secret has so many bytes.
SECRET_MIN = 16
# What differs from the defaults, of the values in ci/.
STARTS = {"alone-values": "/live"}
WITHOUT_POLICY = {"alone-values"}


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

    def selectors(self):
        """What selects pods, and what it selects them by."""
        for each in self.all:
            spec = each.get("spec", {})
            selector = spec.get("podSelector") or spec.get("selector") or {}
            if selector:
                yield each["kind"], selector.get("matchLabels", selector)

    def hold(self):
        """What Kubernetes would only find when it runs them."""
        volumes = [volume["name"] for volume in self.pod["volumes"]]
        volumes += [claim["metadata"]["name"] for claim in self.workload["spec"].get("volumeClaimTemplates", [])]
        expect(f"{self.name}: each volume once", len(volumes) == len(set(volumes)))
        containers = self.pod["initContainers"] + self.pod["containers"]
        mounted = {mount["name"] for each in containers for mount in each["volumeMounts"]}
        expect(f"{self.name}: {mounted} are volumes, and all are used: {volumes}", mounted == set(volumes))
        expect(f"{self.name}: a native sidecar", self.node["restartPolicy"] == "Always")
        security = self.node["securityContext"]
        expect(f"{self.name}: its node is restricted: {security}", RESTRICTED.items() <= security.items())
        self.probes_hold()
        self.rollouts_hold()
        self.network_holds()
        self.secrets_hold()
        self.configuration_holds()
        for kind, selector in self.selectors():
            expect(f"{self.name}: its {kind} selects it", self.is_selected(selector))
        for service in self.of("Service"):
            ports = [port["targetPort"] for port in service["spec"]["ports"]]
            expect(f"{self.name}: its service is of the peers' port, as a number: {ports}", ports == [PEERS])
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
        for policy in self.of("NetworkPolicy"):
            self.policy_holds(policy)
        if self.name not in WITHOUT_POLICY:
            expect(f"{self.name}: it has a policy", self.of("NetworkPolicy"))

    def policy_holds(self, policy):
        """Whom it lets to the ports of the node. Names of ports of init containers are not known everywhere."""
        expect(f"{self.name}: the policy is of its pods", self.is_selected(policy["spec"]["podSelector"]["matchLabels"]))
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

    def secrets_hold(self):
        """What an example has instead of a secret is refused by nodes: whoever forgets to replace it has no open cluster."""
        for secret in self.of("Secret"):
            for name, value in secret["data"].items():
                expect(f"{self.name}: {name} is too short for a secret", len(base64.b64decode(value)) < SECRET_MIN)

    def configuration(self):
        (file,) = [each["data"] for each in self.of("ConfigMap") if "outrigger.toml" in each["data"]]
        return tomllib.loads(file["outrigger.toml"])

    def data(self):
        return self.configuration()["data"]

    def configuration_holds(self):
        """Numbers come through as they were given, and rules leave nobody out whom the node needs."""
        configuration = self.configuration()
        for name, value in configuration.get("kafka", {}).items():
            expect(f"{self.name}: {name} is {value}", "e+" not in value)
        services = {service["metadata"]["name"] for service in self.of("Service")}
        for peer in configuration.get("peers", []):
            expect(f"{self.name}: {peer} is one of its services: {services}", urlsplit(peer).hostname.split(".")[0] in services)
        rules = configuration.get("access", [])
        if rules and "peers" in configuration:
            expect(f"{self.name}: a rule lets peers take copies: {rules}", any("peer" in rule["may"] for rule in rules))

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
            found = [m["data"] for m in self.of("ConfigMap") if m["metadata"]["name"] == volume["configMap"]["name"]]
            return found[0] if found else certificates()
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
        """Starts the node in the file system of its image as what Kubernetes would start, and asks it over the socket: as the
        application would, another user of the pod's group, and as an operator would, who enters the node's container."""
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            place.chmod(0o755)
            mounts = [f"{path}={here}" for path, here in self.mount(place).items()]
            security, group = self.node["securityContext"], self.pod["securityContext"]["fsGroup"]
            script = RUN.format(
                user=f"{security['runAsUser']}:{security['runAsGroup']}:{group}",
                application=f"1000:1000:{group}",
                args=" ".join(self.node["args"]),
                store=self.configuration()["store"][0]["name"],
                environment="OUTRIGGER_KAFKA=sasl.password=secret" if self.node.get("env") else "",
            )
            ran = said([ROOT / "scripts/contained.sh", root, script, *mounts])
            expect(f"{self.name}: its node starts, answers and ends:\n{ran.stdout}{ran.stderr}", ran.returncode == 0)


RUN = """
CONTAINER_ENV={environment} enter {user} outrigger {args} &
node=$!
until inside {application} outrigger probe live --server unix:///run/outrigger/node.sock 2>/dev/null; do
  kill -0 $node || exit 1
  sleep 0.1
done
inside {user} outrigger status --server unix:///run/outrigger/node.sock || exit 1
inside {user} outrigger throttle off --store {store} --server unix:///run/outrigger/node.sock || exit 1
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
