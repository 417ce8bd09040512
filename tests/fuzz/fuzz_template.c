/* Fuzz target: a template and, behind the first NUL, the JSON of its variables. What parses is
 * rendered raw and as a chat, within small limits, and then again: the same input must give the
 * same outcome. */
#include <string.h>

#include "slm/template.h"
#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slm_runtime rt;

static int render(const slm_template *t, const char *json, size_t n, int chat, slm_text *out)
{
    slm_template_opts o;
    slm_err err = {0};
    slm_template_opts_init(&o);
    o.now = 1722006245;
    o.max_output = 1 << 16;
    o.max_steps = 200000;
    int code = chat ? slm_template_chat(t, json, n, &o, out, &err)
                    : slm_template_render(t, json, n, &o, out, &err);
    if (code && !err.msg[0])
        __builtin_trap();
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char chat[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, "
        "{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"U\"}]}, "
        "{\"role\": \"assistant\", \"content\": \"A \", \"reasoning\": \"R\"}], "
        "\"tools\": [{\"function\": {\"name\": \"f\"}}], "
        "\"continue_final_message\": true, \"vars\": {\"bos_token\": \"<s>\"}}";
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    slm_template *t = NULL;
    slm_err err = {0};
    if (!rt.pool) {
        slm_runtime_opts o = {.threads = 1};
        if (slm_state_init(&rt, &o, &err))
            __builtin_trap();
    }
    if (slm_template_new(&t, &rt, (const char *)data, n, "fuzz", &err))
        return 0;
    slm_text a = {0}, b = {0}, c = {0};
    const char *json = nul ? (const char *)nul + 1 : "{}";
    size_t n_json = nul ? size - n - 1 : 2;
    int first = render(t, json, n_json, 0, &a), second = render(t, json, n_json, 0, &b);
    if (first != second || a.len != b.len || (a.len && memcmp(a.data, b.data, a.len)))
        __builtin_trap();
    render(t, chat, sizeof chat - 1, 1, &c);
    slm_text_release(&a);
    slm_text_release(&b);
    slm_text_release(&c);
    slm_template_free(t);
    return 0;
}
