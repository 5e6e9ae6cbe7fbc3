"""Puts a container image together and judges it: a layout of OCI, made of files of this machine, without an engine.

The same files give the same bytes, and so the same digest, whoever makes it and when.

    image.py make LAYOUT --binary FILE --version V --revision R --epoch SECONDS
    image.py judge LAYOUT [--unpack DIRECTORY]
    image.py merge LAYOUT FROM...
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from datetime import datetime, timezone
from pathlib import Path

USER = 65532
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

# Where Debian, Fedora and SUSE keep the authorities that the system trusts.
AUTHORITIES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"]

TEXTS = {
    "etc/passwd": f"root:x:0:0:root:/root:/sbin/nologin\noutrigger:x:{USER}:{USER}:outrigger:/var/lib/outrigger:/sbin/nologin\n",
    "etc/group": f"root:x:0:\noutrigger:x:{USER}:\n",
    # Without it glibc would ask for names in other ways than Kubernetes and Docker answer.
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

# Path, owner, mode. Whatever is mounted there has owners of its own.
DIRECTORIES = [("tmp", 0, 0o1777), ("var/lib/outrigger", USER, 0o700), ("run/outrigger", USER, 0o755), ("etc/outrigger", 0, 0o755)]


def fail(text):
    sys.exit(f"image: {text}")


def libraries(binary):
    """What the binary is linked to, by the path at which it is looked for."""
    told = subprocess.run(["ldd", binary], check=True, capture_output=True, text=True).stdout
    if "not found" in told:
        fail(f"{binary} asks for what is not on this machine:\n{told}")
    words = [line.split() for line in told.splitlines()]
    found = [line[2] if "=>" in line else line[0] for line in words]
    return sorted(path for path in found if path.startswith("/"))


def contents(binary):
    """The regular files: path in the image, where it is here, mode."""
    yield "usr/local/bin/outrigger", Path(binary), 0o755
    for path in libraries(binary):
        yield path.lstrip("/"), Path(path), 0o755
    authorities = next((path for path in AUTHORITIES if os.path.exists(path)), None)
    if authorities is None:
        fail("this machine has no authorities of certificates: install ca-certificates")
    yield "etc/ssl/certs/ca-certificates.crt", Path(authorities), 0o644
    yield "usr/share/doc/outrigger/LICENSE", Path(__file__).parent.parent / "LICENSE", 0o644
    for package in ["libc6", "libstdc++6", "libgcc-s1"]:
        licence = Path("/usr/share/doc") / package / "copyright"
        if licence.exists():
            yield f"usr/share/doc/{package}/copyright", licence, 0o644


def layer(binary, epoch):
    """The file system as a tar, uncompressed."""
    files = {path: (here.read_bytes(), mode) for path, here, mode in contents(binary)}
    files |= {path: (text.encode(), 0o644) for path, text in TEXTS.items()}
    entries = {}
    for path, owner, mode in DIRECTORIES:
        entries[path] = (tarfile.DIRTYPE, b"", owner, mode)
    for path, (content, mode) in files.items():
        entries[path] = (tarfile.REGTYPE, content, 0, mode)
    for path in list(entries):
        for parent in list(Path(path).parents)[:-1]:
            entries.setdefault(str(parent), (tarfile.DIRTYPE, b"", 0, 0o755))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, (kind, content, owner, mode) in sorted(entries.items()):
            entry = tarfile.TarInfo(path)
            entry.type, entry.size, entry.mode, entry.mtime = kind, len(content), mode, epoch
            entry.uid = entry.gid = owner
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Layout:
    def __init__(self, place):
        self.place = Path(place)

    def begin(self):
        shutil.rmtree(self.place, ignore_errors=True)
        (self.place / "blobs/sha256").mkdir(parents=True)
        (self.place / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def path(self, name):
        kind, _, value = name.partition(":")
        if kind != "sha256" or len(value) != 64:
            fail(f"{name} is no digest")
        return self.place / "blobs" / kind / value

    def put(self, media_type, content, **more):
        if not isinstance(content, bytes):
            content = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        name = digest(content)
        self.path(name).write_bytes(content)
        return {"mediaType": media_type, "digest": name, "size": len(content), **more}

    def end(self, manifests, annotations):
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": annotations}
        named = {"org.opencontainers.image.ref.name": annotations["org.opencontainers.image.version"]}
        top = self.put(INDEX, index, annotations=named)
        (self.place / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]}))
        return top["digest"]

    def get(self, descriptor):
        """What a descriptor stands for, which must be what it says."""
        content = self.path(descriptor["digest"]).read_bytes()
        if digest(content) != descriptor["digest"] or len(content) != descriptor["size"]:
            fail(f"{descriptor['digest']} is not what its descriptor says")
        return content

    def tops(self):
        if json.loads((self.place / "oci-layout").read_text()) != {"imageLayoutVersion": "1.0.0"}:
            fail("oci-layout is of another version")
        return json.loads((self.place / "index.json").read_text())


def make(asked):
    if platform.machine() not in ARCHITECTURES:
        fail(f"no image is made for {platform.machine()}")
    created = datetime.fromtimestamp(asked.epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {
        "org.opencontainers.image.title": "outrigger",
        "org.opencontainers.image.description": "Keeps a service's state on every node of it, and brings any node back",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": asked.version,
        "org.opencontainers.image.revision": asked.revision,
        "org.opencontainers.image.created": created,
    }
    system = {"architecture": ARCHITECTURES[platform.machine()], "os": "linux"}
    tar = layer(asked.binary, asked.epoch)
    config = {
        **system,
        "created": created,
        "config": {
            "User": f"{USER}:{USER}",
            "Entrypoint": ["/usr/local/bin/outrigger"],
            "Cmd": ["serve"],
            "Env": ["PATH=/usr/local/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(tar)]},
        "history": [{"created": created, "created_by": "scripts/image.py"}],
    }
    layout = Layout(asked.layout)
    layout.begin()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.put(CONFIG, config),
        "layers": [layout.put(LAYER, gzip.compress(tar, mtime=0))],
        "annotations": labels,
    }
    print(layout.end([layout.put(MANIFEST, manifest, platform=system)], labels))


def merge(asked):
    """One image of several, each for a machine of its own."""
    layout, manifests, labels = Layout(asked.layout), [], {}
    layout.begin()
    for place in asked.sources:
        source = Layout(place)
        index = json.loads(source.get(source.tops()["manifests"][0]))
        manifests += index["manifests"]
        labels = labels or index["annotations"]
        if index["annotations"]["org.opencontainers.image.revision"] != labels["org.opencontainers.image.revision"]:
            fail("these are of different commits")
        for blob in (source.place / "blobs/sha256").iterdir():
            shutil.copy(blob, layout.place / "blobs/sha256")
    if len({described["platform"]["architecture"] for described in manifests}) != len(manifests):
        fail("two of these are for the same machine")
    for place in asked.sources:
        layout.path(Layout(place).tops()["manifests"][0]["digest"]).unlink()
    print(layout.end(manifests, labels))


def expect(what, so):
    if not so:
        fail(f"not so: {what}")


def judge(asked):
    layout, used = Layout(asked.layout), set()

    def get(descriptor, *media_types):
        expect(f"{descriptor['digest']} is {media_types}", descriptor["mediaType"] in media_types)
        used.add(descriptor["digest"].split(":")[1])
        return layout.get(descriptor)

    tops = layout.tops()
    expect("an index of version 2 with one name", tops["schemaVersion"] == 2 and len(tops["manifests"]) == 1)
    index = json.loads(get(tops["manifests"][0], INDEX))
    expect("an index of version 2", index["schemaVersion"] == 2 and index["mediaType"] == INDEX)
    for described in index["manifests"]:
        manifest = json.loads(get(described, MANIFEST))
        expect("a manifest of version 2", manifest["schemaVersion"] == 2 and manifest["mediaType"] == MANIFEST)
        config = json.loads(get(manifest["config"], CONFIG))
        expect("it is for the machine that the index says", described["platform"] == {k: config[k] for k in ("architecture", "os")})
        tars = [gzip.decompress(get(described, LAYER)) for described in manifest["layers"]]
        expect("layers are what the configuration says", [digest(tar) for tar in tars] == config["rootfs"]["diff_ids"])
        expect("a step of history for each layer", len(config["history"]) == len(tars))
        judge_config(config["config"])
        for tar in tars:
            judge_files(tar)
            if asked.unpack and config["architecture"] == ARCHITECTURES.get(platform.machine()):
                unpack(tar, asked.unpack)
        size = sum(described["size"] for described in manifest["layers"])
        print(f"{config['architecture']}: {size / 2**20:.1f} MiB, {sum(map(len, tars)) / 2**20:.1f} MiB unpacked")
    stored = {blob.name for blob in (layout.place / "blobs/sha256").iterdir()}
    expect("every blob is used", stored == used)


def judge_config(config):
    expect("it is not root", config["User"] == f"{USER}:{USER}")
    expect("the entrypoint is a list", isinstance(config["Entrypoint"], list))
    expect("labels are text", all(isinstance(value, str) and value for value in config["Labels"].values()))


def judge_files(tar):
    with tarfile.open(fileobj=io.BytesIO(tar)) as files:
        entries = files.getmembers()
    for entry in entries:
        expect(f"{entry.name} is a file or a directory", entry.isfile() or entry.isdir())
        expect(f"{entry.name} has no special bits", entry.mode & 0o6000 == 0)
        if entry.isfile():
            expect(f"only root may change {entry.name}", entry.uid == 0 and entry.mode & 0o022 == 0)
    programs = [entry.name for entry in entries if entry.isfile() and "/bin/" in entry.name]
    expect(f"there is no other program: {programs}", programs == ["usr/local/bin/outrigger"])


def unpack(tar, place):
    with tarfile.open(fileobj=io.BytesIO(tar)) as files:
        if sys.version_info >= (3, 12):
            files.extraction_filter = tarfile.fully_trusted_filter
        files.extractall(place, numeric_owner=True)


def main():
    parser = argparse.ArgumentParser(prog="image.py")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("make")
    command.set_defaults(run=make)
    command.add_argument("layout")
    for name in ["binary", "version", "revision"]:
        command.add_argument(f"--{name}", required=True)
    command.add_argument("--epoch", type=int, required=True)
    command = commands.add_parser("judge")
    command.set_defaults(run=judge)
    command.add_argument("layout")
    command.add_argument("--unpack")
    command = commands.add_parser("merge")
    command.set_defaults(run=merge)
    command.add_argument("layout")
    command.add_argument("sources", nargs="+")
    asked = parser.parse_args()
    asked.run(asked)


if __name__ == "__main__":
    main()
