/* Folders are walked by callback, so that no list has to be held or bounded. */
#include "base/dir.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int slm_dir_each(const char *path, slm_dir_fn *fn, void *arg, slm_err *err)
{
    DIR *d = opendir(path);
    if (!d)
        return slm_fail(err, errno == ENOENT ? SLM_E_NOTFOUND : SLM_E_IO,
                        "%s: cannot read the folder: %s", path, strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, 0) || S_ISDIR(st.st_mode))
            continue;
        if (!fn(arg, e->d_name))
            break;
    }
    closedir(d);
    return 0;
}
