#!/usr/bin/env bash
# tests/fuzz/keep.sh [TARGET…]: replaces tests/fuzz/corpus/TARGET/found with the smallest set of inputs found by earlier runs (build/fuzz/corpus)
# that has the same coverage: smallest inputs first, at most 100 of them or 150 KB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ $# -eq 0 ]; then
    for file in tests/fuzz/fuzz_*.c; do
        name=${file##*/fuzz_}
        set -- "$@" "${name%.c}"
    done
fi
for name in "$@"; do
    seeds=tests/fuzz/corpus/$name
    few=$(mktemp -d)
    dirs=("$seeds")
    [ ! -d "build/fuzz/corpus/$name" ] || dirs+=("build/fuzz/corpus/$name")
    build/fuzz/fuzz/fuzz_"$name" -set_cover_merge=1 -rss_limit_mb=2048 -max_len=16384 "$few" "${dirs[@]}" >/dev/null 2>&1 ||
        echo "$name: not all of its corpus could be looked at" >&2
    rm -rf "$seeds/found"
    mkdir "$seeds/found"
    find "$few" -type f -printf '%s %p\n' | sort -n | awk '{ sum += $1; if (NR > 100 || sum > 150000) exit; print $2 }' |
        while read -r file; do
            number=$(sha256sum "$file" | cut -c1-12)
            cp "$file" "$seeds/found/$number"
        done
    rm -rf "$few"
    echo "$name: $(find "$seeds" -type f | wc -l) files, $(du -sb "$seeds" | cut -f1) bytes"
done
