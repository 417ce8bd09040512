/* How rows become examples: the options that all commands on training data share. */
#include "data_tools.h"

#include <stdlib.h>
#include <string.h>

#define F(field) offsetof(struct slm_cli_examples, field)
const struct slm_cli_opt slm_cli_examples_opts[] = {
    SLM_CLI_CHOICE(0, "format", F(format),
                   "auto messages sharegpt alpaca prompt preference kto text",
                   "what the fields of a row mean (default: told by their names)"),
    SLM_CLI_VALUE(OPT_LIST, 0, "map", F(map), "FIELD=NAME",
                  "the field is called NAME here, as prompt=question; may be repeated"),
    SLM_CLI_CHOICE(0, "form", F(form), "auto jsonl json csv tsv text",
                   "how rows stand in the files (default: by their names)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "separator", F(separator), "TEXT",
                  "what parts the documents of a text: blank (lines), line, or the text itself "
                  "(default: a file is a document)"),
    SLM_CLI_CHOICE(0, "train-on", F(train_on), "auto assistant last completion all",
                   "what is learnt (default: answers of chats, completions of prompts, all of "
                   "texts)"),
    SLM_CLI_CHOICE(0, "too-long", F(too_long), "auto drop truncate split error",
                   "rows longer than the window (default: texts are split, others dropped and "
                   "counted)"),
    SLM_CLI_VALUE(
        OPT_TEXT, 0, "template", F(tpl), "NAME",
        "chat template: a file, a built-in name, or none (default: the model's, if it "
        "is made for chat)"),
    SLM_CLI_FLAG(0, "no-eos", F(no_eos),
                 "no end-of-text behind texts and prompts with answers"),
    SLM_CLI_FLAG(0, "any-order", F(any_order), "roles may come in any order"),
    SLM_CLI_FLOAT(0, "max-bad", F(max_bad), "SHARE", 0, 1,
                  "stop when more of the rows than this are no good (default: 0.01)"),
    SLM_CLI_END,
};
#undef F

void slm_cli_examples_init(struct slm_cli_examples *a)
{
    *a = (struct slm_cli_examples){.max_bad = 0.01f};
}

static int own_template(struct slm_cli *c, const char *name, slm_template **own,
                        slm_text *source, slm_err *err)
{
    struct slm_cli_buf src = {0};
    int code = slm_cli_template_named(c, name, own, &src, err);
    source->data = src.s; /* plain heap: freed by the caller with free() */
    source->len = src.n;
    return code;
}

int slm_cli_examples_set(struct slm_cli *c, const struct slm_cli_examples *a,
                         const slm_model *m, slm_data_opts *o, slm_template **own,
                         slm_text *own_source, slm_err *err)
{
    const char *origin = NULL;
    slm_data_opts_init(o);
    o->form = (enum slm_data_form)(a->form ? slm_data_form_find(a->form) : 0);
    o->format = (enum slm_data_format)(a->format ? slm_data_format_find(a->format) : 0);
    o->train_on = (enum slm_train_on)(a->train_on ? slm_train_on_find(a->train_on) : 0);
    o->too_long = (enum slm_too_long)(a->too_long ? slm_too_long_find(a->too_long) : 0);
    o->separator = a->separator;
    o->map = a->map.item;
    o->n_map = a->map.n;
    o->no_eos = a->no_eos;
    o->any_order = a->any_order;
    o->max_bad = slm_cli_share(a->max_bad);
    o->paths = c->words.v;
    o->n_paths = c->words.n;
    o->tokenizer = m ? slm_model_tokenizer(m) : NULL;
    if (a->tpl && strcmp(a->tpl, "none") != 0) {
        int code = own_template(c, a->tpl, own, own_source, err);
        o->tmpl = *own;
        o->template_source = own_source->data;
        origin = a->tpl;
        if (code)
            return code;
    } else if (!a->tpl && m && slm_model_chats(m)) {
        o->tmpl = slm_model_template(m, &origin);
        o->template_source = slm_model_template_source(m);
    }
    if (m && o->tmpl)
        slm_cli_say(c, "chats are rendered by the template %s", origin);
    else if (m)
        slm_cli_say(c, "no chat template: prompts as they are, Alpaca's by its own prompt");
    return 0;
}
