/* The files, as they are; paths are from the root of the repository, where make
 * runs. Not compiled for link-time optimisation, which does not see the symbols
 * of assembly. */
#include "control/assets.h"

__asm__(".pushsection .rodata\n"
        ".globl status_page\n"
        ".type status_page, %object\n"
        ".balign 16\n"
        "status_page:\n"
        ".incbin \"src/control/page/status.html\"\n"
        "1:\n"
        ".size status_page, 1b - status_page\n"
        ".globl status_page_bytes\n"
        ".type status_page_bytes, %object\n"
        ".balign 4\n"
        "status_page_bytes:\n"
        ".long 1b - status_page\n"
        ".size status_page_bytes, 4\n"
        ".popsection\n");
