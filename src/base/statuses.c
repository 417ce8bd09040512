/* Status codes: words, HTTP and exit codes out of the one list. */
#include "base/err.h"

#include "slm/status.h"

static const struct {
    const char *words;
    int http, exit;
} table[] = {
#define ROW(name, http, code, words) {words, http, code},
    SLM_STATUS_LIST(ROW)
#undef ROW
};

static int slot(int status)
{
    return status <= 0 && -status < SLM_STATUS_COUNT ? -status : -SLM_E_INTERNAL;
}

const char *slm_status_words(int status) { return table[slot(status)].words; }
int slm_status_http(int status) { return table[slot(status)].http; }
int slm_status_exit(int status) { return table[slot(status)].exit; }
