#!/usr/bin/env bash
# tests/fuzz/run.sh SECONDS [TARGET…]: runs each libFuzzer target for this time, two at a time, from the seeds in tests/fuzz/corpus and earlier inputs
# (build/fuzz/corpus). Prints one line for each, then the sum; names the crash input, kept in build/fuzz. The log is build/fuzz/TARGET.log.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 3
seconds=$1
shift

fuzz_one() { # TARGET: writes its line to build/fuzz/TARGET.line
    local name=$1 log=build/fuzz/$1.log args done_line executed corpus found status
    args=("build/fuzz/corpus/$name" "tests/fuzz/corpus/$name")
    [ ! -f "tests/fuzz/$name.dict" ] || args+=("-dict=tests/fuzz/$name.dict")
    mkdir -p "build/fuzz/corpus/$name"
    build/fuzz/fuzz/fuzz_"$name" "-max_total_time=$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
        "-artifact_prefix=build/fuzz/$name-" "${args[@]}" >"$log" 2>&1
    status=$?
    done_line=$(grep -aE '^#[0-9]+.*cov: ' "$log" | tail -n 1)
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    corpus=$(find "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name" -type f | wc -l)
    printf '%-14s %10s executions, %s, %s corpus files\n' "$name" "${executed:-?}" \
        "$(sed -nE 's/.*cov: ([0-9]+) ft: ([0-9]+).*/\1 edges, \2 features/p' <<<"$done_line")" "$corpus" >"build/fuzz/$name.line"
    if [ "$status" -ne 0 ]; then
        found=$(sed -nE 's/.*Test unit written to //p' "$log" | tail -n 1)
        {
            echo "FAILED  $name: ${found:-see $log}"
            grep -aE 'CHECK\(|ERROR: |SUMMARY: |runtime error' "$log" | tail -n 5
        } >>"build/fuzz/$name.line"
    fi
    return "$status"
}

if [ $# -eq 0 ]; then
    for file in tests/fuzz/fuzz_*.c; do
        name=${file##*/fuzz_}
        set -- "$@" "${name%.c}"
    done
fi
running=0 failed=0
for name in "$@"; do
    if [ "$running" -ge 2 ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    fuzz_one "$name" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
for name in "$@"; do cat "build/fuzz/$name.line"; done
for name in "$@"; do sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name.log"; done |
    awk -v targets=$# -v seconds="$seconds" '{ sum += $1 } END { printf "%d executions of %d targets, %d s each\n", sum, targets, seconds }'
exit "$failed"
