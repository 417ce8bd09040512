/* The one place that knows PCRE2. Patterns come from files and texts from anyone, so nothing
 * may hang: a match has a step limit, and a call has a time limit that grows with its text,
 * which catches the patterns whose every match is cheap but looks ahead to the end each time.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/tok.h"

#include <string.h>

#define MATCH_STEPS 20000000u
#define LOOK_EVERY 64 /* matches between two looks at the clock */
#define SECONDS 4.0   /* for any text, and per 2 MB more */

struct slm_regex {
    slm_runtime *rt;
    pcre2_general_context *heap;
    pcre2_code *code;
    bool jit;
};

struct slm_regex_run {
    slm_runtime *rt;
    pcre2_general_context *heap;
    pcre2_match_data *data;
    pcre2_match_context *match;
    pcre2_jit_stack *stack;
    double until;
    unsigned count;
};

static void *heap_alloc(size_t n, void *rt) { return slm_alloc(rt, SLM_MEM_TEXT, n); }
static void heap_free(void *p, void *rt)
{
    if (p)
        slm_free(rt, p);
}

static int compile(struct slm_regex *re, const char *p, size_t n, const char *name,
                   slm_err *err)
{
    pcre2_compile_context *how = pcre2_compile_context_create(re->heap);
    if (!how)
        return slm_fail_mem(err, "a pattern", 0);
    pcre2_set_newline(how, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(how, 120);
    int code;
    PCRE2_SIZE at;
    re->code = pcre2_compile((PCRE2_SPTR)p, n,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                             &code, &at, how);
    pcre2_compile_context_free(how);
    if (!re->code && code == PCRE2_ERROR_HEAP_FAILED)
        return slm_fail_mem(err, "a pattern", n);
    if (!re->code) {
        char msg[120] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)msg, sizeof msg);
        return slm_fail(err, SLM_E_FORMAT, "%s: pattern does not compile: %s", name, msg);
    }
    /* whatever the reason (a system may forbid code in data): without it, PCRE2 interprets */
    re->jit = pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE) == 0;
    return 0;
}

int slm_regex_new(struct slm_regex **out, slm_runtime *rt, const char *pattern, size_t n,
                  const char *name, slm_err *err)
{
    if (n > 65536)
        return slm_fail(err, SLM_E_LIMIT, "%s: a pattern of %zu bytes", name, n);
    if (!slm_utf8_valid(pattern, n))
        return slm_fail(err, SLM_E_FORMAT, "%s: a pattern that is no UTF-8", name);
    struct slm_regex *re = slm_zalloc(rt, SLM_MEM_TEXT, sizeof *re);
    if (!re)
        return slm_fail_mem(err, "a pattern", sizeof *re);
    re->rt = rt;
    re->heap = pcre2_general_context_create(heap_alloc, heap_free, rt);
    struct slm_buf words;
    slm_buf_init(&words, rt, SLM_MEM_TEXT, 1 << 20);
    int rc = re->heap ? slm_regex_words(&words, pattern, n, name, err)
                      : slm_fail_mem(err, "a pattern", 0);
    if (!rc)
        rc = compile(re, words.s, words.n, name, err);
    slm_buf_release(&words);
    if (rc) {
        slm_regex_free(re);
        return rc;
    }
    *out = re;
    return 0;
}

void slm_regex_free(struct slm_regex *re)
{
    if (!re)
        return;
    pcre2_code_free(re->code);
    pcre2_general_context_free(re->heap);
    slm_free(re->rt, re);
}

int slm_regex_run_new(struct slm_regex_run **out, slm_runtime *rt, size_t text, slm_err *err)
{
    struct slm_regex_run *run = slm_zalloc(rt, SLM_MEM_TEXT, sizeof *run);
    if (!run)
        return slm_fail_mem(err, "matching a pattern", sizeof *run);
    run->rt = rt;
    run->heap = pcre2_general_context_create(heap_alloc, heap_free, rt);
    if (run->heap) {
        run->data = pcre2_match_data_create(1, run->heap);
        run->match = pcre2_match_context_create(run->heap);
        run->stack = pcre2_jit_stack_create(32 * 1024, 4 * 1024 * 1024, run->heap);
    }
    if (!run->data || !run->match || !run->stack) {
        slm_regex_run_free(run);
        return slm_fail_mem(err, "matching a pattern", 0);
    }
    pcre2_set_match_limit(run->match, MATCH_STEPS);
    pcre2_set_heap_limit(run->match, 64 * 1024);
    pcre2_jit_stack_assign(run->match, NULL, run->stack);
    run->until = slm_clock_seconds() + SECONDS * (1 + (double)text / 2e6);
    *out = run;
    return 0;
}

void slm_regex_run_free(struct slm_regex_run *run)
{
    if (!run)
        return;
    pcre2_match_data_free(run->data);
    pcre2_match_context_free(run->match);
    pcre2_jit_stack_free(run->stack);
    pcre2_general_context_free(run->heap);
    slm_free(run->rt, run);
}

int slm_regex_find(const struct slm_regex *re, struct slm_regex_run *run, const char *s,
                   size_t n, size_t from, size_t *span, slm_err *err)
{
    if (run->count++ % LOOK_EVERY == LOOK_EVERY - 1 && slm_clock_seconds() > run->until)
        return slm_fail(err, SLM_E_LIMIT, "tokenizer pattern takes too long on this text");
    int rc = pcre2_match(re->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, run->data,
                         run->match);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return slm_fail_mem(err, "matching a pattern", n);
    if (rc < 0)
        return slm_fail(err, SLM_E_LIMIT,
                        "tokenizer pattern goes over its limits on this text (%d)", rc);
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(run->data);
    if (v[0] > v[1] || v[1] > n) /* \K in a lookaround */
        return slm_fail(err, SLM_E_FORMAT, "tokenizer pattern matches backwards");
    span[0] = v[0];
    span[1] = v[1];
    return 1;
}
