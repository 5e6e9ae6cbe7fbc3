"""Judges what deploy/ gives to Kubernetes: charts and components as they come out, against Kubernetes' own schemas, against
each other, and, with `--root`, against the node that they configure.

    python scripts/charts --helm HELM --kustomize KUSTOMIZE [--root DIRECTORY]

It runs in a Python that has `kubernetes-validate`, which brings the schemas and a reader of YAML.
"""

import argparse
import json
import re
import shutil
import tempfile
from pathlib import Path

import page
import yaml
from judge import DEPLOY, ROOT, VERSIONS, documents, done, expect, said, validate
from pods import Pods

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
    ({"outrigger": {"access": [{"who": ["uid:1"], "may": ["read"]}]}}, "no rule gives `peer`"),
    ({"outrigger": {"operator": ["everything"]}}, "/operator"),
    ({"networkPolicy": {"metricsFrom": {"matchExpressions": []}}}, "matchExpressions"),
    ({"app": {"image": ""}}, "/app/image"),
    ({"app": {"ports": [{"name": "a", "containerPort": 7401}]}}, "containerPort"),
    ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
]


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
    out |= page.rendered(asked, app)
    for example in sorted((DEPLOY / "kustomize/examples").iterdir()):
        out[f"kustomize {example.name}"] = documents(done([asked.kustomize, "build", example]))
    return out


def data_agrees(pods):
    """One path of the data everywhere: whoever follows a page has no other one."""
    told = {each.name: {each.data()} for each in pods.values()}
    for file in [*(ROOT / "docs").rglob("*.md"), DEPLOY / "systemd/outrigger.service"]:
        told[file.name] = set(re.findall(r"(?:data = \"|--data,? )(/var/[\w/]+)", file.read_text()))
    expect(f"all have one path of the data: {told}", len(set.union(*told.values())) == 1)


def versions_agree(charts, nodes):
    """A release of the binary is one of the charts, and they start it."""
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    for chart in charts.glob("*/Chart.yaml"):
        told = yaml.safe_load(chart.read_text())
        expect(f"{chart.parent.name} is {version}, like the binary", told["version"] == told["appVersion"] == version)
    tags = {node["image"].rsplit(":", 1)[1] for node in nodes if "@" not in node["image"]}
    expect(f"images of {tags} are {version}", tags == {version})


def apart(one, other):
    """Two applications of a namespace: neither replaces an object of the other, or takes its pods for its own."""
    named = [{(each["kind"], each["metadata"]["name"]) for each in pods.all} for pods in (one, other)]
    expect(f"{one.name} and {other.name} have names of their own: {named[0] & named[1]}", not named[0] & named[1])
    for pods, strangers in [(one, other), (other, one)]:
        for kind, selector in pods.selectors():
            expect(f"{pods.name}: its {kind} does not select {strangers.name}", not strangers.is_selected(selector))


def monitored(out):
    """A chart and a component that are asked for it have all that there is."""
    for name in ["statefulset-values", "kustomize beside"]:
        kinds = {each["kind"] for each in out[name]}
        expect(f"{name}: it is scraped, with alerts: {kinds}", {"PodMonitor", "PrometheusRule"} <= kinds)
        labels = [each["metadata"].get("labels", {}) for each in out[name] if each["kind"] == "ConfigMap"]
        expect(f"{name}: Grafana finds its dashboard: {labels}", any(each.get("grafana_dashboard") == "1" for each in labels))


def main():
    parser = argparse.ArgumentParser(prog="charts")
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
    data_agrees(pods)
    monitored(out)
    apart(pods["kustomize deployment"], pods["kustomize beside"])
    page.holds(pods)
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
