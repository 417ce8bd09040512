$SLM complete nowhere.gguf -p hello
