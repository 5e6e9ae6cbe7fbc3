"""What is packed with the binary: the documents, and what they have people deploy.

    package.py make DIRECTORY
    package.py check DIRECTORY

`make` copies it from the repository. Documents also lead to code, which is not packed: of such links the words stay. `check`
says whether each link of a document, and each symbolic link, leads to something in the directory.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKED = ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "docs", "deploy", "proto/proto"]
# What is for whoever changes the program.
CODE = {"ARCHITECTURE.md", "CONTRIBUTING.md", "client", "deny.toml", "examples", "proto", "sim", "tests"}
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def make(package):
    listed = subprocess.run(["git", "ls-files", "-z", *PACKED], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\0")[:-1]:
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, package / name, follow_symlinks=False)
    for page in package.rglob("*.md"):
        # Every second piece between fences is code.
        pieces = page.read_text().split("\n```")
        pieces[::2] = [LINK.sub(lambda link: kept(package, page, link), prose) for prose in pieces[::2]]
        page.write_text("\n```".join(pieces))


def kept(package, page, link):
    """Of a link to code its words, of all others the link."""
    target = os.path.relpath(page.parent / link[2].split("#")[0], package)
    is_code = target.split(os.sep)[0] in CODE and not leads_somewhere(page, link[2])
    return link[1] if is_code else link[0]


def leads_somewhere(page, target):
    path = target.split("#")[0]
    return "://" in target or not path or (page.parent / path).exists()


def check(package):
    broken = [str(path) for path in package.rglob("*") if path.is_symlink() and not path.exists()]
    pages = list(package.rglob("*.md"))
    for page in pages:
        prose = "".join(page.read_text().split("\n```")[::2])
        broken += [f"{page}: {target}" for _, target in LINK.findall(prose) if not leads_somewhere(page, target)]
    if broken or not pages:
        sys.exit(f"package: of {len(pages)} pages these lead nowhere:\n" + "\n".join(broken))


def main():
    parser = argparse.ArgumentParser(prog="package.py")
    parser.add_argument("command", choices=["make", "check"])
    parser.add_argument("directory", type=Path)
    asked = parser.parse_args()
    {"make": make, "check": check}[asked.command](asked.directory)


if __name__ == "__main__":
    main()
