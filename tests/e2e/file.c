#include "file.h"

#include "test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[80]; /* empty: not made yet */

static void directory_remove(void)
{
    DIR *list = opendir(directory);

    for (struct dirent *entry; list != NULL && (entry = readdir(list));) {
        unlink(file_path(entry->d_name));
    }
    if (list != NULL) {
        closedir(list);
    }
    rmdir(directory);
}

static void directory_make(void)
{
    const char *parent = getenv("TMPDIR");

    snprintf(directory, sizeof(directory), "%.50s/evproxy-e2e.XXXXXX",
             parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    assert_non_null(mkdtemp(directory));
    chmod(directory, 0755); /* the proxy may run as another user */
    atexit(directory_remove);
}

const char *file_path(const char *name)
{
    static char path[160];

    if (directory[0] == '\0') {
        directory_make();
    }
    snprintf(path, sizeof(path), "%s/%.60s", directory, name);
    return path;
}

const char *file_write(const char *name, const char *text)
{
    const char *path = file_path(name);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

void file_write_format(const char *name, const char *format, va_list arguments)
{
    char *text = NULL;

    assert_true(vasprintf(&text, format, arguments) >= 0);
    file_write(name, text);
    free(text);
}
