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

#endif
