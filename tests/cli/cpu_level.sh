$SLM version --json --cpu generic | grep -o '"cpu_level": "[a-z]*"'
SLM_CPU=generic $SLM version --json | grep -o '"cpu_level": "[a-z]*"'
$SLM version --json --cpu z80
