/* A line from the user: libedit's editing and history. Nothing typed is written to disk unless
 * $SLM_HISTORY names a file for it. */
#include "cli.h"

#include <errno.h>
#include <histedit.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_LINES = 1000 };

struct slm_cli_lines {
    EditLine *el;
    History *history;
    const char *prompt, *file;
};

static char *give_prompt(EditLine *el)
{
    struct slm_cli_lines *l;
    static char empty[] = "";
    if (el_get(el, EL_CLIENTDATA, &l) || !l)
        return empty;
    return (char *)(uintptr_t)l->prompt;
}

struct slm_cli_lines *slm_cli_lines_open(void)
{
    HistEvent ev;
    struct slm_cli_lines *l = slm_cli_realloc(NULL, sizeof *l);
    *l = (struct slm_cli_lines){.prompt = "", .file = getenv("SLM_HISTORY")};
    l->el = el_init("slm", stdin, stdout, stderr);
    l->history = history_init();
    if (!l->el || !l->history) {
        slm_cli_lines_close(l);
        return NULL;
    }
    history(l->history, &ev, H_SETSIZE, KEPT_LINES);
    history(l->history, &ev, H_SETUNIQUE, 1);
    if (l->file && *l->file)
        history(l->history, &ev, H_LOAD, l->file);
    el_set(l->el, EL_CLIENTDATA, l);
    el_set(l->el, EL_PROMPT, give_prompt);
    el_set(l->el, EL_EDITOR, "emacs");
    el_set(l->el, EL_HIST, history, l->history);
    el_set(l->el, EL_SIGNAL, 0);
    el_source(l->el, NULL);
    return l;
}

void slm_cli_lines_close(struct slm_cli_lines *l)
{
    HistEvent ev;
    if (!l)
        return;
    if (l->history && l->file && *l->file)
        history(l->history, &ev, H_SAVE, l->file);
    if (l->history)
        history_end(l->history);
    if (l->el)
        el_end(l->el);
    free(l);
}

int slm_cli_lines_get(struct slm_cli_lines *l, const char *prompt, struct slm_cli_buf *b)
{
    HistEvent ev;
    int n = 0;
    b->n = 0;
    l->prompt = prompt;
    errno = 0;
    const char *s = el_gets(l->el, &n);
    if (!s || n <= 0)
        return slm_cli_interrupted() || errno == EINTR ? -1 : 0;
    while (n && (s[n - 1] == '\n' || s[n - 1] == '\r'))
        n--;
    slm_cli_put(b, s, (size_t)n);
    if (n)
        history(l->history, &ev, H_ENTER, b->s);
    return 1;
}
