# The second bundled model: requests to a home become JSON, and nothing else.
ask() { $SLM complete models/smart-home.gguf -p "$1
" -n 160 --temp 0 --stop '
' -q; }
ask 'Adjust kitchen table light brightness to 52.'
ask 'Toggle the kitchen herb garden cool light and stop the bike storage garage'
