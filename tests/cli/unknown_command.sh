$SLM compelte x
