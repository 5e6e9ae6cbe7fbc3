"""The page about Kubernetes: its YAML is rendered, validated and compared like what is in deploy/, so that it cannot say
what is not so."""

import re

import yaml
from judge import ROOT, documents, done, expect, fail, validate

PAGE = ROOT / "docs/deploy/kubernetes.md"


def blocks():
    """The YAML of the page: values of the chart, and whole objects."""
    text = PAGE.read_text()
    found = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    expect(f"{PAGE.stem}: each of its blocks is read", len(found) == text.count("```yaml") > 0)
    all_documents = [document for block in found for document in documents(block)]
    return [each for each in all_documents if "kind" not in each], [each for each in all_documents if "kind" in each]


def rendered(asked, app):
    """The page begins with values that are enough, and shows then what others are added to them."""
    first, *others = blocks()[0]
    out = {}
    for number, more in enumerate([{}, *others], 1):
        files = []
        for name, values in [("first", first), ("more", more)]:
            file = app.parent / f"{name}.yaml"
            file.write_text(yaml.safe_dump(values))
            files += ["-f", file]
        out[f"{PAGE.stem} {number}"] = documents(done([asked.helm, "template", "orders", app, *files]))
    return out


def holds(pods):
    """What the page has people apply by hand fits what charts and components have made."""
    for document in blocks()[1]:
        name = f"{PAGE.stem}: {document['metadata']['name']}"
        validate(name, document)
        if document["kind"] == "Pod":
            by_hand_holds(name, document["spec"], pods)
        elif document["kind"] == "NetworkPolicy":
            pods["kustomize deployment"].policy_holds(document)
            of_component = [each["spec"]["ingress"] for each in pods["kustomize beside"].of("NetworkPolicy")]
            expect(f"{name}: the component for monitoring lets in the same", document["spec"]["ingress"] in of_component)
        else:
            fail(f"{name}: nobody judges a {document['kind']}")


def by_hand_holds(name, pod, pods):
    """A Pod that does something to the copy of a node that is away does it where that node would."""
    claimed = pods["statefulset-values"]
    (hand,) = pod["containers"]
    expect(f"{name}: it is as restricted as a node", hand.get("securityContext") == claimed.node["securityContext"])
    group = claimed.pod["securityContext"]["fsGroup"]
    expect(f"{name}: it has the group of the volume, {group}", pod["securityContext"]["fsGroup"] == group)
    image = pods[f"{PAGE.stem} 1"].node["image"]
    expect(f"{name}: its image is the node's, {image}", hand["image"] == image)
    data = hand["args"][hand["args"].index("--data") + 1]
    expect(f"{name}: {data} is where nodes have their copies: {claimed.data()}", data == claimed.data())
    (mount,), (volume,) = hand["volumeMounts"], pod["volumes"]
    (at,) = [each["mountPath"] for each in claimed.node["volumeMounts"] if each["name"] == "outrigger-data"]
    expect(f"{name}: it mounts its volume where nodes do, at {at}", mount == {"name": volume["name"], "mountPath": at})
    (claim,) = claimed.workload["spec"]["volumeClaimTemplates"]
    claim = f"{claim['metadata']['name']}-orders-0"
    expect(f"{name}: its claim is {claim}", volume["persistentVolumeClaim"]["claimName"] == claim)
