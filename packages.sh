# The only list of Debian packages, and the functions that install missing ones. ./run and ./check source this file; it is not a program.
# shellcheck shell=bash
# shellcheck disable=SC2034 # the lists are read through their names
packages_build="gcc libc6-dev cmake ninja-build pkg-config libzmq3-dev libcurl4-openssl-dev libmsgpack-dev libisal-dev libssl-dev
    libexpat1-dev libjson-c-dev libpcre2-dev ca-certificates media-types"
packages_check="libcmocka-dev python3 python3-pytest python3-crcmod python3-zmq python3-msgpack jq procps man-db git e2fsprogs mount fiu-utils libfiu0 spin
    iproute2 nftables util-linux systemd universal-ctags mandoc"
packages_lint="clang-format clang-tidy shellcheck"
packages_fuzz="clang libclang-rt-14-dev"
# Real servers and independent clients for the tests. The installation leaves no service running.
packages_servers="ceph-mon ceph-osd radosgw swift-proxy swift-account swift-container swift-object awscli rclone s3cmd"
packages_bench="python3-matplotlib"

# packages_missing SET…: the packages of these sets that are not installed, on one line.
packages_missing() {
    local set list wanted=""
    for set in "$@"; do
        list="packages_$set"
        wanted="$wanted ${!list}"
    done
    # shellcheck disable=SC2086
    dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null |
        awk -v wanted="$wanted" '$2 == "installed" { have[$1] = 1 }
            END { n = split(wanted, w, /[ \n]+/); for (i = 1; i <= n; i++) if (w[i] != "" && !(w[i] in have)) printf "%s ", w[i] }'
}

# packages_need SET…: installs missing packages, with sudo for an ordinary user. Without sudo it prints the command and exits with status 3.
packages_need() {
    local missing as_root="" guard=""
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    local line="apt-get update && apt-get install -y --no-install-recommends $missing"
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            echo "chunklift: packages are missing; as root, run: $line" >&2
            exit 3
        fi
        as_root="sudo"
    fi
    echo "installing: $missing" >&2
    # Debian starts services at installation, on all addresses; the tests start their own on 127.0.0.1.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        guard=yes
        printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
        $as_root chmod 755 /usr/sbin/policy-rc.d
    fi
    local log status=0
    log=$(mktemp)
    # shellcheck disable=SC2086
    { $as_root env DEBIAN_FRONTEND=noninteractive apt-get update &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null || status=$?
    [ -z "$guard" ] || $as_root rm -f /usr/sbin/policy-rc.d
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "chunklift: packages could not be installed; as root, run: $line" >&2
        exit 3
    fi
    rm -f "$log"
}

# build_preset PRESET [cmake arguments…]: configures once and builds changed files; it prints output only on failure.
build_preset() {
    local preset=$1 log
    shift
    mkdir -p "build/$preset"
    log="build/$preset/build.log"
    if [ ! -f "build/$preset/build.ninja" ] && ! cmake --preset "$preset" "$@" >"$log" 2>&1; then
        cat "$log" >&2
        echo "chunklift: build/$preset could not be configured; the lines above say why" >&2
        return 1
    fi
    if ! ninja -C "build/$preset" >"$log" 2>&1; then
        grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking)' "$log" | tail -n 60 >&2
        echo "chunklift: build/$preset did not build; the lines above say why" >&2
        return 1
    fi
}
