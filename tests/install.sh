#!/usr/bin/env bash
# make install into a scratch folder, then a foreign program against what lies there: found by
# pkg-config, linked with the shared library and with the static one. Usage: tests/install.sh BUILD
set -u
cd "$(dirname "$0")/.." || exit 2
build=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
try() {
    local name=$1
    shift
    if "$@" > "$root/log" 2>&1; then
        echo "ok install: $name"
    else
        echo "FAIL install: $name: $(grep -v '^install\|^sed\|^ln' "$root/log" | tail -n 2 | tr '\n' ' ')"
    fi
}
lib=$root/usr/lib
try "make install" make -s BUILD="$build" PREFIX="$root/usr" install
for f in bin/slm lib/libslm.a lib/libslm.so lib/libslm.so.0 lib/pkgconfig/slm.pc include/slm/slm.h \
    include/slm/status.h share/man/man1/slm.1 share/man/man1/slm-run.1 \
    share/bash-completion/completions/slm share/zsh/site-functions/_slm \
    share/fish/vendor_completions.d/slm.fish share/slm/storyteller.gguf; do
    try "$f is there" test -s "$root/usr/$f"
done
cat > "$root/use.c" <<'END'
#include <slm/slm.h>
#include <stdio.h>
int main(void)
{
    slm_runtime *rt = NULL;
    slm_err err = {0};
    if (slm_runtime_open(&rt, NULL, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    printf("%s %s\n", slm_version(), slm_runtime_cpu_level(rt));
    slm_runtime_close(&rt);
    return 0;
}
END
export PKG_CONFIG_PATH=$lib/pkgconfig
cc=${CC:-gcc}
try "links with the shared library" sh -c "$cc -std=c11 -o $root/use_so $root/use.c \$(pkg-config --cflags --libs slm)"
try "runs with it" env LD_LIBRARY_PATH="$lib" "$root/use_so"
try "links with the static library" sh -c \
    "$cc -std=c11 -o $root/use_a $root/use.c \$(pkg-config --cflags slm) $lib/libslm.a \$(pkg-config --static --libs-only-l --libs-only-other slm | sed 's/-lslm//')"
try "runs with it alone" "$root/use_a"
try "the version agrees" sh -c "$root/use_a | grep -q \"^\$(pkg-config --modversion slm) \""
try "the bundled model is found" sh -c "cd / && echo | $root/usr/bin/slm show $root/usr/share/slm/storyteller.gguf"
try "bash reads its completion" bash -n "$root/usr/share/bash-completion/completions/slm"
