# What comes from outside cannot move the cursor of who reads the message.
$SLM "$(printf 'ru\033[2Jn')"; $SLM show "$(printf 'no\nwhere\033[2J')"
