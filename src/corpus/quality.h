/* Rules that tell text from what only looks like it: those that MassiveText was filtered by
 * (Rae et al. 2021, arXiv 2112.11446, section A1.1 and table A1). Private to the room. */
#ifndef SLM_CORPUS_QUALITY_H
#define SLM_CORPUS_QUALITY_H

#include "corpus/sets.h"

enum { SLM_GOPHER = 1, SLM_GOPHER_REPETITION = 2 }; /* second column below */

/* clang-format off */
#define SLM_QUALITY_RULES(R) \
    R(FEW_WORDS,      1, "fewer than 50 words") \
    R(MANY_WORDS,     1, "more than 100,000 words") \
    R(SHORT_WORDS,    1, "mean word shorter than 3 characters") \
    R(LONG_WORDS,     1, "mean word longer than 10 characters") \
    R(HASHES,         1, "more than one # for 10 words") \
    R(ELLIPSES,       1, "more than one ellipsis for 10 words") \
    R(BULLETS,        1, "more than 90 % of lines begin with a bullet") \
    R(ELLIPSIS_LINES, 1, "more than 30 % of lines end in an ellipsis") \
    R(NO_LETTERS,     1, "fewer than 80 % of words hold a letter") \
    R(STOP_WORDS,     1, "fewer than 2 of: the be to of and that have with") \
    R(SAME_PARTS,     2, "more than 30 % of paragraphs said before") \
    R(SAME_PART_TEXT, 2, "more than 20 % of text in paragraphs said before") \
    R(SAME_LINES,     2, "more than 30 % of lines said before") \
    R(SAME_LINE_TEXT, 2, "more than 20 % of text in lines said before") \
    R(TOP_2,          2, "one run of 2 words makes more than 20 % of the text") \
    R(TOP_3,          2, "one run of 3 words makes more than 18 % of the text") \
    R(TOP_4,          2, "one run of 4 words makes more than 16 % of the text") \
    R(SAME_5,         2, "more than 15 % of text in runs of 5 words said before") \
    R(SAME_6,         2, "more than 14 % of text in runs of 6 words said before") \
    R(SAME_7,         2, "more than 13 % of text in runs of 7 words said before") \
    R(SAME_8,         2, "more than 12 % of text in runs of 8 words said before") \
    R(SAME_9,         2, "more than 11 % of text in runs of 9 words said before") \
    R(SAME_10,        2, "more than 10 % of text in runs of 10 words said before")
/* clang-format on */
#define SLM_QUALITY_ID(name, set, words) SLM_QUALITY_##name,
enum slm_quality_rule { SLM_QUALITY_RULES(SLM_QUALITY_ID) SLM_QUALITY_COUNT };
#undef SLM_QUALITY_ID

/* Room for one text at a time. */
struct slm_quality {
    slm_runtime *rt;
    struct slm_piece { /* words, lines or paragraphs of the text */
        const char *s;
        size_t n;
        uint64_t hash;
    } * word, *part;
    size_t n_words, cap_words, n_parts, cap_parts;
    struct slm_keymap seen;
    uint32_t *count;
    size_t cap_count;
};
void slm_quality_init(struct slm_quality *q, slm_runtime *rt);
void slm_quality_release(struct slm_quality *q);
/* The first rule of the sets (a sum of SLM_GOPHER...) that the text breaks, -1: none,
 * SLM_QUALITY_COUNT: no memory. */
int slm_quality_judge(struct slm_quality *q, const char *s, size_t n, int sets);
const char *slm_quality_words(int rule);
int slm_quality_set(int rule);
/* "gopher,gopher-repetition" to a sum of sets; SLM_E_ARG names the unknown one. NULL: 0. */
int slm_quality_parse(const char *names, int *sets, slm_err *err);

#endif
