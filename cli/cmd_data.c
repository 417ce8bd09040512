/* slm data: the family of commands on training data. */
#include "data_tools.h"

static const struct slm_cli_command *const members[] = {
    &slm_data_check, &slm_data_stats,     &slm_data_convert_cmd, &slm_data_dedup,
    &slm_data_split, &slm_data_negatives, &slm_data_decon,       &slm_data_mix,
    NULL,
};

extern const struct slm_cli_command slm_cmd_data;
const struct slm_cli_command slm_cmd_data = {
    .name = "data",
    .summary = "look at, clean, part and mix training data",
    .about =
        "Reads JSON lines, JSON, CSV and text in the forms that people have (messages, "
        "ShareGPT, Alpaca, prompt and completion, raw text). Nothing is written over what is "
        "read; what is left out is counted and told.",
    .sub = members,
};
