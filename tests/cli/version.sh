$SLM version && $SLM --version && $SLM version --json -t 1
