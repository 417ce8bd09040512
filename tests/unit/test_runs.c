/* The record of runs: what is written reads back, by many writers at once; a run whose process
 * was killed is shown as stopped; and no state of the file (damaged, another's, a later
 * version's, locked, deleted under way) stops a run or goes unsaid. */
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "format_kit.h"
#include "runs/schema.h"
#include "slm/runs.h"

static char said[2048]; /* warnings, one after the other */
static int n_said;

static void on_log(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    n_said++;
    snprintf(said, sizeof said, "%s", line);
}

static int set_up(void **state)
{
    int rc = kit_open(state);
    rt.log = on_log;
    return rc;
}

static int fresh(void **state)
{
    (void)state;
    n_said = 0;
    said[0] = 0;
    return 0;
}

static slm_recorder *begin(const char *path, const char *name, const char *parent)
{
    slm_recorder *r;
    slm_run_info i;
    slm_err err = {0};
    slm_run_info_init(&i);
    i.name = name;
    i.config = "{\"lr\": 0.001, \"lora_r\": 16}";
    i.command = "slm train m.gguf";
    i.data_hash = "d1";
    i.base_hash = "b1";
    i.output = "/somewhere/out";
    i.parent = parent;
    i.parent_step = parent ? 7 : -1;
    if (slm_recorder_open(&r, &rt, path, &i, &err))
        fail_msg("%s", err.msg);
    return r;
}

static slm_runs *reading(const char *path, int write)
{
    slm_runs *q;
    slm_err err = {0};
    if (slm_runs_open(&q, &rt, path, write, &err))
        fail_msg("%s", err.msg);
    return q;
}

static void test_sha256(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int times;
        const char *want;
    } known[] = {
        {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"aaaaaaaaaa", 100000,
         "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct slm_sha256 h;
        char hex[SLM_SHA256_HEX];
        slm_sha256_init(&h);
        for (int k = 0; k < known[i].times; k++)
            slm_sha256_put(&h, known[i].text, strlen(known[i].text));
        slm_sha256_hex(&h, hex);
        assert_string_equal(hex, known[i].want);
    }
}

static void test_process(void **state)
{
    (void)state;
    struct slm_process me, it;
    slm_process_self(&me);
    assert_int_equal(slm_process_alive(&me), 1);
    it = me;
    it.start++;
    assert_int_equal(slm_process_alive(&it), 0); /* the number was used again */
    it = me;
    it.place[0] ^= 1;
    assert_int_equal(slm_process_alive(&it), -1);
    pid_t child = fork();
    if (!child)
        _exit(0);
    it = me;
    it.pid = child;
    it.start = 0;
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(slm_process_alive(&it), 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    const char *path = in_folder("a.db");
    slm_recorder *r = begin(path, "first", NULL);
    char id[SLM_RUN_ID];
    snprintf(id, sizeof id, "%s", slm_recorder_id(r));
    assert_int_equal(strlen(id), 40);
    for (int i = 1; i <= 20; i++) {
        slm_recorder_metric(r, i, "loss", 5.0 / i);
        slm_recorder_metric(r, i, "lr", 1e-3);
    }
    slm_recorder_metric(r, 20, "loss", 0.5); /* replaces */
    slm_recorder_metric(r, 10, "eval_loss", 0.25);
    slm_recorder_metric(r, 20, "eval_loss", (double)NAN);
    slm_recorder_sample(r, 10, "Once", "upon a time");
    slm_recorder_file(r, 20, "final", "/somewhere/out/model.gguf", "feed");
    slm_recorder_end(r, "done", NULL);
    slm_recorder_metric(r, 21, "loss", 1); /* after the end: nothing */
    slm_recorder_close(&r);
    assert_null(r);

    slm_runs *q = reading(path, 0);
    slm_run_list l;
    slm_err err = {0};
    assert_int_equal(slm_runs_list(q, &l, &err), 0);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.v[0].id, id);
    assert_string_equal(l.v[0].state, "done");
    assert_string_equal(l.v[0].info.name, "first");
    assert_string_equal(l.v[0].info.config, "{\"lr\": 0.001, \"lora_r\": 16}");
    assert_string_equal(l.v[0].info.parent, "");
    assert_int_equal(l.v[0].info.parent_step, -1);
    assert_int_equal(l.v[0].steps, 20);
    assert_true(l.v[0].loss == 0.5 && isnan(l.v[0].eval_loss) && l.v[0].best_eval == 0.25);
    assert_true(l.v[0].ended >= l.v[0].info.started);
    slm_run_list_release(&l);

    slm_run_series s;
    assert_int_equal(slm_runs_series(q, id, "loss", &s, &err), 0);
    assert_int_equal(s.n, 20);
    assert_int_equal(s.step[3], 4);
    assert_true(s.value[3] == 1.25 && s.value[19] == 0.5);
    slm_run_series_release(&s);
    static const char *const names[] = {"eval_loss", "loss", "lr", NULL};
    slm_text t = {0};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(slm_runs_metric(q, id, i, &t, &err), 0);
        if (names[i])
            assert_string_equal(t.data, names[i]);
        else
            assert_null(t.data);
    }
    slm_text_release(&t);
    slm_run_notes n;
    assert_int_equal(slm_runs_samples(q, id, &n, &err), 0);
    assert_int_equal(n.n, 1);
    assert_string_equal(n.v[0].b, "upon a time");
    slm_run_notes_release(&n);
    assert_int_equal(slm_runs_files(q, id, &n, &err), 0);
    assert_int_equal(n.n, 1);
    assert_string_equal(n.v[0].a, "final");
    assert_string_equal(n.v[0].c, "feed");
    slm_run_notes_release(&n);
    slm_runs_close(&q);
    assert_int_equal(n_said, 0);
}

static void test_find(void **state)
{
    (void)state;
    const char *path = in_folder("find.db");
    char first[SLM_RUN_ID], second[SLM_RUN_ID], four[5];
    slm_recorder *r = begin(path, "same", NULL);
    snprintf(first, sizeof first, "%s", slm_recorder_id(r));
    slm_recorder_file(r, 3, "final", "/x/one", "cafe");
    slm_recorder_end(r, "done", NULL);
    slm_recorder_close(&r);
    r = begin(path, "same", first);
    snprintf(second, sizeof second, "%s", slm_recorder_id(r));
    slm_recorder_close(&r); /* without an end */
    slm_runs *q = reading(path, 1);
    slm_run_list l;
    slm_err err = {0};
    snprintf(four, sizeof four, "%.4s", first);
    if (strncmp(first, second, 4)) {
        assert_int_equal(slm_runs_find(q, four, &l, &err), 0);
        assert_string_equal(l.v[0].id, first);
        slm_run_list_release(&l);
    }
    static const char *const latest[] = {"same", "last"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(slm_runs_find(q, latest[i], &l, &err), 0);
        assert_string_equal(l.v[0].id, second);
        assert_string_equal(l.v[0].info.parent, first);
        assert_int_equal(l.v[0].info.parent_step, 7);
        assert_string_equal(l.v[0].state, "failed");
        slm_run_list_release(&l);
    }
    assert_refused(slm_runs_find(q, "none", &l, &err), &err, SLM_E_NOTFOUND, "none", "find");
    assert_refused(slm_runs_find(q, "' OR 1 --", &l, &err), &err, SLM_E_NOTFOUND, "OR", "find");
    assert_int_equal(slm_runs_maker(q, "cafe", NULL, &l, &err), 0);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.v[0].id, first);
    slm_run_list_release(&l);
    assert_int_equal(slm_runs_maker(q, "beef", "/x/one", &l, &err), 0);
    assert_int_equal(l.n, 1);
    slm_run_list_release(&l);
    assert_int_equal(slm_runs_maker(q, "beef", "/x/two", &l, &err), 0);
    assert_int_equal(l.n, 0);
    slm_run_list_release(&l);
    assert_int_equal(slm_runs_remove(q, first, &err), 0);
    assert_refused(slm_runs_remove(q, first, &err), &err, SLM_E_NOTFOUND, first, "remove");
    slm_run_notes none;
    assert_int_equal(slm_runs_files(q, first, &none, &err), 0);
    assert_int_equal(none.n, 0);
    slm_run_notes_release(&none);
    slm_runs_close(&q);
}

/* Four processes write at once; one of them is killed. */
static void test_writers(void **state)
{
    (void)state;
    const char *path = in_folder("many.db");
    pid_t child[4];
    int wait_pipe[2];
    assert_int_equal(pipe(wait_pipe), 0);
    for (int k = 0; k < 4; k++) {
        child[k] = fork();
        if (child[k])
            continue;
        char name[8] = {(char)('a' + k), 0};
        slm_recorder *r = begin(path, name, NULL);
        for (int i = 0; i < 2000; i++)
            slm_recorder_metric(r, i, "loss", i);
        slm_recorder_sample(r, 1, "", "text");
        if (k == 3) { /* all but the end is there */
            slm_recorder_metric(r, 2000, "loss", 1);
            sleep(1);
            slm_recorder_tick(r);
            if (write(wait_pipe[1], "x", 1) != 1)
                _exit(1);
            alarm(60); /* should the parent fail before it kills */
            pause();
        }
        slm_recorder_end(r, "done", NULL);
        slm_recorder_close(&r);
        /* on a slow disk one may be told that it waits and writes later: that is no loss */
        bool lost = strstr(said, "without being recorded") != NULL;
        if (lost)
            fprintf(stderr, "%s\n", said);
        _exit(lost);
    }
    for (int k = 0; k < 3; k++) {
        int status;
        assert_int_equal(waitpid(child[k], &status, 0), child[k]);
        assert_int_equal(status, 0);
    }
    char c;
    assert_int_equal(read(wait_pipe[0], &c, 1), 1);
    slm_runs *q = reading(path, 1);
    slm_run_list l;
    slm_err err = {0};
    assert_int_equal(slm_runs_find(q, "d", &l, &err), 0);
    assert_string_equal(l.v[0].state, "running");
    assert_refused(slm_runs_remove(q, l.v[0].id, &err), &err, SLM_E_ARG, "is running", "rm");
    slm_run_list_release(&l);
    kill(child[3], SIGKILL);
    waitpid(child[3], NULL, 0);
    assert_int_equal(slm_runs_list(q, &l, &err), 0);
    assert_int_equal(l.n, 4);
    for (size_t i = 0; i < 4; i++) {
        bool killed = l.v[i].info.name[0] == 'd';
        assert_string_equal(l.v[i].state, killed ? "stopped" : "done");
        assert_int_equal(l.v[i].steps, killed ? 2000 : 1999);
        assert_true(l.v[i].loss == (killed ? 1 : 1999));
    }
    slm_run_list_release(&l);
    slm_runs_close(&q);
    close(wait_pipe[0]);
    close(wait_pipe[1]);
}

/* A run is recorded nowhere, with one warning that says why. */
static void goes_on(const char *path, const char *why)
{
    n_said = 0;
    slm_recorder *r = begin(path, "x", NULL);
    for (int i = 0; i < 100; i++)
        slm_recorder_metric(r, i, "loss", i);
    assert_int_equal(slm_recorder_works(r), 0);
    assert_int_equal(strlen(slm_recorder_id(r)), 40);
    slm_recorder_end(r, "done", NULL);
    slm_recorder_close(&r);
    assert_int_equal(n_said, 1);
    if (!strstr(said, why) || !strstr(said, "without being recorded"))
        fail_msg("said \"%s\", want \"%s\"", said, why);
}

static void make(const char *path, const char *sql)
{
    struct slm_sql *db;
    slm_err err = {0};
    if (slm_sql_open(&db, &rt, path, SLM_SQL_MAKE, &err) || slm_sql_run(db, sql, &err))
        fail_msg("%s", err.msg);
    slm_sql_close(&db);
}

static void test_bad_files(void **state)
{
    (void)state;
    slm_runs *q;
    slm_err err = {0};
    char noise[8192];
    memset(noise, 'x', sizeof noise);
    write_file(in_folder("noise.db"), noise, sizeof noise);
    goes_on(in_folder("noise.db"), "noise.db: file is not a database");
    assert_refused(slm_runs_open(&q, &rt, in_folder("noise.db"), 0, &err), &err, SLM_E_FORMAT,
                   "not a database", "noise");
    make(in_folder("other.db"), "CREATE TABLE songs(name TEXT)");
    goes_on(in_folder("other.db"), "no record of runs");
    assert_refused(slm_runs_open(&q, &rt, in_folder("other.db"), 0, &err), &err, SLM_E_FORMAT,
                   "no record of runs", "other");
    make(in_folder("later.db"), "PRAGMA application_id=1936485746; PRAGMA user_version=99");
    goes_on(in_folder("later.db"), "written by a later slm");
    assert_refused(slm_runs_open(&q, &rt, in_folder("later.db"), 0, &err), &err,
                   SLM_E_UNSUPPORTED, "later slm", "later");
    goes_on(in_folder("no/such/folder.db"), "unable to open");
    goes_on(folder, "is a folder");
    assert_refused(slm_runs_open(&q, &rt, in_folder("none.db"), 0, &err), &err, SLM_E_NOTFOUND,
                   "none.db", "none");
    /* tables that are named as ours and are not */
    make(in_folder("false.db"), "PRAGMA application_id=1936485746; PRAGMA user_version=1;"
                                "CREATE TABLE runs(x)");
    goes_on(in_folder("false.db"), "false.db: ");
    assert_int_equal(slm_runs_open(&q, &rt, in_folder("false.db"), 0, &err), 0);
    slm_run_list l;
    assert_refused(slm_runs_list(q, &l, &err), &err, SLM_E_FORMAT, "false.db", "false");
    slm_runs_close(&q);
}

/* Damage in the middle of a good file: whatever is read is an error or a value. */
static void test_damage(void **state)
{
    (void)state;
    slm_recorder *r = begin(in_folder("good.db"), "good", NULL);
    for (int i = 0; i < 3000; i++)
        slm_recorder_metric(r, i, "loss", i);
    slm_recorder_end(r, "done", NULL);
    slm_recorder_close(&r);
    struct slm_buf b;
    slm_buf_init(&b, &rt, SLM_MEM_USER, 1 << 22);
    assert_int_equal(slm_file_slurp(&b, in_folder("good.db"), NULL), 0);
    for (size_t at = 0; at < b.n; at += 1021) {
        b.s[at] ^= 0x55;
        write_file(in_folder("bad.db"), b.s, b.n);
        b.s[at] ^= 0x55;
        slm_runs *q;
        slm_run_list l;
        slm_err err = {0};
        if (slm_runs_open(&q, &rt, in_folder("bad.db"), 0, &err))
            continue;
        if (!slm_runs_list(q, &l, &err)) {
            slm_run_series s;
            if (l.n && !slm_runs_series(q, l.v[0].id, "loss", &s, &err))
                slm_run_series_release(&s);
            slm_run_list_release(&l);
        }
        slm_runs_close(&q);
    }
    slm_buf_release(&b);
}

/* Held by another program for a while: what waits is written when it lets go. Deleted under
 * way: the run begins anew in a new file. */
static void test_locked_and_deleted(void **state)
{
    (void)state;
    const char *path = in_folder("held.db");
    slm_recorder *r = begin(path, "held", NULL);
    struct slm_sql *other;
    slm_err err = {0};
    assert_int_equal(slm_sql_open(&other, &rt, path, SLM_SQL_WRITE, &err), 0);
    assert_int_equal(slm_sql_run(other, "BEGIN IMMEDIATE", &err), 0);
    slm_recorder_metric(r, 1, "loss", 4);
    sleep(1);
    slm_recorder_metric(r, 2, "loss", 3);
    assert_int_equal(n_said, 1);
    assert_non_null(strstr(said, "another program holds it"));
    assert_int_equal(slm_recorder_works(r), 1);
    assert_int_equal(slm_sql_run(other, "COMMIT", &err), 0);
    slm_sql_close(&other);
    slm_recorder_end(r, "done", NULL);
    assert_int_equal(n_said, 2);
    assert_non_null(strstr(said, "is recorded again"));
    slm_recorder_close(&r);
    slm_runs *q = reading(path, 0);
    slm_run_list l;
    assert_int_equal(slm_runs_find(q, "held", &l, &err), 0);
    assert_int_equal(l.v[0].steps, 2);
    slm_run_list_release(&l);
    slm_runs_close(&q);

    n_said = 0;
    r = begin(path, "deleted", NULL);
    slm_recorder_metric(r, 1, "loss", 4);
    unlink(path);
    slm_recorder_metric(r, 2, "loss", 3);
    slm_recorder_end(r, "interrupted", "by the user");
    slm_recorder_close(&r);
    assert_int_equal(n_said, 1);
    q = reading(path, 0);
    assert_int_equal(slm_runs_list(q, &l, &err), 0);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.v[0].info.name, "deleted");
    assert_string_equal(l.v[0].state, "interrupted");
    assert_string_equal(l.v[0].note, "by the user");
    slm_run_list_release(&l);
    slm_runs_close(&q);
}

/* The file that the first version wrote must read for ever. */
static void test_first_version(void **state)
{
    (void)state;
    struct slm_buf b;
    slm_buf_init(&b, &rt, SLM_MEM_USER, 1 << 22);
    assert_int_equal(slm_file_slurp(&b, "tests/data/runs/version1.db", NULL), 0);
    write_file(in_folder("v1.db"), b.s, b.n);
    slm_buf_release(&b);
    slm_runs *q = reading(in_folder("v1.db"), 0);
    slm_run_list l;
    slm_err err = {0};
    assert_int_equal(slm_runs_list(q, &l, &err), 0);
    assert_int_equal(l.n, 4);
    assert_string_equal(l.v[1].info.parent, l.v[0].id);
    slm_run_list_release(&l);
    slm_runs_close(&q);
    slm_recorder *r = begin(in_folder("v1.db"), "new", NULL);
    slm_recorder_end(r, "done", NULL);
    slm_recorder_close(&r);
    assert_int_equal(n_said, 0);
}

static void test_fingerprint(void **state)
{
    (void)state;
    char one[65], two[65];
    slm_err err = {0};
    size_t n = (size_t)40 << 20;
    char *big = calloc(1, n);
    assert_non_null(big);
    write_file(in_folder("big.gguf"), big, n);
    assert_int_equal(slm_fingerprint(one, &rt, in_folder("big.gguf"), &err), 0);
    for (size_t at = 12345; at < n; at += 9 << 20) { /* a stretch of it, as training does */
        memset(big + at, 1, 1 << 20);
        write_file(in_folder("big.gguf"), big, n);
        assert_int_equal(slm_fingerprint(two, &rt, in_folder("big.gguf"), &err), 0);
        assert_string_not_equal(one, two);
        memcpy(one, two, sizeof one);
    }
    free(big);
    assert_int_equal(slm_fingerprint(two, &rt, "tests/golden/llama", &err), 0);
    assert_int_equal(strlen(two), 64);
    assert_int_equal(slm_fingerprint(one, &rt, "tests/golden/qwen2", &err), 0);
    assert_string_not_equal(one, two);
    assert_refused(slm_fingerprint(one, &rt, "tests/cli", &err), &err, SLM_E_NOTFOUND,
                   "no model", "folder");
    assert_refused(slm_fingerprint(one, &rt, in_folder("nothing"), &err), &err, SLM_E_NOTFOUND,
                   "nothing", "file");
}

/* Whichever allocation fails, nothing leaks and nothing breaks. */
static void test_torture(void **state)
{
    (void)state;
    size_t before = rt.heap.blocks;
    for (int64_t i = 1; i < 60; i++) {
        slm_recorder *r = NULL;
        slm_run_info info;
        slm_run_info_init(&info);
        info.name = "torture";
        atomic_store(&rt.heap.fail_in, i);
        int rc = slm_recorder_open(&r, &rt, in_folder("t.db"), &info, NULL);
        if (!rc) {
            slm_recorder_metric(r, 1, "loss", 1);
            slm_recorder_sample(r, 1, "a", "b");
            slm_recorder_end(r, "done", NULL);
        }
        slm_recorder_close(&r);
        slm_runs *q = NULL;
        slm_run_list l = {0};
        if (!slm_runs_open(&q, &rt, in_folder("t.db"), 0, NULL) && !slm_runs_list(q, &l, NULL))
            slm_run_list_release(&l);
        slm_runs_close(&q);
        atomic_store(&rt.heap.fail_in, 0);
        assert_int_equal(rt.heap.blocks, before);
    }
    slm_recorder *r = NULL;
    slm_run_info info;
    slm_err err = {0};
    slm_run_info_init(&info);
    info.config = "[1]";
    assert_refused(slm_recorder_open(&r, &rt, NULL, &info, &err), &err, SLM_E_ARG, "config",
                   "");
    info.config = "{";
    assert_refused(slm_recorder_open(&r, &rt, NULL, &info, &err), &err, SLM_E_ARG, "config",
                   "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_process),
        cmocka_unit_test_setup(test_round_trip, fresh),
        cmocka_unit_test_setup(test_find, fresh),
        cmocka_unit_test_setup(test_writers, fresh),
        cmocka_unit_test_setup(test_bad_files, fresh),
        cmocka_unit_test_setup(test_damage, fresh),
        cmocka_unit_test_setup(test_locked_and_deleted, fresh),
        cmocka_unit_test_setup(test_first_version, fresh),
        cmocka_unit_test_setup(test_fingerprint, fresh),
        cmocka_unit_test_setup(test_torture, fresh),
    };
    return cmocka_run_group_tests(tests, set_up, kit_close);
}
