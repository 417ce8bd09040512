/* Fuzz target: a file of rows. The first byte chooses the form and how texts are parted; every
 * row that parses is read as an example, as another format, and found again by its place. */
#include "fuzz/fuzz_kit.h"

#include "data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void understand(const slm_json *row, enum slm_data_format format)
{
    struct slm_example e;
    slm_err err = {0};
    const struct slm_example_opts o = {.format = format};
    CHECK(slm_example_read(&e, rt, row, &o, &err) == 0);
    CHECK(!e.loss == !e.why[0]);
    CHECK(e.loss || e.plain[1] || slm_json_count(e.messages[0]));
    slm_example_release(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const separators[] = {NULL, "blank", "line", "--"};
    fuzz_runtime();
    if (size < 1)
        return 0;
    const char *path = fuzz_file(data + 1, size - 1);
    const struct slm_rows_opts o = {.form = (enum slm_data_form)(*data % SLM_DATA_FORM_COUNT),
                                    .separator = separators[*data / 8 % 4]};
    slm_mem_stats before, after;
    slm_runtime_memory(rt, &before);
    slm_rows *r = NULL;
    struct slm_row row = {0};
    slm_err err = {0};
    int rc = slm_rows_open(&r, rt, &path, 1, &o, &err);
    int64_t line = 1;
    while (!rc && (rc = slm_rows_read(r, &row, &err)) > 0) {
        rc = 0;
        CHECK(row.line >= line && row.at + row.n_raw <= size - 1);
        CHECK(!row.json == (row.state != SLM_ROW_OK) && !row.json == (row.why[0] != 0));
        line = row.line;
        if (!row.json)
            continue;
        struct slm_row again = row;
        CHECK(slm_rows_again(r, &again, &err) == 0 && slm_json_same(again.json, row.json));
        slm_row_release(&again);
        for (int f = 0; f < SLM_DATA_FORMAT_COUNT; f++)
            understand(row.json, (enum slm_data_format)f);
    }
    CHECK(rc >= 0 || err.msg[0]);
    slm_row_release(&row);
    slm_rows_close(&r);
    slm_runtime_memory(rt, &after);
    CHECK(after.bytes == before.bytes);
    return 0;
}
