# make            build/evproxy, the release binary
# make run        evproxy in front of small upstreams, to try by hand
# make test       unit and end-to-end tests
# make asan tsan  the same suite under the sanitizers
# make check      format, warnings, floors, documents
# make install    DESTDIR and PREFIX as usual

PREFIX ?= /usr/local
CC ?= cc
CFLAGS ?= -O2 -g
VERSION := 0.1.0

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
            -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla \
            -Wimplicit-fallthrough -Wundef
BUILD ?= build
EXTRA ?=
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DEVPROXY_VERSION='"$(VERSION)"' \
             -iquote include $(WARNINGS) -pthread -fno-strict-aliasing \
             -MMD -MP $(CFLAGS) $(EXTRA)
ALL_LDFLAGS = -pthread $(LDFLAGS) $(EXTRA)

SOURCES := $(wildcard src/*/*.c)
OBJECTS := $(SOURCES:src/%.c=$(BUILD)/src/%.o)
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,\
          $(wildcard tests/unit/test_*.c))

.PHONY: all
all: $(BUILD)/evproxy

$(BUILD)/evproxy: $(OBJECTS) $(BUILD)/src/main.o
	$(CC) $(ALL_LDFLAGS) -o $@ $^

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Unit tests: each is linked with every room but main. A room under
# construction does not hold up the others: what is not built is not linked.
$(BUILD)/libevproxy.a: $(OBJECTS)
	rm -f $@
	ar rcs $@ $^

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/libevproxy.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka

.PHONY: unit
unit: $(UNIT)
	@set -e; for t in $(UNIT); do $$t; done

.PHONY: clean
clean:
	rm -rf build

-include $(OBJECTS:.o=.d) $(BUILD)/src/main.d $(UNIT:=.d)
.SECONDARY:
