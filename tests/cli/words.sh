# Too many words, too few; of a family of commands (help) too.
$SLM show; echo $?
$SLM show a b; echo $?
$SLM show -m a b; echo $?
$SLM convert a; echo $?
$SLM help a b; echo $?
