/* What language a text is probably in: its script, and for Latin script which language's little
 * words it has most of. Good enough to see that a data set is not what it should be. */
#include "data/build_in.h"

#include <string.h>

static const struct {
    int32_t lo, hi;
    const char *name;
} ranges[] = {
    {0x41, 0x24f, "Latin"},       {0x370, 0x3ff, "Greek"},      {0x400, 0x52f, "Cyrillic"},
    {0x530, 0x58f, "Armenian"},   {0x590, 0x5ff, "Hebrew"},     {0x600, 0x6ff, "Arabic"},
    {0x750, 0x77f, "Arabic"},     {0x900, 0x97f, "Devanagari"}, {0x980, 0x9ff, "Bengali"},
    {0xa00, 0xa7f, "Gurmukhi"},   {0xa80, 0xaff, "Gujarati"},   {0xb80, 0xbff, "Tamil"},
    {0xc00, 0xc7f, "Telugu"},     {0xc80, 0xcff, "Kannada"},    {0xd00, 0xd7f, "Malayalam"},
    {0xe00, 0xe7f, "Thai"},       {0x10a0, 0x10ff, "Georgian"}, {0x1100, 0x11ff, "Hangul"},
    {0x1200, 0x137f, "Ethiopic"}, {0x1e00, 0x1eff, "Latin"},    {0x1f00, 0x1fff, "Greek"},
    {0x3040, 0x30ff, "Kana"},     {0x3400, 0x4dbf, "Han"},      {0x4e00, 0x9fff, "Han"},
    {0xac00, 0xd7af, "Hangul"},   {0x20000, 0x2ffff, "Han"},
};
enum { RANGES = sizeof ranges / sizeof *ranges };

static const struct {
    const char *name, *words;
} tongues[] = {
    {"English", " the of and to is that it was for you with have this are "
                " not be what i my how can on a in do your me if "},
    {"German", " der die und das ist nicht ein ich zu mit den sie auf eine wie auch "},
    {"French", " le les des est et une pas que vous dans qui pour je sur avec du "},
    {"Spanish", " el los las y que una por con es para no del como lo se su "},
    {"Italian", " che di la un per non una sono con della le gli anche il "},
    {"Portuguese", " que da em um para com uma os na por mais não você isso "},
    {"Dutch", " de het een van en niet dat ik op te zijn met voor je maar ook "},
    {"Swedish", " och att det som en på är av för med till den inte har jag om "},
    {"Polish", " nie na się że jest jak co ale tak czy dla przez są "},
    {"Turkish", " bir ve bu için ne çok da de mi ile olarak daha gibi var ben kadar "},
};
enum { TONGUES = sizeof tongues / sizeof *tongues, LOOK = 4096 };

static int range_of(int32_t cp)
{
    if (cp < 0x41 || (cp < 0x80 && !((cp | 32) >= 'a' && (cp | 32) <= 'z')) ||
        (cp >= 0x80 && cp < 0xc0))
        return -1;
    for (int i = 0; i < RANGES; i++)
        if (cp >= ranges[i].lo && cp <= ranges[i].hi)
            return i;
    return -1;
}

/* A word of the text, in lower case, counts for each language whose list has it. */
static void count_word(const char *s, size_t n, int votes[TONGUES])
{
    char word[24];
    if (n == 0 || n > 12)
        return;
    word[0] = ' ';
    for (size_t i = 0; i < n; i++)
        word[i + 1] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
    word[n + 1] = ' ';
    word[n + 2] = 0;
    for (int t = 0; t < TONGUES; t++)
        votes[t] += strstr(tongues[t].words, word) != NULL;
}

static const char *latin(const char *s, size_t n)
{
    int votes[TONGUES] = {0}, best = 0, words = 0;
    for (size_t i = 0, from = 0; i <= n; i++) {
        uint8_t c = i < n ? (uint8_t)s[i] : ' ';
        if (c >= 0x80 || ((c | 32) >= 'a' && (c | 32) <= 'z'))
            continue;
        words += i > from;
        count_word(s + from, i - from, votes);
        from = i + 1;
    }
    for (int t = 1; t < TONGUES; t++)
        if (votes[t] > votes[best])
            best = t;
    /* a language shows in its little words; a few words of text show nothing */
    return votes[best] * 12 >= words && votes[best] ? tongues[best].name
                                                    : "Latin script, language unclear";
}

const char *slm_data_script(const char *s, size_t n)
{
    int count[RANGES] = {0}, best = -1;
    n = n < LOOK ? n : LOOK;
    for (size_t i = 0; i < n;) {
        int32_t cp;
        i += (size_t)slm_utf8_next(s + i, n - i, &cp);
        int k = range_of(cp);
        if (k < 0)
            continue;
        for (int j = 0; j < k; j++) /* a script may have several ranges */
            if (!strcmp(ranges[j].name, ranges[k].name)) {
                k = j;
                break;
            }
        count[k]++;
    }
    for (int i = 0; i < RANGES; i++)
        if (count[i] && (best < 0 || count[i] > count[best]))
            best = i;
    for (int i = 0; i < RANGES; i++) /* Japanese is told by its own letters among Han */
        if (count[i] && !strcmp(ranges[i].name, "Kana"))
            return "Japanese";
    if (best < 0)
        return "no letters";
    return strcmp(ranges[best].name, "Latin") ? ranges[best].name
           : n                                ? latin(s, n)
                                              : "no letters";
}
