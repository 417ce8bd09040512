m=tests/golden/llama
try() { echo 1 | $SLM complete $m --ids-file - -n 1 -q --ignore-eos "$@" > /dev/null; echo "exit $?"; }
try --samplers 'top_k;temperature'
try --samplers 'top_k;magic'
try --logit-bias 3+1 -l 4-inf -l 5=2.5
try --logit-bias three
try --logit-bias 99999+1
try --mirostat 2
try --mirostat 1
try --repeat-penalty 1.2 --presence-penalty 0.1 --frequency-penalty 0.1 --repeat-last-n -1
try --dry-multiplier 0.8 --dry-sequence-breaker none
try --xtc-probability 0.5 --xtc-threshold 0.1 --typical 0.9 --min-keep 2
