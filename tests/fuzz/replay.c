/* Replays a corpus: feeds each file named on the command line, or lying in a folder named
 * there, to LLVMFuzzerTestOneInput, so that plain gcc builds re-run in every `make test` what a
 * fuzzer once found. The buffer has exactly the file's length, so that a sanitizer sees one
 * byte too far. Prints "ok"/"FAIL" lines for tests/run.sh; a crash is seen by the runner. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fed, unread;

static void feed(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *data = NULL;
    if (f && !fstat(fileno(f), &st) && (data = malloc(st.st_size ? (size_t)st.st_size : 1)) &&
        fread(data, 1, (size_t)st.st_size, f) == (size_t)st.st_size) {
        LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
        fed++;
    } else {
        printf("FAIL %s: cannot be read\n", path);
        unread++;
    }
    free(data);
    if (f)
        fclose(f);
}

static void feed_all(const char *dir)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
        if (list[i]->d_name[0] != '.')
            feed(path);
        free(list[i]);
    }
    free(list);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (!stat(argv[i], &st) && S_ISDIR(st.st_mode))
            feed_all(argv[i]);
        else
            feed(argv[i]);
    }
    if (fed)
        printf("ok %d files replayed\n", fed);
    else
        printf("FAIL no corpus\n");
    return fed && !unread ? 0 : 1;
}
