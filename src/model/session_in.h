/* A session's inside, shared by engine.c, session.c and session_file.c. What computes is the
 * engine: the two programs of a model and their work memory, which any number of sessions may
 * have in common. A session is only a stream: tokens, cache, and which of the engine's rows of
 * logits are its own. */
#ifndef SLM_MODEL_SESSION_IN_H
#define SLM_MODEL_SESSION_IN_H

#include "model/model_room.h"

#define STEP_ROWS 64 /* most rows of a step, over all its streams */

/* An engine's programs: those of enum slm_phase, and one of prompts with many rows of logits.
 */
enum { ENGINE_SCORE = SLM_PHASE_PROMPT + 1, ENGINE_PROGS };

struct slm_engine {
    const slm_model *m;
    slm_runtime *rt;
    int users; /* sessions that compute with it; the last one frees it */
    int batch;
    bool exact;
    const struct slm_adapter *adapter; /* NULL: none */
    slm_prog *prog[ENGINE_PROGS]; /* that of ENGINE_SCORE is opened when it is wanted */
    slm_val logits[ENGINE_PROGS];
    int most_out[ENGINE_PROGS]; /* rows of logits in one run */
    int which;                  /* program whose logits stand */
    uint64_t runs;              /* so far: logits of an earlier run are gone */
    int32_t *ids, *pos;         /* (most rows of a run) */
    int32_t *stream, *out;      /* the same */
    struct slm_kv *kv[STEP_ROWS];
    uint8_t rope_set[STEP_ROWS];
    uint64_t bad; /* bit r: logits r of the last run are not finite */
    /* seconds of a decode run of one stream by its rows, smoothed; 0: not measured */
    double seconds[STEP_ROWS + 1];
};

struct slm_session {
    const slm_model *m;
    slm_runtime *rt;
    struct slm_engine *engine;
    struct slm_kv kv;
    int context;
    int n;   /* tokens held */
    int top; /* one past the last position that was ever written over what the rings hold */
    int out0, outs;   /* rows of logits in the engine's run `run`; outs 0: none */
    uint64_t run;     /* the engine's count when they were made */
    uint8_t rope_set; /* what the cache was computed with */
    int32_t *ids;     /* (context) */
};

/* Rows [from, from + rows) of a session's ids; the last `outs` of them give logits. */
struct slm_work {
    slm_session *s;
    int from, rows, outs;
};

/* Of o: exact and adapter. */
int slm_engine_open(struct slm_engine **out, const slm_model *m, int batch,
                    const slm_session_opts *o, slm_err *err);
/* Room for `outs` rows of logits in a run of that program, where a run can have so many; takes
 * memory only when there was less before. After a failure all is as it was. */
int slm_engine_widen(struct slm_engine *e, int which, int outs, slm_err *err);
/* Bytes of work memory as opened, for streams that want few rows of logits at a time. */
int64_t slm_engine_bytes(const struct slm_engine *e);
/* One user less. */
void slm_engine_release(struct slm_engine *e);
/* Computes n pieces, each of another session of this engine, together, by the program `which`.
 * At most `batch` rows (prompt) or STEP_ROWS (decode) in all. */
void slm_engine_run(struct slm_engine *e, int which, const struct slm_work *w, int n);
/* Row r of the last run's logits. */
const float *slm_engine_logits(const struct slm_engine *e, int r);
bool slm_engine_finite(const struct slm_engine *e, int r);

#endif
