#!/usr/bin/env bash
# fuzz.sh [--same] SECONDS [TARGET...]: runs every fuzz target (or those named) for so long. Needs no
# nightly compiler: the coverage that libFuzzer steers by comes from an LLVM pass that any rustc can run.
# Each starts from fuzz/seeds and from what earlier runs have learnt; all that it writes is in target/fuzz.
# With --same, each starts from the seeds alone and with one fixed random number: the same inputs in the
# same order at every run of the same code, so that a test fails for what was changed and not by luck.
set -euo pipefail
cd "$(dirname "$0")/.."

same=
if [ "${1:-}" = --same ]; then
    same=1
    shift
fi
seconds=${1:?usage: fuzz.sh [--same] SECONDS [TARGET...]}
shift
out=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"

if [ $# -eq 0 ]; then
    for source in fuzz/fuzz_targets/*.rs; do
        set -- "$@" "$(basename "$source" .rs)"
    done
fi

# The program's own versions, to which cargo adds the fuzzer's.
[ fuzz/Cargo.lock -nt Cargo.lock ] || cp Cargo.lock fuzz/Cargo.lock

# With --target, the flags do not reach build scripts and procedural macros, which must not have them.
echo "fuzz: building $# targets"
RUSTFLAGS=$flags CARGO_TARGET_DIR=$out \
    cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$host" --bins

mkdir -p "$out/tmp"
export TMPDIR=$out/tmp
for target in "$@"; do
    corpus=$out/corpus/$target
    how=()
    if [ "$same" ]; then
        corpus=$out/same/$target
        rm -rf "$corpus"
        how=(-seed=1 -runs=500000)
    fi
    mkdir -p "$corpus" "$out/artifacts"
    seeds=()
    [ -d "fuzz/seeds/$target" ] && seeds=("fuzz/seeds/$target")
    log=$out/$target.log
    if ! "$out/$host/release/$target" -max_total_time="$seconds" ${how[@]+"${how[@]}"} -rss_limit_mb=512 -malloc_limit_mb=256 \
        -timeout=5 -max_len=65536 -verbosity=0 -print_final_stats=1 -artifact_prefix="$out/artifacts/$target-" \
        "$corpus" "${seeds[@]}" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "fuzz: $target FAILED; the input is in $out/artifacts; run it again with" >&2
        echo "fuzz:   $out/$host/release/$target FILE" >&2
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    [ "${runs:-0}" -gt 0 ] || { cat "$log" >&2; echo "fuzz: $target ran nothing" >&2; exit 1; }
    printf 'fuzz: %-16s %9s inputs, no fault\n' "$target" "$runs"
done
