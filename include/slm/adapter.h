/* Adapters: low-rank additions to a model's matrices (LoRA, rsLoRA, DoRA), read, made, written
 * and merged. */
#ifndef SLM_ADAPTER_H
#define SLM_ADAPTER_H

#include "slm/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slm_adapter slm_adapter;

#ifdef __cplusplus
}
#endif
#endif
