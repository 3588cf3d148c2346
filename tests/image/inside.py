"""Runs a program as a hardened container would: inside a root file system that it cannot write to, as user 0 without any
capability, without new privileges. Only ROOT/run/gramwatt stays writable.

    inside.py ways ROOT                   prints the first way that works here
    inside.py WAY ROOT PROGRAM ARGUMENT   runs a program, by its whole path
    inside.py WAY ROOT writable           tries to write everywhere, and prints where it could

Ways: `mount` (root, in a mount namespace), `user` (anybody, in a user namespace), `chroot` (root where it may neither
mount nor unshare, as in a container: nothing has the right to be written), and `trace` (anybody, anywhere: proot
translates the paths of a program that runs outside; nothing has the right to be written).

A runtime of containers does the same with more words, but none can be started wherever tests run.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

# From linux/sched.h, sys/mount.h, linux/prctl.h, linux/seccomp.h and linux/capability.h.
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
LOCKED = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 23, 24, 38, 47, 4
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
CAPABILITY_VERSION_3 = 0x20080522
WRITABLE = "run/gramwatt"

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    if getattr(libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def mount(source: Path, target: Path, flags: int) -> None:
    call("mount", os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None)


def read_only(root: Path) -> None:
    """Mounts the tree onto itself, read-only but for the folder of the books."""
    mount(Path("/"), Path("/"), MS_REC | MS_PRIVATE)
    mount(root, root, MS_BIND)
    mount(root / WRITABLE, root / WRITABLE, MS_BIND)
    # In a user namespace, what the file system is mounted with may not be dropped.
    mount(root, root, MS_REMOUNT | MS_BIND | MS_RDONLY | os.statvfs(root).f_flag & LOCKED)


def new_user() -> None:
    """Root of a namespace of one's own, and nobody outside of it."""
    user, group = os.getuid(), os.getgid()
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def below(root: Path) -> list[Path]:
    """All but the folder of the books, and no links: they are followed."""
    kept = root / WRITABLE
    paths = [root, *(path for path in root.rglob("*") if path != kept and kept not in path.parents)]
    return [path for path in paths if not path.is_symlink()]


def no_right_to_write(root: Path) -> None:
    for path in below(root):
        path.chmod(path.stat().st_mode & ~0o222)


def writable(root: Path) -> list[Path]:
    """Where a file can be made or opened for writing."""
    found = []
    for path in [*below(root), root / WRITABLE]:
        to = path / "written" if path.is_dir() else path
        try:
            os.close(os.open(to, os.O_WRONLY | (os.O_CREAT if path.is_dir() else 0)))
        except OSError:
            continue
        found.append(path)
        if path.is_dir():
            to.unlink()
    return found


def drop_everything(capabilities: int) -> None:
    """Drops every capability, also from what a program may ever get."""
    for capability in range(capabilities):
        if libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())


def no_statx() -> None:
    """The call does not exist: programs then ask in the older way, which Debian's proot knows to translate."""
    number = {"x86_64": 332, "aarch64": 291}[os.uname().machine]
    # Load the number; if it is that one, answer ENOSYS; else allow.
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | errno.ENOSYS), (0x06, 0, 0, 0x7FFF0000)]
    steps = b"".join(struct.pack("HBBI", *step) for step in code)
    buffer = ctypes.create_string_buffer(steps, len(steps))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
    call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)


def enter(way: str, root: Path, arguments: list[str]) -> None:
    is_look = arguments == ["writable"]
    capabilities = int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1
    if way == "mount":
        call("unshare", CLONE_NEWNS)
        read_only(root)
    elif way == "user":
        new_user()
        read_only(root)
    else:
        no_right_to_write(root)
    if way != "trace":
        os.chroot(root)
        os.chdir("/")
        root = Path("/")
    # Who is not root has none, and may not drop them from what there might be.
    if way != "trace" or os.getuid() == 0:
        drop_everything(capabilities)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if is_look:
        print(*(path.relative_to(root) for path in writable(root)), sep="\n")
    elif way == "trace":
        no_statx()
        os.execvp("proot", ["proot", "-r", str(root), "-w", "/", *arguments])
    else:
        os.execv(arguments[0], arguments)


def first_way(root: Path) -> str:
    said = []
    for way in ("mount", "user", "chroot", "trace"):
        # A tree of its own: one way's traces may not help another.
        copy = root.with_name(f"{root.name}-{way}")
        shutil.copytree(root, copy, symlinks=True)
        tried = subprocess.run(
            [sys.executable, "-B", __file__, way, copy, "/usr/bin/gramwatt", "--version"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        )
        if tried.returncode == 0:
            return way
        said.append(f"{way}: {tried.stderr.strip().splitlines()[-1:]}")
    raise SystemExit("no way to start a program inside another root here: " + "; ".join(said))


if __name__ == "__main__":
    if sys.argv[1] == "ways":
        print(first_way(Path(sys.argv[2])))
    else:
        enter(sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3:])
