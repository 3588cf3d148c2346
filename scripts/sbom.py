"""Writes the bill of materials of a container image, in SPDX 2.3: the program, the crates that are linked into it, and
the packages of Debian's beside it.

    sbom.py TARGET BINARY DEBS

What it says comes from cargo and from the packages themselves. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
Json = dict[str, Any]


def run(*command: str) -> str:
    return subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def identity(*parts: str) -> str:
    """An SPDX identifier: letters, digits, dots and dashes."""
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(parts))


def package(name: str, version: str, spdx: str, purl: str, licence: str | None, **more: Any) -> Json:
    return {
        "SPDXID": spdx,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        # "MIT/Apache-2.0" is how licences were written before SPDX had expressions.
        "licenseDeclared": licence.replace("/", " OR ") if licence else "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
        ],
        **more,
    }


def checksums() -> dict[tuple[str, str], str]:
    """Of crates by name and version, as Cargo.lock has them."""
    entry = re.compile(r'name = "(.*)"\nversion = "(.*)"\nsource = ".*"\nchecksum = "(.*)"')
    return {(name, version): digest for name, version, digest in entry.findall((HERE / "Cargo.lock").read_text())}


def crates(target: str, binary: Path) -> tuple[list[Json], list[tuple[str, str]]]:
    """The program and its crates, and who depends on whom."""
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"))
    # Cargo's metadata also names what only tests use. The tree is what is linked.
    tree = run("cargo", "tree", "--locked", f"--target={target}", "--edges=normal,no-proc-macro", "--prefix=none",
               "--format={p}")
    linked = {(line.split()[0], line.split()[1].removeprefix("v")) for line in tree.splitlines() if line}
    known = {each["id"]: each for each in metadata["packages"] if (each["name"], each["version"]) in linked}
    names = {key: identity("crate", each["name"], each["version"]) for key, each in known.items()}
    digests = checksums()
    packages = []
    for key, each in known.items():
        name, version = each["name"], each["version"]
        more: Json = {}
        if (name, version) in digests:
            more["checksums"] = [{"algorithm": "SHA256", "checksumValue": digests[name, version]}]
            more["downloadLocation"] = f"https://static.crates.io/crates/{name}/{name}-{version}.crate"
        elif key == metadata["resolve"]["root"]:
            more["checksums"] = [{"algorithm": "SHA256", "checksumValue": sha256(binary)}]
            more["primaryPackagePurpose"] = "APPLICATION"
        packages.append(
            package(name, version, names[key], f"pkg:cargo/{name}@{version}", each["license"], **more)
        )
    edges = [
        (names[node["id"]], names[to["pkg"]])
        for node in metadata["resolve"]["nodes"] if node["id"] in names
        for to in node["deps"] if to["pkg"] in names and any(kind["kind"] is None for kind in to["dep_kinds"])
    ]
    return packages, [("SPDXRef-DOCUMENT", names[metadata["resolve"]["root"]]), *edges]


def debian(debs: Path) -> list[Json]:
    packages = []
    for deb in sorted(debs.glob("*.deb")):
        fields = dict(
            line.split(": ", 1)
            for line in run("dpkg-deb", "-f", str(deb), "Package", "Version", "Architecture").splitlines()
        )
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        escaped = version.replace("+", "%2B").replace(":", "%3A")
        packages.append(
            package(
                name, version, identity("deb", name), f"pkg:deb/debian/{name}@{escaped}?arch={architecture}", None,
                checksums=[{"algorithm": "SHA256", "checksumValue": sha256(deb)}],
            )
        )
    return packages


def document(target: str, binary: Path, debs: Path) -> Json:
    linked, edges = crates(target, binary)
    beside = debian(debs)
    root = edges[0][1]
    edges += [(root, each["SPDXID"]) for each in beside]
    relations = [
        {
            "spdxElementId": of,
            "relationshipType": "DESCRIBES" if of == "SPDXRef-DOCUMENT" else "DEPENDS_ON",
            "relatedSpdxElement": to,
        }
        for of, to in sorted(set(edges))
    ]
    packages = sorted([*linked, *beside], key=lambda each: str(each["SPDXID"]))
    created = time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))
    # A namespace must be no other document's, so it is named for what is in this one.
    content = hashlib.sha256(json.dumps([packages, relations]).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"gramwatt-{target}",
        "documentNamespace": f"https://github.com/gramwatt/gramwatt/sbom/{content}",
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", created),
            "creators": ["Tool: gramwatt-scripts-sbom.py"],
        },
        "packages": packages,
        "relationships": relations,
    }


if __name__ == "__main__":
    json.dump(document(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])), sys.stdout, indent=1)
    print()
