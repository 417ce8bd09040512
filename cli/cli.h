/* What the commands share. The command line sees the public headers of slm and nothing else;
 * what it needs beyond them stands here: the state of one invocation, files, JSON text,
 * progress, terminals. */
#ifndef SLM_CLI_H
#define SLM_CLI_H

#include <stdio.h>

#include "opt.h"

/* Options of every command; each command's struct begins with it. */
struct slm_cli_common {
    int help, json, verbose, quiet, threads;
    const char *cpu;
};
extern const struct slm_cli_opt slm_cli_common_opts[];

struct slm_cli {
    slm_runtime *rt;                    /* opened by slm_cli_runtime */
    const struct slm_cli_common *common;
    struct slm_cli_words words;
    const struct slm_cli_command *cmd;
    bool mute; /* another process tells of this one's errors */
    int argc;  /* the command line behind the command, as given */
    char **argv;
};

struct slm_cli_command {
    const char *name;
    int (*run)(struct slm_cli *c, void *opts, slm_err *err); /* 0 or SLM_E_* with err filled */
    const char *args;       /* "MODEL [PROMPT]"; "..." at the end: any number more */
    const char *summary;    /* a line */
    const char *about;      /* a paragraph or more; blank line between */
    const char *examples;   /* lines, each a command */
    const struct slm_cli_opt *opts;
    size_t size;            /* of the struct that opts fills */
    void (*defaults)(void *opts); /* NULL: zeros */
    int model;              /* first word is MODEL, which -m may give instead */
    /* A family of commands: its members, ended by NULL, each with its whole name ("data
     * check"); such a row has no run, args, opts and size of its own. */
    const struct slm_cli_command *const *sub;
};

/* The table, ended by NULL; and a command by name, or NULL. */
extern const struct slm_cli_command *const slm_cli_commands[];
const struct slm_cli_command *slm_cli_command_find(const char *name);
/* The nearest command's name, NULL when none is near. */
const char *slm_cli_command_near(const char *name);
/* The same among a family's members, by the word behind the family's ("check"). */
const struct slm_cli_command *slm_cli_member_find(const struct slm_cli_command *family,
                                                  const char *word);
const char *slm_cli_member_near(const struct slm_cli_command *family, const char *word);
/* Calls fn for every command in the table's order, a family before its members. */
typedef void slm_cli_command_fn(void *arg, const struct slm_cli_command *cmd);
void slm_cli_commands_each(slm_cli_command_fn *fn, void *arg);

/* Fills err; what comes from outside is shown with '?' for control characters. Returns code. */
int slm_cli_fail(slm_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A line of talk on stderr, "slm: ..."; nothing when --quiet. */
void slm_cli_say(const struct slm_cli *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same only with --verbose. */
void slm_cli_tell(const struct slm_cli *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Opens the runtime with the common options; later calls do nothing. */
int slm_cli_runtime(struct slm_cli *c, slm_err *err);

/* Where mpirun started this program as one of several: joins the others. All but the first say
 * nothing from then on. */
int slm_cli_ranks_open(struct slm_cli *c, struct slm_cli_common *common, slm_train_ranks *r,
                       slm_err *err);

/* help.c */
void slm_cli_help_all(FILE *f);
void slm_cli_help(FILE *f, const struct slm_cli_command *cmd);

struct slm_cli_buf;

/* ---- sys.c: the terminal, the clock and signals ---- */
bool slm_cli_tty(FILE *f);
int slm_cli_columns(void);
double slm_cli_seconds(void);
uint64_t slm_cli_entropy(void);
/* Is there something to be read on stdin: it is a file, a pipe or a socket. */
bool slm_cli_stdin_piped(void);
/* Folder of the running program, "" when unknown. */
const char *slm_cli_exe_dir(char *buf, size_t n);
bool slm_cli_exists(const char *path);
bool slm_cli_is_dir(const char *path);
int slm_cli_make_dir(const char *path, slm_err *err);
/* The path from the root on, links resolved where it is there, appended to b. */
void slm_cli_full_path(struct slm_cli_buf *b, const char *path);
/* From now on Ctrl-C sets a flag; a second one while it is set ends the program. */
void slm_cli_catch_interrupt(void);
bool slm_cli_interrupted(void);
void slm_cli_interrupt_clear(void);
/* Resident memory of this process in MiB now, -1 when unknown. */
double slm_cli_rss_mib(void);

/* ---- cli_buf.c: bytes and files. Running out of memory here ends the program with exit
 * code 7. ---- */
struct slm_cli_buf {
    char *s; /* NUL behind n bytes once something was put; "" is not guaranteed before */
    size_t n, cap;
};
void slm_cli_put(struct slm_cli_buf *b, const void *p, size_t n);
void slm_cli_puts(struct slm_cli_buf *b, const char *s);
void slm_cli_putf(struct slm_cli_buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void slm_cli_buf_free(struct slm_cli_buf *b);
void *slm_cli_realloc(void *p, size_t n);
/* Appends a whole file, "-" is stdin. Errors: SLM_E_NOTFOUND, SLM_E_IO, SLM_E_LIMIT (over 1
 * GiB). */
int slm_cli_read(struct slm_cli_buf *b, const char *path, slm_err *err);
/* Next line of f without its end; false at the end of the file. */
bool slm_cli_line(FILE *f, struct slm_cli_buf *b);
/* Numbers in text, separated by white space, commas or brackets. name is for messages. */
int slm_cli_parse_ids(slm_ids *ids, slm_runtime *rt, const struct slm_cli_buf *text,
                      const char *name, slm_err *err);
int slm_cli_read_ids(slm_ids *ids, slm_runtime *rt, const char *path, slm_err *err);

/* A file that appears whole or not at all: written beside its place, renamed by commit. Path
 * "-" is stdout. */
struct slm_cli_out {
    FILE *f;
    char *tmp;
    const char *path;
};
int slm_cli_out_open(struct slm_cli_out *o, const char *path, slm_err *err);
int slm_cli_out_write(struct slm_cli_out *o, const void *p, size_t n, slm_err *err);
int slm_cli_out_commit(struct slm_cli_out *o, slm_err *err);
void slm_cli_out_close(struct slm_cli_out *o);
/* float32 values in little-endian order whatever the machine's. */
int slm_cli_out_floats(struct slm_cli_out *o, const float *v, size_t n, slm_err *err);

/* ---- cli_json.c: JSON text, written and read ---- */
enum { SLM_CLI_JSON_DEPTH = 16 };
struct slm_cli_json {
    FILE *f;
    int depth;
    bool some[SLM_CLI_JSON_DEPTH]; /* this level has a value already */
    bool keyed;                    /* a key was written, its value follows */
};
void slm_js_open(struct slm_cli_json *j, char bracket);  /* '{' or '[' */
void slm_js_close(struct slm_cli_json *j,
                  char bracket); /* '}' or ']'; the last one ends the line */
void slm_js_key(struct slm_cli_json *j, const char *key);
void slm_js_str(struct slm_cli_json *j, const char *s, size_t n); /* bad UTF-8 becomes U+FFFD */
void slm_js_int(struct slm_cli_json *j, int64_t v);
void slm_js_uint(struct slm_cli_json *j, uint64_t v);
void slm_js_real(struct slm_cli_json *j, double v); /* shortest that reads back; NaN: null */
void slm_js_bool(struct slm_cli_json *j, bool v);
void slm_js_raw(struct slm_cli_json *j, const char *text); /* JSON already; NULL: null */
/* "key": value, in one call; key NULL: the value alone, in an array */
void slm_js_kstr(struct slm_cli_json *j, const char *key, const char *s); /* NULL: null */
void slm_js_kint(struct slm_cli_json *j, const char *key, int64_t v);
void slm_js_kreal(struct slm_cli_json *j, const char *key, double v);
/* s as a JSON string with its quotes. */
void slm_js_quote(struct slm_cli_buf *b, const char *s, size_t n);

/* A place in JSON text that is being read. */
struct slm_cli_reader {
    const char *p, *end;
};
struct slm_cli_reader slm_jr_of(const struct slm_cli_buf *b); /* from its beginning */
void slm_jr_space(struct slm_cli_reader *r);
bool slm_jr_char(struct slm_cli_reader *r, char c); /* white space, then c */
/* A string, decoded and appended to b. Strict: no control characters, no bad escapes; half a
 * surrogate pair becomes U+FFFD. false: no string here. */
bool slm_jr_string(struct slm_cli_reader *r, struct slm_cli_buf *b);
/* Any value, skipped. */
bool slm_jr_value(struct slm_cli_reader *r);

/* ---- progress.c: a bar on stderr, on a terminal, for what takes over two seconds ---- */
struct slm_cli_progress {
    const char *label, *unit; /* "B" counts bytes, else "tok" ... */
    bool on, drawn;
    double start, last;
};
void slm_cli_progress_start(struct slm_cli_progress *p, const struct slm_cli *c,
                            const char *label, const char *unit);
/* A slm_progress_fn with the struct as arg: non-zero after Ctrl-C. */
int slm_cli_progress_step(void *arg, uint64_t done, uint64_t total);
void slm_cli_progress_end(struct slm_cli_progress *p);

/* ---- cli_model.c: MODEL and sessions ---- */
struct slm_cli_model_args {
    const char *model;
};
extern const struct slm_cli_opt slm_cli_model_opts[];
/* Adapters, adapters.c. */
struct slm_cli_lora_args {
    struct slm_cli_list files, scaled;
    const char *scale;
};
extern const struct slm_cli_opt slm_cli_lora_opts[];
struct slm_cli_adapters {
    slm_adapter *one[2 * SLM_CLI_LIST_MAX], *joined;
    int n;
    slm_adapter *all; /* NULL: none was asked for */
};
/* Opens what was asked for; call close whatever comes back, after what uses it. */
int slm_cli_adapters_open(struct slm_cli *c, struct slm_cli_adapters *h, const slm_model *m,
                          const struct slm_cli_lora_args *a, slm_err *err);
void slm_cli_adapters_close(struct slm_cli_adapters *h);
struct slm_cli_session_args {
    slm_session_opts o;
    struct slm_cli_lora_args lora;
    struct slm_cli_adapters adapters; /* opened with the session; the command closes them */
};
extern const struct slm_cli_opt slm_cli_session_opts[];
/* Opens the model that -m or the first word names (then taken off the words). bundled: without
 * either the model that comes with slm. path_out (may be NULL) gets its path; it lives as long
 * as c. */
int slm_cli_model_open(struct slm_cli *c, slm_model **m, const struct slm_cli_model_args *a,
                       const slm_model_opts *o, bool bundled, slm_err *err);
/* The word or -m alone, for what is no model. */
int slm_cli_model_path(struct slm_cli *c, const struct slm_cli_model_args *a, const char **path,
                       slm_err *err);
/* Opens the adapters, says context and memory, then takes it. need: positions wanted when -c
 * was not given, 0: any. */
int slm_cli_session_open(struct slm_cli *c, slm_session **s, const slm_model *m,
                         struct slm_cli_session_args *a, int need, slm_err *err);
/* Speculation: on, off, or with a smaller model beside. */
struct slm_cli_speculation {
    const char *how, *draft;
    int off, most, least;
};
extern const struct slm_cli_opt slm_cli_speculation_opts[];
struct slm_cli_draft {
    slm_model *model;
    slm_session *session;
};
/* Opens the draft model, if one is named, for as long a context as s has. */
int slm_cli_draft_open(struct slm_cli *c, struct slm_cli_draft *d,
                       const struct slm_cli_speculation *a, const slm_session *s,
                       slm_err *err);
void slm_cli_draft_close(struct slm_cli_draft *d);
void slm_cli_speculate(slm_generate_opts *o, const struct slm_cli_speculation *a,
                       const struct slm_cli_draft *d);
/* ", 40 of 52 guesses right" with --verbose talk; "" where there were none. */
const char *slm_cli_guesses(char buf[64], const slm_generate_stats *st);
/* 1.5 GiB, 12.3 MiB ... into buf */
const char *slm_cli_size(char buf[32], double bytes);
/* Ids of a text by the model's tokenizer; SLM_E_ARG when it has none. */
int slm_cli_encode(const slm_model *m, const char *text, size_t n, unsigned flags, slm_ids *out,
                   slm_err *err);

/* ---- against.c: the other side of a divergence ---- */
struct slm_cli_against {
    const char *path, *save; /* of the base (file or model), of the file to write; NULL: none */
    int save_llama;          /* write llama.cpp's form */
    bool windows;            /* lm-eval's definition */
    int context, vocab;      /* context 0: what the base file was made with */
    const char *text;        /* the text, for the base model's own tokenizer */
    size_t text_len;
    slm_base *file;
    slm_base_out *out;
    slm_model *model;
    slm_session *session;
    slm_divergence *sum;
    enum slm_base_rows kind;
    float *rows;   /* (room or 1, vocab) of the base */
    int room;      /* rows of ids that may be run at once; 0: any */
    uint64_t next; /* row of the file */
};
/* Opens path, whichever it is; sets context. Call close whatever comes back. */
int slm_cli_against_open(struct slm_cli *c, struct slm_cli_against *g, slm_err *err);
/* Holds it against the ids, of which the first `need` will be scored; makes room. */
int slm_cli_against_text(struct slm_cli *c, struct slm_cli_against *g, const slm_ids *ids,
                         uint64_t need, slm_err *err);
/* A new piece; n <= room ids of it through the base; one scored row (of those n). */
void slm_cli_against_reset(struct slm_cli_against *g);
int slm_cli_against_run(struct slm_cli_against *g, const int32_t *ids, int n, slm_err *err);
int slm_cli_against_row(struct slm_cli_against *g, int row, const float *logits, int32_t target,
                        slm_err *err);
int slm_cli_against_end(struct slm_cli_against *g, slm_err *err); /* commits the file */
void slm_cli_against_close(struct slm_cli_against *g);

/* ---- sampling.c ---- */
struct slm_cli_sampling {
    slm_sampler_opts o;          /* NAN, or -1 for top_k, where not given */
    struct slm_cli_list bias, breakers;
};
extern const struct slm_cli_opt slm_cli_sampling_opts[];
void slm_cli_sampling_init(struct slm_cli_sampling *s);
/* What was given, then the model author's wishes, then slm's defaults. With temperature 0 the
 * author's wishes are left out: greedy is plain argmax. */
int slm_cli_sampler_open(struct slm_cli *c, slm_sampler **out, const slm_model *m,
                         const struct slm_cli_sampling *s, int context, slm_err *err);

/* The template that --template names: built in, or a file. source gets its text, the caller's
 * to free, also when this fails. */
int slm_cli_template_named(struct slm_cli *c, const char *name, slm_template **out,
                           struct slm_cli_buf *source, slm_err *err);

/* ---- chat.c: a conversation and how it becomes tokens ---- */
struct slm_cli_message {
    char *role, *content;
};
struct slm_cli_chat {
    const slm_model *model;
    const slm_template *tpl;  /* NULL: plain completion of all texts one after the other */
    slm_template *own;        /* given by --template */
    const char *origin;
    char *system;
    struct slm_cli_message *msg;
    int n, cap;
};
/* template: NULL the model's, "none", a builtin's name or a file. */
int slm_cli_chat_open(struct slm_cli_chat *h, struct slm_cli *c, const slm_model *m,
                      const char *tpl, slm_err *err);
void slm_cli_chat_close(struct slm_cli_chat *h);
void slm_cli_chat_system(struct slm_cli_chat *h, const char *text); /* NULL or "": none */
void slm_cli_chat_add(struct slm_cli_chat *h, const char *role, const char *content, size_t n);
void slm_cli_chat_pop(struct slm_cli_chat *h);          /* the last message */
void slm_cli_chat_drop_oldest(struct slm_cli_chat *h);  /* the first question and its answer */
void slm_cli_chat_clear(struct slm_cli_chat *h);
/* The whole conversation as ids for the model to continue. */
int slm_cli_chat_ids(struct slm_cli_chat *h, struct slm_cli *c, slm_ids *out, slm_err *err);
int slm_cli_chat_save(const struct slm_cli_chat *h, const char *path, slm_err *err);
int slm_cli_chat_load(struct slm_cli_chat *h, const char *path, slm_err *err);
/* {"bos_token": ..., "eos_token": ...} as far as the tokenizer has them. */
void slm_cli_special_vars(struct slm_cli_buf *b, const slm_tokenizer *t);

/* ---- line.c: a line from the user, with editing and history ---- */
struct slm_cli_lines;
struct slm_cli_lines *slm_cli_lines_open(void);
void slm_cli_lines_close(struct slm_cli_lines *l);
/* The line without its end into b; 1 a line, 0 the end of input, -1 Ctrl-C. */
int slm_cli_lines_get(struct slm_cli_lines *l, const char *prompt, struct slm_cli_buf *b);

/* ---- the interactive chat, repl.c ---- */
struct slm_cli_run_args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    struct slm_cli_session_args session;
    struct slm_cli_sampling sampling;
    struct slm_cli_speculation speculation;
    const char *prompt, *file, *system, *tpl;
    int n;
    struct slm_cli_list stop;
};
struct slm_cli_talk {
    struct slm_cli *c;
    struct slm_cli_run_args *a;
    slm_model *model;
    slm_session *session;
    struct slm_cli_draft draft;
    slm_sampler *sampler;
    struct slm_cli_chat chat;
};
/* One answer, streamed to stdout and added to the conversation. */
int slm_cli_answer(struct slm_cli_talk *t, slm_generate_stats *st, slm_err *err);
int slm_cli_repl(struct slm_cli_talk *t, slm_err *err);

#endif
