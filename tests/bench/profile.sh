#!/usr/bin/env bash
# profile.sh [BUILD]: where the CPU time of an upload goes. `perf` and `strace` over `chunklift cp` into the sink: a file
# of 4 GiB without a checksum, and 10,000 files of 4 KiB. BUILD: build/check. Debian: linux-perf, strace.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$(realpath "${1:-build/check}")
for program in perf strace; do
    command -v $program >/dev/null || { echo "profile.sh: $program is not installed; it is in Debian's linux-perf or strace" >&2; exit 3; }
done
dir=$(mktemp -d)
mkfifo "$dir/stop"
"$build/bench/sink" -c <"$dir/stop" >"$dir/port" &
exec 9>"$dir/stop" # the sink ends when this is closed
trap 'exec 9>&-; wait; rm -rf "$dir"' EXIT
until [ -s "$dir/port" ]; do :; done
export AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=bench AWS_REGION=us-east-1 XDG_RUNTIME_DIR=$dir HOME=$dir
url=http://127.0.0.1:$(cat "$dir/port")

upload() { # COMMAND… -- OPTIONS AND NAMES…: runs cp under COMMAND with a new journal
    local before=()
    while [ "$1" != -- ]; do before+=("$1") && shift; done
    shift
    rm -rf "$dir/journal"
    "${before[@]}" "$build/chunklift" cp --quiet --journal "$dir/journal" --endpoint-url "$url" "$@"
}
profile() { # TITLE CP-ARGUMENTS…
    echo "## $1"
    shift
    upload perf record -q -F 4000 -o "$dir/perf" -- "$@"
    for by in comm dso sym; do
        echo "by $by:"
        perf report -q -i "$dir/perf" --no-children -s $by -g none 2>/dev/null | sed '/^#/d; /^$/d' | sed -n 1,16p
    done
    echo "system calls:"
    upload strace -f -c -o "$dir/calls" -- "$@"
    sed -n 1,22p "$dir/calls"
}

head -c 4G /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 -nosalt >"$dir/large" 2>/dev/null
mkdir "$dir/small"
split -b 4096 -a 5 -d <(head -c 40960000 "$dir/large") "$dir/small/"
profile "4 GiB, 8 MiB parts, no checksum" --uploaders 1 --integrity none "$dir/large" s3://bucket/key
profile "10,000 files of 4 KiB" -r "$dir/small" s3://bucket/tree/
