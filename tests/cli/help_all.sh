$SLM help > $TMP/a && $SLM --help > $TMP/b && $SLM -h > $TMP/c && cmp $TMP/a $TMP/b && cmp $TMP/a $TMP/c
