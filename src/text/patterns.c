/* Pre-tokenizers by the names that GGUF files give them. A row is a list of splitting patterns,
 * each applied to what the one before left, and what goes with them: whether whole words may
 * skip merging, whether text begins with bos, whether it is composed (NFC) first, as the
 * models' own tokenizers do. */
#include "text/tok.h"

#include <string.h>

#define CONTRACT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define LEAD "[^\\r\\n\\p{L}\\p{N}]?"
#define TAIL "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CL100K(digits)                                                                         \
    CONTRACT "|" LEAD "\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" TAIL
#define O200K(tail, digits)                                                                    \
    LEAD UPPER "*" LOWER "+" tail "|" LEAD UPPER "+" LOWER "*" tail "|" digits                 \
               "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" TAIL
#define KIMI_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define KIMI_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define ASCII_PUNCT "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"

const char slm_pattern_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char slm_pattern_llama3[] = CL100K("\\p{N}{1,3}");
const char slm_pattern_qwen2[] = CL100K("\\p{N}");
const char slm_pattern_tekken[] = O200K("", "\\p{N}");
const char slm_pattern_o200k[] = O200K(CONTRACT "?", "\\p{N}{1,3}");

typedef const char *const list[];
static list gpt2 = {slm_pattern_gpt2, NULL};
static list llama3 = {slm_pattern_llama3, NULL};
static list qwen2 = {slm_pattern_qwen2, NULL};
static list tekken = {slm_pattern_tekken, NULL};
static list gpt4o = {slm_pattern_o200k, NULL};
static list digits = {"\\p{N}", slm_pattern_gpt2, NULL};
static list plain = {"[\\p{P}\\$\\+<=>\\^~\\|]+", slm_pattern_gpt2, "\\p{N}+",
                     "[0-9][0-9][0-9]", NULL};
static list falcon = {"[\\p{P}\\$\\+<=>\\^~\\|`]+", slm_pattern_gpt2, "[0-9][0-9][0-9]", NULL};
static list jais2 = {
    CONTRACT "|" LEAD
             "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|"
             "\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{"
             "8}(?!\\S)|"
             "\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}",
    NULL};
static list deepseek_llm = {
    "[\\r\\n]",
    "\\s?[A-Za-z\xC2\xB5\xC3\x80-\xC3\x96\xC3\x98-\xC3\xB6\xC3\xB8-\xC6\xBA\xC6\xBC-\xC6\xBF"
    "\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{"
    "37F}"
    "\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}"
    "\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{"
    "13FD}"
    "\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{"
    "1D9A}"
    "\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{"
    "1F57}"
    "\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{"
    "1FBE}"
    "\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{"
    "1FEC}"
    "\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}"
    "\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{"
    "2139}"
    "\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}"
    "\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{"
    "A69B}"
    "\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{"
    "FB06}"
    "\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}"
    "\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}"
    "\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}]+",
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+",
    "\\s+$",
    "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+",
    "\\p{N}+",
    NULL};
static list deepseek_coder = {
    "[\\r\\n]",    "\\s?\\p{L}+",
    "\\s?\\p{P}+", "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+",
    "\\p{N}",      NULL};
#define DEEPSEEK3(cjk, tail)                                                                   \
    "\\p{N}{1,3}", cjk,                                                                        \
        ASCII_PUNCT                                                                            \
        "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+" tail
#define CJK "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
static list deepseek3 = {DEEPSEEK3(CJK, "[\\r\\n]*|" TAIL), NULL};
static list spark = {DEEPSEEK3(CJK, "|[\\r\\n]|\\s+(?!\\S)|\\s+"), "\\p{N}", NULL};
static list youtu = {"[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+|[\\x{FF01}\\x{2026}\\x{201C}"
                     "\\x{201D}\\x{2018}\\x{2019}"
                     "\\x{2014}\\x{FF1A}\\x{FF1B}\\x{FF0C}\\x{3001}-\\x{303F}\\x{FE30}-\\x{"
                     "FE4F}]+|[\\x{3105}-\\x{312F}]+|" CJK,
                     LEAD UPPER "*" LOWER "+" CONTRACT "?|" LEAD UPPER "+" LOWER "*" CONTRACT
                                "?|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" TAIL,
                     NULL};
static list qwen35 = {
    CONTRACT "|" LEAD "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" TAIL,
    NULL};
#define BLOOM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"
static list bloom = {BLOOM, NULL};
static list viking = {BLOOM, "\\p{N}", NULL};
static list chameleon = {"<sentinel:[0-9]+>",
                         "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                         "([\\t\\n]|    |  )",
                         "\\p{N}",
                         "[\\p{P}!-/:-@\\[-`{-~]",
                         slm_pattern_gpt2,
                         NULL};
static list tiny_aya = {"\\d{1,3}(?=(?:\\d{3})*\\b)", slm_pattern_o200k, NULL};
static list kimi = {"[\\p{Han}]+|" LEAD KIMI_UPPER "*" KIMI_LOWER "+" CONTRACT
                    "?|" LEAD KIMI_UPPER "+" KIMI_LOWER "*" CONTRACT
                    "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" TAIL,
                    NULL};
static list superbpe = {"\\p{N}+", "(?=(\\d{3})+(?!\\d))", NULL};
static list bailing = {"'(?i:[sdmt]|ll|ve|re)|" LEAD
                       "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                       "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
                       NULL};
static list seed_coder = {
    CONTRACT "|" LEAD "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" TAIL, NULL};
static list no_contract = {LEAD "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" TAIL, NULL};
static list afmoe = {
    "\\d{1,3}(?=(?:\\d{3})*(?!\\d))",
    "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{F900}-\\x{FAFF}\\x{3040}-\\x{309F}\\x{30A0}-"
    "\\x{30FF}"
    "\\x{FF65}-\\x{FF9F}\\x{2F00}-\\x{2FDF}\\x{E40}-\\x{E7F}\\x{E80}-\\x{EFF}\\x{1780}-\\x{"
    "17FF}"
    "\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}\\x{A9E0}-\\x{A9FF}\\x{AC00}-\\x{D7AF}\\x{1100}-\\x{"
    "11FF}]+",
    ASCII_PUNCT
    "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" TAIL,
    NULL};
static list laguna = {"[^\\n]+|[\\n]+", slm_pattern_qwen2, NULL};
static list exaone_moe = {
    CONTRACT "|" LEAD "(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"
             "[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    NULL};
static list lines = {"[^\\n]+|[\\n]+", NULL};
static list minicpm5 = {"\\p{N}{1,3}", CL100K("\\p{N}+"), NULL};
static list words = {"\\S+", NULL};

enum {
    IGN = PRE_ROW_IGNORE_MERGES,
    BOS = PRE_ROW_ADD_BOS,
    NFC = PRE_ROW_NFC,
    RAW = PRE_ROW_RAW,
    SEP = PRE_ROW_ADD_SEP
};

/* The first row that fits is the one that a tokenizer of another form is written as. */
static const struct pre_row rows[] = {
    {"llama-bpe", llama3, IGN | BOS},
    {"tekken", tekken, IGN | BOS},
    {"qwen2", qwen2, NFC},
    {"stablelm2", qwen2, NFC},
    {"gpt-2", gpt2, 0},
    {"smollm", digits, 0},
    {"gpt-4o", gpt4o, 0},
    {"llama3", llama3, IGN | BOS},
    {"llama-v3", llama3, IGN | BOS},
    {"falcon3", llama3, IGN | BOS},
    {"falcon-h1", llama3, IGN | BOS},
    {"pixtral", llama3, IGN | BOS},
    {"midm-2.0", llama3, IGN | BOS},
    {"lfm2", llama3, IGN | BOS},
    {"jina-v5-nano", llama3, IGN | BOS},
    {"dbrx", llama3, 0},
    {"smaug-bpe", llama3, 0},
    {"chatglm-bpe", llama3, PRE_ROW_NO_BOS},
    {"glm4", llama3, PRE_ROW_NO_BOS},
    {"minicpm5", minicpm5, IGN},
    {"default", plain, 0},
    {"deepseek-llm", deepseek_llm, 0},
    {"deepseek-coder", deepseek_coder, 0},
    {"deepseek-v3", deepseek3, 0},
    {"hunyuan-dense", deepseek3, 0},
    {"joyai-llm", deepseek3, 0},
    {"hy_v4", deepseek3, 0},
    {"spark2_5", spark, 0},
    {"youtu", youtu, IGN},
    {"falcon", falcon, 0},
    {"mpt", gpt2, 0},
    {"olmo", gpt2, NFC},
    {"jais", gpt2, 0},
    {"trillion", gpt2, 0},
    {"granite-docling", gpt2, 0},
    {"phi-2", gpt2, 0},
    {"jina-es", gpt2, 0},
    {"jina-de", gpt2, 0},
    {"gigachat", gpt2, 0},
    {"jina-v2-es", gpt2, 0},
    {"jina-v2-de", gpt2, 0},
    {"a.x-4.0", gpt2, 0},
    {"mellum", gpt2, 0},
    {"modern-bert", gpt2, 0},
    {"exaone4", gpt2, 0},
    {"jina-v1-en", gpt2, SEP},
    {"jina-v2-code", gpt2, SEP},
    {"roberta-bpe", gpt2, SEP},
    {"jais-2", jais2, 0},
    {"starcoder", digits, 0},
    {"refact", digits, 0},
    {"command-r", digits, 0},
    {"codeshell", digits, 0},
    {"exaone", digits, 0},
    {"minerva-7b", digits, 0},
    {"mellum2", digits, 0},
    {"stablelm", qwen2, NFC},
    {"hunyuan", qwen2, 0},
    {"solar-open", qwen2, 0},
    {"grok-2", qwen2, 0},
    {"megrez", qwen2, NFC},
    {"deepseek-r1-qwen", qwen2, NFC},
    {"kormo", qwen2, NFC},
    {"f2llmv2", qwen2, NFC},
    {"qwen35", qwen35, NFC},
    {"poro-chat", bloom, 0},
    {"bloom", bloom, 0},
    {"gpt3-finnish", bloom, 0},
    {"viking", viking, 0},
    {"chameleon", chameleon, BOS},
    {"llama4", gpt4o, 0},
    {"kanana2", gpt4o, 0},
    {"talkie", gpt4o, 0},
    {"minimax-m2", gpt4o, 0},
    {"granite-embed-multi-97m", gpt4o, IGN},
    {"tiny_aya", tiny_aya, 0},
    {"cohere2moe", tiny_aya, 0},
    {"superbpe", superbpe, 0},
    {"bailingmoe", bailing, 0},
    {"bailingmoe2", bailing, 0},
    {"llada-moe", bailing, 0},
    {"seed-coder", seed_coder, 0},
    {"kimi-k2", kimi, 0},
    {"ufakzeka", no_contract, 0},
    {"afmoe", afmoe, 0},
    {"laguna", laguna, 0},
    {"exaone-moe", exaone_moe, 0},
    {"gemma4", lines, RAW | BOS},
    {"granite-embed-multi-311m", lines, RAW},
    {"sarvam-moe", lines, RAW},
    {"whitespace", words, RAW},
};

const struct pre_row *slm_pre_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    }
    return NULL;
}

const char *slm_pattern_find(const char *name)
{
    static const struct {
        const char *name, *pattern;
    } known[] = {
        {"gpt2", slm_pattern_gpt2},   {"llama3", slm_pattern_llama3},
        {"qwen2", slm_pattern_qwen2}, {"tekken", slm_pattern_tekken},
        {"o200k", slm_pattern_o200k},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!strcmp(known[i].name, name))
            return known[i].pattern;
    }
    return NULL;
}
const char slm_pattern_names[] = "gpt2, llama3, qwen2, tekken, o200k";

/* The pattern that a step cuts by, as the rows write it. */
static const char *pattern_of(const struct pre_step *s)
{
    if (s->kind == PRE_BYTES)
        return s->regex ? slm_pattern_gpt2 : "";
    if (s->kind == PRE_DIGITS)
        return s->single ? "\\p{N}" : NULL;
    return s->kind == PRE_SPLIT && s->behavior == SPLIT_ISOLATED ? s->str.s : NULL;
}

static bool splits_as(const slm_tokenizer *t, const struct pre_row *row)
{
    const char *const *want = row->patterns;
    for (int i = 0; i < t->n_pre; i++) {
        const char *p = pattern_of(&t->pre[i]);
        if (!p || t->pre[i].prefix || t->pre[i].invert)
            return false;
        if (*p && (!*want || strcmp(p, *want++)))
            return false;
    }
    return !*want;
}

const char *slm_pre_name(const slm_tokenizer *t)
{
    bool nfc = t->n_norm == 1 && t->norm[0].kind == NORM_NFC;
    if (t->kind != MODEL_BPE || !t->bpe.bytes || t->n_norm > nfc)
        return NULL;
    const char *near = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct pre_row *r = &rows[i];
        if (!splits_as(t, r) || (r->flags & (RAW | SEP)) ||
            !(r->flags & IGN) != !t->bpe.ignore_merges)
            continue;
        if (!(r->flags & NFC) == !nfc)
            return r->name;
        near = near ? near : r->name;
    }
    return near;
}
