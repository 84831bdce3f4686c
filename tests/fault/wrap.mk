# The calls that the simulated kernel stands in for: each is linked with --wrap.
FAULT_CALLS := recv send read write ioctl socket bind listen connect accept4 \
               getsockname getpeername getsockopt setsockopt shutdown close \
               epoll_create1 epoll_ctl epoll_wait eventfd clock_gettime \
               getrandom pipe2 fcntl splice recvmmsg sendmmsg sendmsg \
               recvmsg socketpair poll stat lstat unlink \
               fopen mmap
# What an upgrade does to processes and to threads: see succession.h.
FAULT_CALLS += spawn spawn_kill spawn_reap worker_announce worker_freeze worker_thaw \
               worker_depart worker_take worker_handover health_streak \
               upgrade_write_sessions ledger_write health_restore_streak \
               http_server_leave listeners_disown
# What the compiler makes of them where it checks sizes.
FAULT_CALLS += __recv_chk
# Those that can be made to fail, and what the tests read.
FAULT_CALLS += malloc calloc realloc aligned_alloc strdup log_write
