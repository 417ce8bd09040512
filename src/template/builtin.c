/* Templates of our own for models that come without one: the dialogue forms their families were
 * trained on. They give the published templates' bytes for conversations of system, user and
 * assistant turns; texts may also come as lists of parts. */
#include <string.h>

#include "slm/template.h"

/* Text of a message: a string, or the text parts of a list. */
#define TEXT                                                                                   \
    "{%- macro text(m) %}{% if m['content'] is string %}{{ m['content'] }}{% elif "            \
    "m['content'] %}"                                                                          \
    "{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endif %}{% endmacro %}"

/* The system text and the turns behind it, for forms that have no system turn. */
#define SPLIT                                                                                  \
    "{%- if messages and messages[0]['role'] == 'system' %}{% set system = text(messages[0]) " \
    "%}"                                                                                       \
    "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages "    \
    "%}{% endif %}"

#define WRONG_ROLE "{{ raise_exception('this model has no turn for the role ' ~ m['role']) }}"

/* <|im_start|>role ... <|im_end|>, as Qwen and many others */
static const char chatml[] =
    TEXT "{% for m in messages %}{{ '<|im_start|>' ~ m['role'] ~ '\\n' ~ text(m) ~ "
         "'<|im_end|>\\n' }}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static const char llama2[] =
    TEXT SPLIT "{% for m in turns %}{% set t = text(m) %}"
               "{% if loop.first and system %}{% set t = '<<SYS>>\\n' ~ system ~ "
               "'\\n<</SYS>>\\n\\n' ~ t %}{% endif %}"
               "{% if m['role'] == 'user' %}{{ bos_token ~ '[INST] ' ~ t|trim ~ ' [/INST]' }}"
               "{% elif m['role'] == 'assistant' %}{{ ' ' ~ t|trim ~ ' ' ~ eos_token }}"
               "{% else %}" WRONG_ROLE "{% endif %}{% endfor %}";

static const char llama3[] =
    TEXT "{{ bos_token }}{% for m in messages %}"
         "{{ '<|start_header_id|>' ~ m['role'] ~ '<|end_header_id|>\\n\\n' ~ text(m)|trim ~ "
         "'<|eot_id|>' }}{% endfor %}"
         "{% if add_generation_prompt %}{{ "
         "'<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";

/* Mistral's forms differ by tokenizer version: where blanks stand, and where the system text
 * goes: v1 into the first user turn, v3 into the last, v7 into a turn of its own. */
#define MISTRAL(user, between, assistant, at)                                                  \
    TEXT SPLIT "{{ bos_token }}{% for m in turns %}{% if m['role'] == 'user' %}"               \
               "{{ '" user "' ~ (system ~ '\\n\\n' if system and " at                          \
               " else '') ~ text(m) ~ '" between "' }}"                                        \
               "{% elif m['role'] == 'assistant' %}{{ '" assistant                             \
               "' ~ text(m) ~ eos_token }}"                                                    \
               "{% else %}" WRONG_ROLE "{% endif %}{% endfor %}"
static const char mistral_v1[] = MISTRAL(" [INST] ", " [/INST]", " ", "loop.first");
static const char mistral_v3[] = MISTRAL("[INST] ", "[/INST]", " ", "loop.last");
static const char mistral_nemo[] = MISTRAL("[INST]", "[/INST]", "", "loop.last");
static const char mistral_v7[] = TEXT
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST]' ~ text(m) ~ "
    "'[/INST]' }}"
    "{% elif m['role'] == 'system' %}{{ '[SYSTEM_PROMPT]' ~ text(m) ~ '[/SYSTEM_PROMPT]' }}"
    "{% elif m['role'] == 'assistant' %}{{ text(m) ~ eos_token }}{% else %}" WRONG_ROLE
    "{% endif %}{% endfor %}";

/* Gemma calls the assistant "model" and puts the system text before the first user turn's. */
static const char gemma[] = TEXT SPLIT
    "{{ bos_token }}{% for m in turns %}"
    "{{ '<start_of_turn>' ~ ('model' if m['role'] == 'assistant' else m['role']) ~ '\\n' ~ "
    "(system ~ '\\n\\n' if system and loop.first else '') ~ text(m)|trim ~ '<end_of_turn>\\n' "
    "}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}";

static const char phi3[] =
    TEXT "{% for m in messages %}{% if m['role'] != 'system' or m['content'] %}"
         "{{ '<|' ~ m['role'] ~ '|>\\n' ~ text(m) ~ '<|end|>\\n' }}{% endif %}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% "
         "endif %}";

/* Phi-4-mini: the same without new lines. */
static const char phi4[] = TEXT
    "{% for m in messages %}{{ '<|' ~ m['role'] ~ '|>' ~ text(m) ~ '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}";

/* Zephyr, StableLM Zephyr, TinyLlama chat */
static const char zephyr[] =
    TEXT "{% for m in messages %}{{ '<|' ~ m['role'] ~ '|>\\n' ~ text(m) ~ eos_token ~ '\\n' "
         "}}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}";

static const struct {
    const char *style, *source;
} all[] = {
    {"chatml", chatml},
    {"qwen2", chatml},
    {"qwen3", chatml},
    {"smollm", chatml},
    {"llama2", llama2},
    {"llama3", llama3},
    {"mistral", mistral_v3},
    {"mistral-v1", mistral_v1},
    {"mistral-v3", mistral_v3},
    {"mistral-nemo", mistral_nemo},
    {"mistral-v7", mistral_v7},
    {"ministral3", mistral_v7},
    {"gemma", gemma},
    {"phi3", phi3},
    {"phi4", phi4},
    {"zephyr", zephyr},
    {"stablelm", zephyr},
    {"tinyllama", zephyr},
};

const char *slm_template_builtin(const char *style)
{
    for (size_t i = 0; style && i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].style, style) == 0)
            return all[i].source;
    return NULL;
}
