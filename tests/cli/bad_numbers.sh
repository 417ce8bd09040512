# One clear line each, exit code 2.
try() { $SLM "$@"; echo "exit $?"; }
try run m --top-k=abc
try run m --top-k -5
try run m --top-p 1.5
try run m --temp nan
try run m -n 99999999999999999999
try run m -t 0
try run m --seed 1x
try run m --cache-type f99
try run m -c
try run m --exact=1
