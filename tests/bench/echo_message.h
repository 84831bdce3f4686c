/*
 * echo_message: the bytes of the client's messages, and random numbers.
 *
 * Each word of 8 bytes depends only on the connection, the number of the
 * message and the place of the word. So any part of a message can be made
 * without the rest. For one thread.
 */
#ifndef EVPROXY_BENCH_ECHO_MESSAGE_H
#define EVPROXY_BENCH_ECHO_MESSAGE_H

#include <stdint.h>

/* Sets the size of all messages; ends the program if no memory is left. */
void echo_message_set_up(uint32_t bytes);

/* The bytes from offset to the end of a message; valid until the next call. */
const unsigned char *echo_message(uint32_t connection, uint32_t number,
                                  uint32_t offset);

/* From 0 to max. The sequence is the same in every run. */
uint64_t echo_random(uint64_t max);

#endif
