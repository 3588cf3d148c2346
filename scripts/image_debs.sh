#!/usr/bin/env bash
# image_debs.sh [-o APT-OPTION]... DIR [ARCHITECTURE]: fetches the Debian packages that a container image is put
# together from into DIR, the versions that apt offers. Does nothing where they are there.
set -euo pipefail

options=()
while [ "${1-}" = -o ]; do
    options+=(-o "$2")
    shift 2
done
dir=${1:?"image_debs.sh [-o APT-OPTION]... DIR [ARCHITECTURE]"}
architecture=${2:-$(dpkg --print-architecture)}

[ ! -e "$dir" ] || exit 0
scratch=$dir.new
rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"
# base-files has the name of the release, which scanners and NVIDIA's runtime look for.
for package in libc6 libgcc-s1 base-files ca-certificates; do
    apt-get "${options[@]}" -q download "$package:$architecture" >/dev/null
done
# The licence of libgcc-s1 is in a package that is named for the compiler's version.
licence=$(dpkg-deb -f libgcc-s1_*.deb Depends | grep -o 'gcc-[0-9]*-base')
apt-get "${options[@]}" -q download "$licence:$architecture" >/dev/null
cd - >/dev/null
mv "$scratch" "$dir"
