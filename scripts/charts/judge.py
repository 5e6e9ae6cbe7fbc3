"""What all judges share: the words of a failure, commands, and the schemas of Kubernetes."""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
# The first has native sidecars by default.
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
# Custom resources, which Kubernetes has no schemas of.
CUSTOM = {"PodMonitor": "podMetricsEndpoints", "PrometheusRule": "groups"}


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


def validate(name, document):
    kind = document["kind"]
    if kind in CUSTOM:
        expect(f"{name}: a {kind} has its {CUSTOM[kind]}", document["spec"][CUSTOM[kind]])
        if kind == "PrometheusRule":
            groups = {group["name"]: group["rules"] for group in document["spec"]["groups"]}
            (alerts,) = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
            expect(f"{name}: it has the alerts of Outrigger", groups.get(alerts["name"]) == alerts["rules"] and all(groups.values()))
        return
    if kind == "ConfigMap" and "grafana_dashboard" in document["metadata"].get("labels", {}):
        (dashboard,) = document["data"].values()
        expect(f"{name}: it has the dashboard", json.loads(dashboard) == json.loads((DEPLOY / "grafana/outrigger.json").read_text()))
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            fail(f"{name}: {kind} of Kubernetes {version}: {error.message} at {list(error.path)}")
