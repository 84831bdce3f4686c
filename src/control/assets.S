/* The files of include/control/assets.h, as they are; paths are from the root
   of the repository, where make runs. */
    .section .rodata

    .globl status_page
    .type status_page, %object
    .balign 16
status_page:
    .incbin "src/control/page/status.html"
1:
    .size status_page, 1b - status_page

    .globl status_page_bytes
    .type status_page_bytes, %object
    .balign 4
status_page_bytes:
    .long 1b - status_page
    .size status_page_bytes, 4

    /* The stack need not be executable. */
    .section .note.GNU-stack, "", %progbits
