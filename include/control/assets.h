/*
 * assets: files of the repository that the build puts into the binary
 * (src/control/assets.c). They are constant, and any thread may read them.
 */
#ifndef EVPROXY_CONTROL_ASSETS_H
#define EVPROXY_CONTROL_ASSETS_H

#include <stdint.h>

/* src/control/page/status.html, without a final zero */
extern const unsigned char status_page[];
extern const uint32_t status_page_bytes;

#endif
