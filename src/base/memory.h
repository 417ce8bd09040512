/* How much memory there is: what this process has resident, and what it may still take. */
#ifndef SLM_BASE_MEMORY_H
#define SLM_BASE_MEMORY_H

#include <stdint.h>

/* Bytes resident now, and most ever; 0 where the system does not say. */
uint64_t slm_memory_resident(void);
uint64_t slm_memory_peak(void);
/* Bytes that may still be taken: what the machine has available, and what the control group
 * allows, whichever is less; UINT64_MAX where the system does not say. */
uint64_t slm_memory_free(void);

#endif
