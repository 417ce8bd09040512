$SLM run model.gguf --tempp 1
