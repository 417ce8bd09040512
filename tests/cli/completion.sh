$SLM completion bash > $TMP/bash && bash -n $TMP/bash && grep -c 'complete -o filenames -F _slm slm' $TMP/bash
. $TMP/bash
COMP_WORDS=(slm comp) COMP_CWORD=1; _slm; echo "${COMPREPLY[@]}"
COMP_WORDS=(slm run --top) COMP_CWORD=2; _slm; echo "${COMPREPLY[@]}"
COMP_WORDS=(slm run --cache-type q) COMP_CWORD=3; _slm; echo "${COMPREPLY[@]}"
$SLM completion zsh | head -n 1
$SLM completion fish | grep -c "'__fish_seen_subcommand_from logits' -l step "
$SLM completion tcsh
