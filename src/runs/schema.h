/* The tables of the record of runs, and their versions. */
#ifndef SLM_RUNS_SCHEMA_H
#define SLM_RUNS_SCHEMA_H

#include "runs/sql.h"

/* Opens the file and brings its tables to this slm's version (reading: only if it may). Errors
 * besides slm_sql_open's: SLM_E_FORMAT (another program's database), SLM_E_UNSUPPORTED (a later
 * slm's). */
int slm_schema_open(struct slm_sql **out, slm_runtime *rt, const char *path,
                    enum slm_sql_mode mode, slm_err *err);

#endif
