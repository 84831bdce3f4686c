/*
 * rules: makes what a draft's services say of their clients ready to be asked:
 * allow and deny (config/access.h) and proxy_protocol_from. Reads the files of
 * networks that rules name: one network a line, comments from #.
 */
#ifndef EVPROXY_CONFIG_RULES_H
#define EVPROXY_CONFIG_RULES_H

#include "config/draft.h"

#define RULES_FILE_MIB 16 /* a larger file is an error */

/* After the last event of the draft. An error in a file is one of the rule's
 * line: "FILE:LINE: message". */
void rules_build(struct draft *draft);

#endif
