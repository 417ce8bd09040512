# Too many words, too few.
$SLM show; echo $?
$SLM show a b; echo $?
$SLM show -m a b; echo $?
$SLM convert a; echo $?
$SLM help a b; echo $?
