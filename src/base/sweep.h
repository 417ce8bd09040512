/* What killed processes leave behind. */
#ifndef SLM_BASE_SWEEP_H
#define SLM_BASE_SWEEP_H

/* Removes what was left of writing to path (slm_out_open): temporary files of processes that
 * are no more. */
void slm_out_sweep(const char *path);

#endif
