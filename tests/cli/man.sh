$SLM man $TMP/man -q && ls $TMP/man | wc -l && head -n 1 $TMP/man/slm-run.1 && grep -c '^\.SH' $TMP/man/slm.1
# no line that troff would take for a request by mistake
grep -hE "^[.']" $TMP/man/*.1 | grep -vE '^\.(TH|SH|SS|TP|PP|nf|fi)( |$)'
$SLM man
