/* Ranks by Open MPI. The library is opened when mpirun has started this program, and only then:
 * a program that merely could train on several machines starts no slower for it and needs no
 * MPI where it runs. So the objects behind MPI's names are looked up here, and mpi.h gives the
 * types alone. One thread talks (MPI_THREAD_FUNNELED). */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "slm/train.h"

#ifdef SLM_MPI
#include <dlfcn.h>
#include <mpi.h>

#define LIBRARY "libmpi.so.40"
/* No count of a call is above this: MPI counts with int. */
#define PIECE ((size_t)1 << 28)

struct mpi {
    slm_runtime *rt;
    void *lib;
    MPI_Comm world;
    MPI_Datatype f32, f64, byte;
    MPI_Op sum;
    MPI_Request *open; /* (n) begun */
    size_t n, cap;
    __typeof__(&MPI_Init_thread) init;
    __typeof__(&MPI_Finalize) finalize;
    __typeof__(&MPI_Abort) abort;
    __typeof__(&MPI_Comm_rank) comm_rank;
    __typeof__(&MPI_Comm_size) comm_size;
    __typeof__(&MPI_Ireduce) ireduce;
    __typeof__(&MPI_Ibcast) ibcast;
    __typeof__(&MPI_Testall) testall;
    __typeof__(&MPI_Waitall) waitall;
    __typeof__(&MPI_Send) send;
    __typeof__(&MPI_Recv) recv;
    __typeof__(&MPI_Reduce) reduce;
    __typeof__(&MPI_Bcast) bcast;
    int rank;
};

static int began(struct mpi *m, MPI_Request q)
{
    if (slm_grow(m->rt, SLM_MEM_MODEL, (void **)&m->open, m->n, &m->cap, sizeof *m->open))
        m->abort(m->world, 7); /* the others wait for this one: no memory ends all */
    m->open[m->n++] = q;
    return 0;
}

static int reduce(void *arg, float *x, size_t n, int root)
{
    struct mpi *m = arg;
    bool here = m->rank == root;
    int rc = 0;
    for (size_t at = 0; at < n && !rc; at += PIECE) {
        MPI_Request q;
        int k = (int)(n - at < PIECE ? n - at : PIECE);
        rc = m->ireduce(here ? MPI_IN_PLACE : x + at, here ? x + at : NULL, k, m->f32, m->sum,
                        root, m->world, &q);
        if (!rc)
            rc = began(m, q);
    }
    return rc ? SLM_E_IO : 0;
}

static int spread(void *arg, void *x, size_t bytes, int root)
{
    struct mpi *m = arg;
    int rc = 0;
    for (size_t at = 0; at < bytes && !rc; at += PIECE) {
        MPI_Request q;
        int k = (int)(bytes - at < PIECE ? bytes - at : PIECE);
        rc = m->ibcast((uint8_t *)x + at, k, m->byte, root, m->world, &q);
        if (!rc)
            rc = began(m, q);
    }
    return rc ? SLM_E_IO : 0;
}

static void progress(void *arg)
{
    struct mpi *m = arg;
    int done;
    if (m->n)
        m->testall((int)m->n, m->open, &done, MPI_STATUSES_IGNORE);
}

static int wait_all(void *arg)
{
    struct mpi *m = arg;
    int rc = m->n ? m->waitall((int)m->n, m->open, MPI_STATUSES_IGNORE) : 0;
    m->n = 0;
    return rc ? SLM_E_IO : 0;
}

static int move(void *arg, void *x, size_t bytes, int from, int to)
{
    struct mpi *m = arg;
    int rc = 0;
    for (size_t at = 0; at < bytes && !rc; at += PIECE) {
        int k = (int)(bytes - at < PIECE ? bytes - at : PIECE);
        if (m->rank == from)
            rc = m->send((uint8_t *)x + at, k, m->byte, to, 0, m->world);
        else if (m->rank == to)
            rc = m->recv((uint8_t *)x + at, k, m->byte, from, 0, m->world, MPI_STATUS_IGNORE);
    }
    return rc ? SLM_E_IO : 0;
}

/* By one rank, then told to all: MPI does not promise all ranks the same bits otherwise. */
static int sum(void *arg, double *x, size_t n)
{
    struct mpi *m = arg;
    bool here = m->rank == 0;
    int rc = m->reduce(here ? MPI_IN_PLACE : x, here ? x : NULL, (int)n, m->f64, m->sum, 0,
                       m->world);
    if (!rc)
        rc = m->bcast(x, (int)n, m->f64, 0, m->world);
    return rc ? SLM_E_IO : 0;
}

static int look_up(struct mpi *m, slm_err *err)
{
    const struct {
        const char *name;
        void *at; /* a pointer to be set */
    } want[] = {
        {"MPI_Init_thread", &m->init},    {"MPI_Finalize", &m->finalize},
        {"MPI_Abort", &m->abort},         {"MPI_Comm_rank", &m->comm_rank},
        {"MPI_Comm_size", &m->comm_size}, {"MPI_Ireduce", &m->ireduce},
        {"MPI_Ibcast", &m->ibcast},       {"MPI_Testall", &m->testall},
        {"MPI_Waitall", &m->waitall},     {"MPI_Send", &m->send},
        {"MPI_Recv", &m->recv},           {"MPI_Reduce", &m->reduce},
        {"MPI_Bcast", &m->bcast},         {"ompi_mpi_comm_world", &m->world},
        {"ompi_mpi_float", &m->f32},      {"ompi_mpi_double", &m->f64},
        {"ompi_mpi_byte", &m->byte},      {"ompi_mpi_op_sum", &m->sum},
    };
    m->lib = dlopen(LIBRARY, RTLD_NOW | RTLD_GLOBAL); /* its parts look for it by name */
    if (!m->lib)
        return slm_fail(err, SLM_E_IO, "started by mpirun, but Open MPI cannot be opened: %s",
                        dlerror());
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        void *p = dlsym(m->lib, want[i].name);
        if (!p)
            return slm_fail(err, SLM_E_IO, "%s: has no %s: not the Open MPI this was built for",
                            LIBRARY, want[i].name);
        memcpy(want[i].at, &p, sizeof p);
    }
    return 0;
}

const char *slm_train_ranks_how(void)
{
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
    return "Open MPI " TEXT(OMPI_MAJOR_VERSION) "." TEXT(OMPI_MINOR_VERSION);
}

int slm_train_ranks_open(slm_train_ranks *out, slm_runtime *rt, slm_err *err)
{
    int level = 0;
    memset(out, 0, sizeof *out);
    struct mpi *m = slm_zalloc(rt, SLM_MEM_MODEL, sizeof *m);
    if (!m)
        return slm_fail_mem(err, "ranks", sizeof *m);
    m->rt = rt;
    int rc = look_up(m, err);
    if (!rc && m->init(NULL, NULL, MPI_THREAD_FUNNELED, &level))
        rc = slm_fail(err, SLM_E_IO, "Open MPI does not start");
    if (rc) {
        slm_free(rt, m);
        return rc;
    }
    *out = (slm_train_ranks){.arg = m,
                             .reduce = reduce,
                             .spread = spread,
                             .progress = progress,
                             .wait = wait_all,
                             .move = move,
                             .sum = sum};
    m->comm_rank(m->world, &out->rank);
    m->comm_size(m->world, &out->n);
    m->rank = out->rank;
    return 0;
}

void slm_train_ranks_close(slm_train_ranks *r)
{
    struct mpi *m = r->arg;
    if (m) {
        m->finalize(); /* the library stays: it does not bear being closed */
        slm_free(m->rt, m->open);
        slm_free(m->rt, m);
    }
    memset(r, 0, sizeof *r);
}

#else

const char *slm_train_ranks_how(void) { return NULL; }

int slm_train_ranks_open(slm_train_ranks *out, slm_runtime *rt, slm_err *err)
{
    (void)rt;
    memset(out, 0, sizeof *out);
    return slm_fail(err, SLM_E_UNSUPPORTED,
                    "started by mpirun, but this slm was built without Open MPI "
                    "(libopenmpi-dev): build it again with it");
}

void slm_train_ranks_close(slm_train_ranks *r) { memset(r, 0, sizeof *r); }

#endif
