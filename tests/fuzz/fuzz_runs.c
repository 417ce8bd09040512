/* Fuzz target: a record of runs as a file from anywhere. What opens is listed, and every run's
 * numbers, samples and files are read. */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "slm/runs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slm_runtime rt;

static void read_all(slm_runs *q, const char *id)
{
    slm_run_notes notes;
    slm_run_series s;
    slm_text name = {0};
    for (size_t i = 0; i < 8 && !slm_runs_metric(q, id, i, &name, NULL) && name.data; i++)
        if (!slm_runs_series(q, id, name.data, &s, NULL))
            slm_run_series_release(&s);
    slm_text_release(&name);
    if (!slm_runs_samples(q, id, &notes, NULL))
        slm_run_notes_release(&notes);
    if (!slm_runs_files(q, id, &notes, NULL))
        slm_run_notes_release(&notes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    slm_runtime_opts o = {.threads = 1};
    if (!rt.pool && slm_state_init(&rt, &o, NULL))
        return 0;
    struct slm_process me;
    slm_process_self(&me);
    snprintf(path, sizeof path, "/tmp/slm-fuzz-runs-%lld.db", (long long)me.pid);
    FILE *f = fopen(path, "wb");
    if (!f)
        return 0;
    fwrite(data, 1, size, f);
    fclose(f);
    slm_runs *q;
    slm_run_list l;
    slm_err err = {0};
    if (slm_runs_open(&q, &rt, path, 0, &err)) {
        if (!err.msg[0] || strchr(err.msg, '\n'))
            __builtin_trap();
    } else {
        if (!slm_runs_list(q, &l, NULL)) {
            for (size_t i = 0; i < l.n && i < 4; i++)
                read_all(q, l.v[i].id);
            slm_run_list_release(&l);
        }
        slm_runs_close(&q);
    }
    remove(path);
    return 0;
}
