/* Fuzz target: a session file. Its first byte says how it is fed: as it is, or with the header
 * and the checksum of a good file around it, so that what lies behind them is reached too. */
#include "fuzz/fuzz_kit.h"

#define HEADER 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slm_model *m;
static slm_session *s;
static uint8_t good[HEADER];

static void open_once(void)
{
    static const int32_t ids[] = {9, 4, 60};
    slm_model_opts mo = {.no_tokenizer = 1};
    slm_session_opts so = {.context = 32, .batch = 4, .exact = 1, .kv_type = "f16"};
    fuzz_runtime();
    CHECK(slm_model_open(&m, rt, "tests/golden/phi3-partial", &mo, NULL) == 0);
    CHECK(slm_session_open(&s, m, &so, NULL) == 0);
    CHECK(slm_session_append(s, ids, 3, NULL) == 0);
    char path[64];
    snprintf(path, sizeof path, "/tmp/slm-fuzz-session-%ld", (long)getpid());
    CHECK(slm_session_save(s, path, NULL) == 0);
    FILE *f = fopen(path, "rb");
    CHECK(f && fread(good, 1, HEADER, f) == HEADER);
    fclose(f);
    unlink(path);
}

/* The checksum of session_file.c, taken anew over all but the last eight bytes. */
static void seal(uint8_t *p, size_t n)
{
    uint64_t a = 0, b = 0;
    uint32_t tokens, w;
    memcpy(&tokens, p + 28, 4);
    for (size_t i = 0; i + 8 < n; i += 4) {
        memcpy(&w, p + i, 4);
        a = (a + w) % 0xffffffffu;
        b = (b + a) % 0xffffffffu;
    }
    a |= b << 32;
    memcpy(p + n - 8, &a, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t next = 7;
    static uint8_t file[1 << 16];
    if (!m)
        open_once();
    if (size < 1 || size > sizeof file)
        return 0;
    size_t n = size - 1;
    memcpy(file, data + 1, n);
    if (*data & 1 && n >= HEADER + 8 && n % 4 == 0) {
        memcpy(file, good,
               28); /* magic, version, type, model, layers; not tokens and rope set */
        memcpy(file + 36, good + 36, 4);
        seal(file, n);
    }
    slm_err err = {0};
    int before = slm_session_length(s);
    int rc = slm_session_restore(s, fuzz_file(file, n), &err);
    CHECK(rc ? err.code == rc && err.msg[0] && slm_session_length(s) == before : 1);
    if (slm_session_length(s) < slm_session_context(s))
        (void)slm_session_append(s, &next, 1, &err);
    slm_session_truncate(s, 20);
    return 0;
}
