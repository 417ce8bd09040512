/* What the tools of `slm data` share: the options of what is read, and how it is told. */
#ifndef SLM_CLI_DATA_TOOLS_H
#define SLM_CLI_DATA_TOOLS_H

#include "cli.h"

struct slm_cli_data_in {
    const char *form, *separator, *delimiter;
    struct slm_cli_list by;
};
extern const struct slm_cli_opt slm_cli_data_in_opts[];

/* The options and the words of the command line as the library wants them, with the bar. */
int slm_cli_data_in(struct slm_cli *c, const struct slm_cli_data_in *a,
                    struct slm_cli_progress *bar, slm_corpus_in *in, slm_err *err);

/* What was meant by a number given as text and read as a float: 0.72, not 0.72000002. */
double slm_cli_share(float x);
/* "1,234,567" into buf */
const char *slm_cli_count(char buf[32], int64_t n);
/* Rows and files read, and the unreadable ones by their place. what: "rows" or so. */
void slm_cli_data_say_seen(const struct slm_cli *c, const slm_corpus_seen *s);
/* The members "rows", "bad", "bytes", "files", "unreadable" of the object that is open. */
void slm_cli_data_json_seen(struct slm_cli_json *j, const slm_corpus_seen *s);
/* "key": {"file": .., "line": .., "text": ..} */
void slm_cli_data_json_note(struct slm_cli_json *j, const char *key, const slm_corpus_note *n);
void slm_cli_data_json_notes(struct slm_cli_json *j, const char *key, const slm_corpus_note *n,
                             int count);
/* "key": {"name": rows, ..} */
void slm_cli_data_json_counts(struct slm_cli_json *j, const char *key,
                              const slm_corpus_count *v, int n);

extern const struct slm_cli_command slm_data_dedup, slm_data_split, slm_data_decon,
    slm_data_mix, slm_data_negatives;
extern const struct slm_cli_command slm_data_check, slm_data_stats, slm_data_convert_cmd;

/* How rows become examples, for every command that trains on them or looks at them. */
struct slm_cli_examples {
    const char *form, *separator, *format, *train_on, *too_long, *tpl;
    struct slm_cli_list map;
    int no_eos, any_order;
    float max_bad;
};
extern const struct slm_cli_opt slm_cli_examples_opts[];
void slm_cli_examples_init(struct slm_cli_examples *a);
/* The options for the library. m: the model whose tokenizer and template count; NULL: none.
 * *own (may be NULL) gets a template that --template names, to be freed after use. Says on
 * stderr which template renders. The strings are borrowed from a and m. */
int slm_cli_examples_set(struct slm_cli *c, const struct slm_cli_examples *a,
                         const slm_model *m, slm_data_opts *o, slm_template **own,
                         slm_text *own_source, slm_err *err);
/* The report for people, on stdout; where: what the data is called. And what was lost in one
 * number. */
void slm_cli_data_report(const slm_data_report *r, int seq);
int64_t slm_cli_data_lost(const slm_data_report *r);

#endif
