/* Option tables: the one source of parsing, help, "did you mean", shell completion and man
 * pages. A table is a list of rows that say where in the command's struct a value goes; shared
 * groups are tables placed inside tables. */
#ifndef SLM_CLI_OPT_H
#define SLM_CLI_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slm/slm.h"

enum slm_cli_kind {
    OPT_END,
    OPT_GROUP,   /* another table, under a heading */
    OPT_FLAG,    /* int: 1 */
    OPT_INT,     /* int */
    OPT_U64,     /* uint64_t; text "-1" is UINT64_MAX */
    OPT_FLOAT,   /* float */
    OPT_TEXT,    /* const char * */
    OPT_FILE,    /* const char *, completed as a file */
    OPT_CHOICE,  /* const char *, one of the words in choices */
    OPT_LIST     /* struct slm_cli_list: may be given several times */
};

enum { SLM_CLI_LIST_MAX = 64 };
struct slm_cli_list {
    const char *item[SLM_CLI_LIST_MAX];
    int n;
};

struct slm_cli_opt {
    enum slm_cli_kind kind;
    char letter;                     /* 't' for -t, 0: none */
    const char *name; /* "threads"; further names behind it: "predict|n-predict" */
    size_t off;
    const char *arg;                 /* what the value is called in help */
    double lo, hi;
    const char *choices;             /* "f32 f16", separated by one blank */
    const struct slm_cli_opt *group;
    const char *help;
};

#define SLM_CLI_FLAG(l, n, o, h)                                                               \
    {                                                                                          \
        .kind = OPT_FLAG, .letter = (l), .name = (n), .off = (o), .help = (h)                  \
    }
#define SLM_CLI_INT(l, n, o, a, x, y, h)                                                       \
    {                                                                                          \
        .kind = OPT_INT, .letter = (l), .name = (n), .off = (o), .arg = (a), .lo = (x),        \
        .hi = (y), .help = (h)                                                                 \
    }
#define SLM_CLI_FLOAT(l, n, o, a, x, y, h)                                                     \
    {                                                                                          \
        .kind = OPT_FLOAT, .letter = (l), .name = (n), .off = (o), .arg = (a), .lo = (x),      \
        .hi = (y), .help = (h)                                                                 \
    }
#define SLM_CLI_VALUE(k, l, n, o, a, h) \
    {.kind = (k), .letter = (l), .name = (n), .off = (o), .arg = (a), .help = (h)}
#define SLM_CLI_CHOICE(l, n, o, c, h)                                                          \
    {                                                                                          \
        .kind = OPT_CHOICE, .letter = (l), .name = (n), .off = (o), .arg = "WORD",             \
        .choices = (c), .help = (h)                                                            \
    }
#define SLM_CLI_GROUP(t, o, h) {.kind = OPT_GROUP, .group = (t), .off = (o), .help = (h)}
#define SLM_CLI_END {.kind = OPT_END}

/* The words of a command line that are no options. */
struct slm_cli_words {
    const char **v; /* n of them, in order; borrowed from argv */
    int n;
};

/* Reads argv[0..argc) by the table into the struct at opts. words->v must have room for argc.
 * Stops early, with success, behind --help. Errors: SLM_E_ARG. */
int slm_cli_parse(const struct slm_cli_opt *table, void *opts, int argc, char **argv,
                  struct slm_cli_words *words, slm_err *err);

/* Sets one option by its long name ('_' may stand for '-'), as --name=value does. */
int slm_cli_set(const struct slm_cli_opt *table, void *opts, const char *name,
                const char *value, slm_err *err);

/* Calls fn for every row of the table, groups opened; heading is the group's or NULL. */
typedef void slm_cli_row_fn(void *arg, const struct slm_cli_opt *row, const char *heading);
void slm_cli_rows(const struct slm_cli_opt *table, const char *heading, slm_cli_row_fn *fn,
                  void *arg);

/* Length of the first of the names in "predict|n-predict". */
int slm_cli_name_len(const char *names);

/* Edits (insert, delete, change, swap) from a to b, capped at 99. */
int slm_cli_distance(const char *a, const char *b);

/* Text as a number in lo..hi; what names it in messages. */
int slm_cli_int(const char *text, const char *what, double lo, double hi, int64_t *out,
                slm_err *err);

#endif
