# Sourced by demo and test: sees to what the build needs. What is there already is used, however it
# came; what is missing is installed by its Debian name where there is apt-get, with sudo when this is
# not root. Prints nothing when nothing is missing.

# missing THING...: the Debian packages of those that are not there.
missing() {
    for thing in "$@"; do
        case $thing in
        gcc | g++ | make | clang) command -v "$thing" > /dev/null 2>&1 || echo "$thing" ;;
        ompi) { command -v mpirun && pkg-config --exists ompi-c; } > /dev/null 2>&1 || echo openmpi-bin libopenmpi-dev ;;
        libc) [ -e /usr/include/stdio.h ] || echo libc6-dev ;;
        pkg-config) command -v pkg-config > /dev/null 2>&1 || echo pkg-config ;;
        jansson | libpcre2-8 | libutf8proc | sqlite3 | libedit | cmocka)
            if ! command -v pkg-config > /dev/null 2>&1 || ! pkg-config --exists "$thing"; then
                case $thing in
                jansson) echo libjansson-dev ;;
                libpcre2-8) echo libpcre2-dev ;;
                libutf8proc) echo libutf8proc-dev ;;
                sqlite3) echo libsqlite3-dev ;;
                libedit) echo libedit-dev ;;
                cmocka) echo libcmocka-dev ;;
                esac
            fi ;;
        esac
    done
}

give_up() {
    echo "slm: $1" >&2
    echo "slm: needed: $lack (Debian's names); install these and start again" >&2
    exit 1
}

# need THING...: returns when all are there, or ends the program saying what is wanted.
need() {
    lack=$(missing "$@" | tr '\n' ' ')
    lack=${lack% }
    [ -n "$lack" ] || return 0
    command -v apt-get > /dev/null 2>&1 || give_up "packages are missing and this system has no apt-get"
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null 2>&1 || give_up "packages are missing, and without sudo only root can install them"
        as_root=sudo
        if ! [ -t 0 ]; then
            sudo -n true 2> /dev/null || give_up "packages are missing, and sudo wants a password but there is no terminal"
        fi
    fi
    echo "Installing $lack"
    apt_log=$(mktemp)
    # shellcheck disable=SC2086
    if ! { install_lacking || { $as_root apt-get update && install_lacking; }; } > "$apt_log" 2>&1; then
        grep -E '^(E|Err|W):' "$apt_log" | sort -u | head -n 5 >&2
        rm -f "$apt_log"
        give_up "apt-get could not install them (is there a network?)"
    fi
    rm -f "$apt_log"
    lack=$(missing "$@" | tr '\n' ' ')
    lack=${lack% }
    [ -z "$lack" ] || give_up "apt-get installed them, but they are still not to be found"
}

install_lacking() {
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $lack
}

# build TARGET...: make on all cores, silent unless it fails.
build() {
    make_log=$(mktemp)
    if ! make -s -j"$(nproc 2> /dev/null || echo 1)" "$@" > "$make_log" 2>&1; then
        tail -n 40 "$make_log" >&2
        rm -f "$make_log"
        echo "slm: the build failed" >&2
        exit 1
    fi
    rm -f "$make_log"
}
