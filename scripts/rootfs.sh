#!/usr/bin/env bash
# rootfs.sh DIR BINARY [DEBS]: puts the root file system of the container image together in DIR: the program, the few
# files of Debian's that it needs, certificates, two users, licences and a bill of materials. DEBS holds the packages
# (image_debs.sh fetches them). deploy/Containerfile runs this too, so what the tests start is what the image holds.
#
# The same input gives the same tree: all times are SOURCE_DATE_EPOCH, by default that of the last commit.
set -euo pipefail
umask 022
export LC_ALL=C

fail() {
    printf 'rootfs: %s\n' "$@" >&2
    exit 1
}

here=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 2 ] || fail "usage: rootfs.sh DIR BINARY [DEBS]"
root=$1 binary=$2 debs=${3:-$here/target/tools/image-debs}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct)}
[ -n "$SOURCE_DATE_EPOCH" ] || fail "no git here to ask for the time: set SOURCE_DATE_EPOCH"
[ -d "$debs" ] || fail "no packages in $debs: run make setup, or scripts/image_debs.sh $debs"
[ -z "$(ls -A "$root" 2>/dev/null)" ] || fail "$root is not empty"

# readelf and not ldd: a binary of another architecture cannot be run.
case $(readelf -h "$binary" | sed -n 's/^ *Machine: *//p') in
*X86-64*) triple=x86_64-linux-gnu target=x86_64-unknown-linux-gnu ;;
AArch64*) triple=aarch64-linux-gnu target=aarch64-unknown-linux-gnu ;;
*) fail "$binary is neither for amd64 nor for arm64" ;;
esac
interpreter=$(readelf -lW "$binary" | sed -n 's/.*program interpreter: \(.*\)]/\1/p')
[ -n "$interpreter" ] || fail "$binary is static: it could not load NVIDIA's library"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for deb in "$debs"/*.deb; do
    # Not dpkg-deb -x, which gives files to groups that a container need not know.
    dpkg-deb --fsys-tarfile "$deb" | tar -x --no-same-owner -C "$scratch"
done

# Mount points, for runtimes that cannot make them below a read-only root.
mkdir -p "$root"/{dev,proc,sys,run/gramwatt,tmp,host/proc,host/sys,etc/gramwatt,etc/ssl/certs,var/lib/dpkg/status.d}
mkdir -p "$root"/usr/{bin,sbin,lib64,"lib/$triple",share/doc/gramwatt}
chmod 1777 "$root/tmp"
for merged in bin sbin lib lib64; do
    ln -s "usr/$merged" "$root/$merged"
done

# put NAME: a library of Debian's, and what it needs in turn.
put() {
    local to=$root/usr/lib/$triple/$1 from
    [ ! -e "$to" ] || return 0
    # Below /lib or /usr/lib, by the age of the release.
    from=$(find "$scratch" -path "*/$triple/$1")
    [ -n "$from" ] || fail "$1 is in no package of $debs"
    install -m 755 "$from" "$to"
    needs "$to"
}
needs() {
    local each
    readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | while read -r each; do
        put "$each"
    done
}
install -m 755 "$binary" "$root/usr/bin/gramwatt"
put "${interpreter##*/}"
needs "$binary"
# What NVIDIA's library needs: it is linked to names that glibc has given up since, and keeps for such libraries.
for each in libpthread.so.0 libdl.so.2 librt.so.1 libm.so.6; do
    put "$each"
done
# On arm64 the loader's name is /lib/..., on amd64 /lib64/....
ln -sr "$root/usr/lib/$triple/${interpreter##*/}" "$root/usr$interpreter"

cat >"$root/etc/passwd" <<PASSWD
root:x:0:0:root:/:/sbin/nologin
nonroot:x:65532:65532:nonroot:/:/sbin/nologin
PASSWD
cat >"$root/etc/group" <<GROUP
root:x:0:
nonroot:x:65532:
GROUP
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
# The bundle as update-ca-certificates would write it.
find "$scratch/usr/share/ca-certificates" -name '*.crt' -print0 | sort -z |
    xargs -0 cat >"$root/etc/ssl/certs/ca-certificates.crt"

# NVIDIA's runtime mounts the driver's library where Debian's loader looks only if this says that it is Debian.
install -m 644 "$scratch/etc/debian_version" "$root/etc/debian_version"
install -m 644 "$scratch/usr/lib/os-release" "$root/usr/lib/os-release"
ln -s ../usr/lib/os-release "$root/etc/os-release"

# Scanners for vulnerabilities read which packages there are; licences go along with what they are of.
for deb in "$debs"/*.deb; do
    package=$(dpkg-deb -f "$deb" Package)
    dpkg-deb -f "$deb" >"$root/var/lib/dpkg/status.d/$package"
    if [ -L "$scratch/usr/share/doc/$package" ]; then
        cp -P "$scratch/usr/share/doc/$package" "$root/usr/share/doc/$package"
    else
        install -D -m 644 "$scratch/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
    fi
done
install -m 644 "$here/LICENSE" "$here/NOTICE" "$root/usr/share/doc/gramwatt/"
python3 -B "$here/scripts/sbom.py" "$target" "$binary" "$debs" >"$root/usr/share/doc/gramwatt/sbom.spdx.json"

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
