/* The face of the base room: what every other room stands on. It owns the operating system
 * (files, maps, threads, clock, CPU detection), memory, errors, text buffers, JSON and Unicode.
 * It knows nothing of models. */
#ifndef SLM_BASE_H
#define SLM_BASE_H

#include "slm/runtime.h"

#include "base/err.h"
#include "base/assert.h"
#include "base/dtype.h"
#include "base/dynamic8.h"
#include "base/cpu.h"
#include "base/state.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/files.h"
#include "base/dir.h"
#include "base/json.h"
#include "base/utf8.h"
#include "base/rng.h"
#include "base/hash.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/sha256.h"
#include "base/cores.h"
#include "base/memory.h"
#include "base/thread.h"

#endif
