/* Processes: who this one is, and whether one that wrote its name down still lives. */
#ifndef SLM_BASE_PROCESS_H
#define SLM_BASE_PROCESS_H

#include <stdint.h>

/* A process number says nothing by itself: numbers are used again, and each machine, each boot
 * and each container counts its own. `place` names those three, `start` the process. */
struct slm_process {
    int64_t pid,
        start; /* start: the kernel's clock ticks since boot, 0 where it does not say */
    char host[64];
    char place[192];
};
void slm_process_self(struct slm_process *p);
/* 1 it lives, 0 it is gone, -1 it was elsewhere and nothing can be said. */
int slm_process_alive(const struct slm_process *p);

#endif
