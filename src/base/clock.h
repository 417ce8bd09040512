/* Time. */
#ifndef SLM_BASE_CLOCK_H
#define SLM_BASE_CLOCK_H

#include <stdint.h>

double slm_clock_seconds(void);        /* monotonic */
double slm_clock_thread_seconds(void); /* that the calling thread has been running */
int64_t slm_clock_local(void);         /* wall clock as local civil time, seconds since 1970 */
int64_t slm_clock_utc(void);           /* wall clock, milliseconds since 1970 */

#endif
