/* Files: mapped reading, whole reading, and writing that appears whole or not at all. */
#ifndef SLM_BASE_FILES_H
#define SLM_BASE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* A file mapped read-only. */
struct slm_map {
    const uint8_t *data; /* NULL when size is 0 */
    size_t size;
};
/* Errors: SLM_E_IO (names path and reason; a folder is refused), SLM_E_NOTFOUND. */
int slm_map_open(struct slm_map *m, const char *path, slm_err *err);
void slm_map_close(struct slm_map *m);
/* n bytes at p, which are a map's, will not be read soon: the pages that lie inside are given
 * back (reading them again brings them back from the file). */
void slm_map_forget(const void *p, size_t n);

/* A file of `size` bytes, made or written over, mapped for reading and writing: memory that may
 * live on disk. What is in it means nothing once it is closed, which removes it. */
struct slm_swap {
    void *data;
    size_t size;
    char *path;
    slm_runtime *rt;
};
int slm_swap_open(struct slm_swap *s, slm_runtime *rt, const char *path, size_t size,
                  slm_err *err);
void slm_swap_close(struct slm_swap *s); /* zeroed is fine */

/* Reads the whole file into buf (appended), refusing more than buf->max. */
int slm_file_slurp(struct slm_buf *buf, const char *path, slm_err *err);

bool slm_path_is_dir(const char *path);
bool slm_path_is_file(const char *path);
/* Are both there, and the same file (by whatever names)? */
bool slm_path_same(const char *a, const char *b);
/* dir + "/" + name into buf (reset first); name must be a plain file name from our own code. */
const char *slm_path_join(struct slm_buf *buf, const char *dir, const char *name);
/* Is name, which came from a file, safe as a file name inside a folder: not empty, no '/',
 * '\\', NUL or control byte, not "." or ".."? */
bool slm_path_is_plain(const char *name);
/* The part behind the last '/'. */
const char *slm_path_base(const char *path);
bool slm_str_ends(const char *s, const char *end);

/* Bytes that an ordinary user may still write in the folder of `path` (which need not be there
 * yet); UINT64_MAX where the system does not say. */
uint64_t slm_path_free_bytes(const char *path);

/* Output: written beside the target under a temporary name, renamed by commit; close without
 * commit removes it. */
struct slm_out {
    slm_runtime *rt;
    char *path, *tmp;
    int fd;
    uint64_t size;
    uint8_t *buf;
    size_t used;
};
int slm_out_open(struct slm_out *o, slm_runtime *rt, const char *path, slm_err *err);
int slm_out_write(struct slm_out *o, const void *p, size_t n, slm_err *err);
/* Overwrites n bytes at offset, which must have been written before. */
int slm_out_patch(struct slm_out *o, uint64_t offset, const void *p, size_t n, slm_err *err);
int slm_out_commit(struct slm_out *o, slm_err *err);
void slm_out_close(struct slm_out *o); /* zeroed struct is fine */

/* A folder made whole: a temporary sibling that is renamed at the end. */
int slm_dir_make(const char *path, slm_err *err);
int slm_path_rename(const char *from, const char *to, slm_err *err);
/* Removes a folder of plain files (one level). */
void slm_dir_remove(const char *path);

#endif
