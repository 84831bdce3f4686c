#include "tls_alpn.h"

#include <stdio.h>
#include <string.h>

unsigned tls_alpn_write(unsigned char *wire, const char *text)
{
    size_t size = 0;

    while (text[0] != '\0') {
        size_t count = strcspn(text, ",");

        if (size + 1 + count > TLS_ALPN_MAX || count > 255) {
            return 0;
        }
        wire[size] = (unsigned char)count;
        memcpy(wire + size + 1, text, count);
        size += 1 + count;
        text += count + (text[count] == ',');
    }
    return (unsigned)size;
}

void tls_alpn_read(char *text, const unsigned char *wire, unsigned size)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < size && used + wire[i] + 2 < TLS_ALPN_MAX;
         i += 1U + wire[i]) {
        used += (size_t)snprintf(text + used, TLS_ALPN_MAX - used, "%s%.*s",
                                 used > 0 ? "," : "", wire[i],
                                 (const char *)wire + i + 1);
    }
}
