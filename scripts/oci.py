"""Packs a root file system (rootfs.sh) as a container image: an archive in OCI's layout that docker, podman, containerd
and skopeo load.

    oci.py ROOT OUT REVISION

The same tree gives the same digest: entries are sorted and belong to root, and all times are that of the tree.
deploy/Containerfile says the same of the image; a test compares the two.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
Json = dict[str, Any]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
LOADERS = {"ld-linux-x86-64.so.2": "amd64", "ld-linux-aarch64.so.1": "arm64"}
SECOND = 10**9


def cargo(key: str) -> str:
    """A text of the package's in Cargo.toml."""
    found = re.search(rf'^{key} = "(.*)"$', (HERE / "Cargo.toml").read_text(), re.MULTILINE)
    if not found:
        raise SystemExit(f"oci: Cargo.toml has no {key}")
    return found[1]


def add(tar: tarfile.TarFile, name: str, epoch: int, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(content), epoch, 0o644
    tar.addfile(info, io.BytesIO(content))


def layer(root: Path, epoch: int) -> bytes:
    """The tree as a tar."""
    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = epoch
        # Files that share an inode would depend on the file system that they were made on.
        if info.islnk():
            raise SystemExit(f"oci: {info.name} is a hard link")
        return info

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, str(path.relative_to(root)), recursive=False, filter=plain)
    return out.getvalue()


def architecture(root: Path) -> str:
    for name, found in LOADERS.items():
        if list(root.glob(f"usr/lib/*/{name}")):
            return found
    raise SystemExit(f"oci: {root} has no loader: was it made by rootfs.sh?")


def labels(revision: str) -> dict[str, str]:
    repository = cargo("repository")
    said = {
        "title": "gramwatt",
        "description": cargo("description"),
        "version": cargo("version"),
        "revision": revision,
        "licenses": cargo("license"),
        "vendor": "Gramwatt",
        "url": repository,
        "source": repository,
        "documentation": f"{repository}/blob/main/README.md",
    }
    return {f"org.opencontainers.image.{key}": value for key, value in sorted(said.items())}


def config(arch: str, created: str, diff: str, said: dict[str, str]) -> Json:
    return {
        "architecture": arch,
        "os": "linux",
        "created": created,
        "config": {
            "Entrypoint": ["/usr/bin/gramwatt"],
            "Env": ["PATH=/usr/bin"],
            "ExposedPorts": {"10061/tcp": {}},
            "WorkingDir": "/",
            "Labels": said,
            # Docker's own; others pass it over.
            "Healthcheck": {
                "Test": ["CMD", "/usr/bin/gramwatt", "probe"],
                "Interval": 60 * SECOND, "Timeout": 15 * SECOND, "StartPeriod": 30 * SECOND, "Retries": 3,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created": created, "created_by": "scripts/oci.py"}],
    }


def archive(root: Path, revision: str) -> tuple[bytes, str]:
    """The archive, and the image's digest."""
    epoch = int(root.stat().st_mtime)
    blobs: dict[str, bytes] = {}

    def keep(content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return f"sha256:{digest}"

    def keep_json(value: Json) -> tuple[str, int]:
        content = json.dumps(value, separators=(",", ":")).encode()
        return keep(content), len(content)

    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    said, arch, tree = labels(revision), architecture(root), layer(root, epoch)
    packed = gzip.compress(tree, 9, mtime=0)
    layer_digest = keep(packed)
    config_digest, config_size = keep_json(config(arch, created, "sha256:" + hashlib.sha256(tree).hexdigest(), said))
    manifest_digest, manifest_size = keep_json({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config_digest, "size": config_size},
        "layers": [{"mediaType": LAYER, "digest": layer_digest, "size": len(packed)}],
        "annotations": said,
    })
    name = f"ghcr.io/gramwatt/gramwatt:{cargo('version')}"
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": MANIFEST,
            "digest": manifest_digest,
            "size": manifest_size,
            "platform": {"architecture": arch, "os": "linux"},
            "annotations": {
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": cargo("version"),
            },
        }],
    }
    path = {digest: "blobs/" + digest.replace(":", "/") for digest in (config_digest, layer_digest)}
    # For a docker that does not know OCI's layout.
    docker = [{"Config": path[config_digest], "RepoTags": [name], "Layers": [path[layer_digest]]}]
    files = {
        **blobs,
        "index.json": json.dumps(index).encode(),
        "manifest.json": json.dumps(docker).encode(),
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file, content in sorted(files.items()):
            add(tar, file, epoch, content)
    return out.getvalue(), manifest_digest


if __name__ == "__main__":
    packed_image, image_digest = archive(Path(sys.argv[1]), sys.argv[3])
    Path(sys.argv[2]).write_bytes(packed_image)
    print(image_digest)
