/* How many threads are a good number here, and on which CPUs: from the machine's shape, the
 * CPUs this process may use, and the time that its control group grants it. */
#ifndef SLM_BASE_CORES_H
#define SLM_BASE_CORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slm/runtime.h"

enum { SLM_CORES_MOST = 1024 };

/* What the system tells of one CPU that is online. */
struct slm_core {
    int16_t cpu;           /* its number */
    int16_t package, core; /* siblings share both; -1: not told, a core of its own */
    int16_t capacity;      /* of 1024, the strongest kind's; 0: not told, as strong as any */
    bool allowed;          /* by the affinity mask */
};

struct slm_core_facts {
    int n;
    double quota; /* CPUs' worth of time granted, 0: no limit */
    struct slm_core core[SLM_CORES_MOST];
};

struct slm_core_choice {
    int threads;
    char how[112];               /* "2 threads: 2 cores, quota none" */
    int16_t cpu[SLM_CORES_MOST]; /* threads of them: one of each core, the strongest first */
};

/* A pure function of the facts, so that dumps of other machines are tests: a thread a core (a
 * sibling shares the core's memory port and multipliers and only makes the meetings longer),
 * no core of less than half the strongest one's capacity (all would wait for it), and no more
 * than the quota, rounded (1.5: two, 1.4: one): threads that the system
 * stops in the middle of a step stop the others too. */
void slm_cores_choose(struct slm_core_choice *out, const struct slm_core_facts *f);

/* CPUs' worth of time in the text of a control group's limit: "max 100000" or "150000 100000"
 * (cpu.max), or quota and period from the two files of the first version ("-1": none). 0: no
 * limit, or not to be understood. */
double slm_cores_quota(const char *quota, const char *period);

/* Looks at this machine. Errors: SLM_E_NOMEM. */
int slm_cores_find(struct slm_core_choice *out, slm_runtime *rt, slm_err *err);

#endif
