/* slm: the whole life of a small language model. This header is all of its API. */
#ifndef SLM_H
#define SLM_H
#include "slm/status.h"
#include "slm/runtime.h"
#include "slm/file.h"
#include "slm/tokenizer.h"
#include "slm/lexicon.h"
#include "slm/template.h"
#include "slm/data.h"
#include "slm/model.h"
#include "slm/adapter.h"
#include "slm/session.h"
#include "slm/compress.h"
#include "slm/train.h"
#include "slm/prefer.h"
#include "slm/bench.h"
#include "slm/eval.h"
#include "slm/corpus.h"
#include "slm/runs.h"
#endif
