# make            build/evproxy, the release binary
# make run        evproxy in front of small upstreams, to try by hand
# make test       unit, fault and end-to-end tests; also unit, fault, e2e, tls
# make asan tsan  the same suite under the sanitizers
# make fuzz       the parsers against any bytes, FUZZ_SECONDS=60 each; clang
# make interop    real programs through it: nginx, redis, ssh, iperf3, ...
# make scale      the recipes of conf/scale-out, in networks of its own; as root
# make systemd    the installed unit under a real systemd; as root
# make bench      evproxy and its peers side by side; bench-full, -200k, -1m
# make ktls       with TLS=1: the kernel's TLS, in a virtual machine
# make toolchains with each compiler that is installed: gcc, clang, musl, arm64
# make check      format, floors, circles, sizes, headers, documents, samples
# make install    DESTDIR and PREFIX as usual; make uninstall
# make deb        a Debian package, in build/deb; package-test tries it; as root
# make chroot-test  README's commands and the package on fresh roots, and booted
#                 in a virtual machine; as root
# make static     build/static/evproxy, which needs no library; musl-tools
#
# TLS=1, to any of them: with TLS, by OpenSSL 3 (libssl-dev), in build/tls.
# BUILD=dir builds elsewhere; V=1 shows the commands; WERROR=1 fails at warnings.
# HARDEN=0 builds without what conf/make/harden.mk adds; use another BUILD for it.
# The last line of a suite is "N passed, N failed".

PREFIX ?= /usr/local
CC ?= cc
CFLAGS ?= -O2 -g
VERSION := 0.1.0

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wwrite-strings -Wvla -Wimplicit-fallthrough \
            -Wundef $(if $(WERROR),-Werror)
override TLS := $(filter-out 0 no,$(TLS))
BUILD ?= $(if $(TLS),build/tls,build)
EXTRA ?=
# The daemon is linked as one unit (a tenth fewer instructions); its objects also
# hold ordinary code, which the test programs are linked with.
LTO ?= $(if $(findstring clang,$(CC))$(EXTRA),,-flto=auto -ffat-lto-objects)
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $@;)
include conf/make/harden.mk
RULES := Makefile $(wildcard conf/make/*.mk)
# Two builds are equal, wherever they were made.
SAME := -ffile-prefix-map=$(CURDIR)=.
CODE = $(CFLAGS) $(LTO) $(HARDEN_CFLAGS) $(SAME) $(EXTRA)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DEVPROXY_VERSION='"$(VERSION)"' \
             -DEVPROXY_TLS=$(if $(TLS),1,0) -iquote include $(WARNINGS) \
             -pthread -fno-strict-aliasing -MMD -MP $(CODE)
# musl-gcc does not find the kernel's headers, which it finds behind its own.
ifneq ($(findstring musl,$(CC)),)
ALL_CFLAGS += -idirafter /usr/include \
              -idirafter /usr/include/$(shell uname -m)-linux-gnu
endif
ALL_LDFLAGS = -pthread $(HARDEN_LDFLAGS) -Wl,--build-id $(LDFLAGS) $(EXTRA)
ALL_LIBS = $(if $(TLS),-lssl -lcrypto)

# objects-of A.c B.c: where they are built
objects-of = $(patsubst %.c,$(BUILD)/%.o,$(1))
# tests-of DIR, helpers-of DIR: its test programs; what each is linked with.
# Those that speak TLS themselves are built with TLS only.
SPEAK_TLS := tests/unit/test_tls% tests/e2e/test_tls% tests/e2e/tls_% tests/e2e/identity.c
tests-in = $(filter-out $(if $(TLS),,$(SPEAK_TLS)),$(wildcard tests/$(1)/*.c))
tests-of = $(patsubst %.c,$(BUILD)/%,$(filter tests/$(1)/test_%,\
             $(call tests-in,$(1))))
helpers-of = $(call objects-of,$(filter-out tests/$(1)/test_%,\
               $(call tests-in,$(1))))

# Without TLS tls_absent.c stands for the rooms that speak it.
TLS_ROOMS := $(wildcard src/net/tls*.c src/net/ktls.c)
SOURCES := $(filter-out $(if $(TLS),%/tls_absent.c,\
             $(filter-out %/tls_absent.c,$(TLS_ROOMS))),\
             $(wildcard src/*/*.c src/*/*/*.c))
OBJECTS := $(call objects-of,$(SOURCES))
UNIT := $(call tests-of,unit)
FAULT := $(call tests-of,fault)
E2E := $(call tests-of,e2e)

.PHONY: all
all: $(BUILD)/evproxy

$(BUILD)/evproxy: $(BUILD)/src/main.o $(OBJECTS)
	$(call say,LD)$(CC) $(CODE) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(BUILD)/%.o: %.c $(RULES)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# What it puts into the binary as it is.
$(BUILD)/src/control/assets.o: src/control/page/status.html
$(BUILD)/src/control/assets.o: LTO :=

# ---- tests ----------------------------------------------------------------
# Each test program is linked with every room but main, and with what is
# beside it in its folder and is no test itself.

$(BUILD)/libevproxy.a: $(OBJECTS)
	@rm -f $@
	$(call say,AR)ar rcs $@ $^

# FAULT_CALLS: those that the simulated kernel stands in for.
-include tests/fault/wrap.mk
$(FAULT): ALL_LDFLAGS += $(FAULT_CALLS:%=-Wl,--wrap=%) -fno-lto

$(UNIT): $(call helpers-of,unit)
$(FAULT): $(call helpers-of,fault)
$(E2E): $(call helpers-of,e2e)
$(UNIT) $(FAULT) $(E2E): %: %.o $(BUILD)/libevproxy.a
	$(call say,LD)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(ALL_LIBS)

# What tests preload into evproxy, to meet it at a certain moment.
PRELOADS := $(patsubst %.c,$(BUILD)/%.so,$(wildcard tests/e2e/preload/*.c))
$(PRELOADS): $(BUILD)/%.so: %.c src/base/record.c
	@mkdir -p $(@D)
	$(call say,LD)$(CC) -std=gnu11 -D_GNU_SOURCE -iquote include $(WARNINGS) -O2 \
	    -fPIC -shared -o $@ $^
$(E2E): | $(PRELOADS)

.PHONY: test unit fault e2e tls asan tsan
test: $(UNIT) $(FAULT) $(E2E) $(BUILD)/evproxy
	@EVPROXY=$(BUILD)/evproxy tests/run.sh $(UNIT) $(FAULT) $(E2E)
unit: $(UNIT)
	@tests/run.sh $(UNIT)
fault: $(FAULT)
	@tests/run.sh $(FAULT)
e2e: $(E2E) $(BUILD)/evproxy
	@EVPROXY=$(BUILD)/evproxy tests/run.sh $(E2E)
tls: $(foreach suite,unit e2e,$(filter $(BUILD)/tests/$(suite)/test_tls%,\
       $(UNIT) $(E2E))) $(BUILD)/evproxy
	@EVPROXY=$(BUILD)/evproxy tests/run.sh $(filter-out %/evproxy,$^)

# Under them no figures of time are tested: the programs may run side by side.
asan tsan: export EVPROXY_TEST_SLOW := 1
asan tsan: export TEST_JOBS ?= 3
asan:
	@+$(MAKE) --no-print-directory test BUILD=$(BUILD)/asan \
	    EXTRA='-fsanitize=address,undefined -fno-sanitize-recover=all \
	    -fno-omit-frame-pointer'
tsan:
	@+$(MAKE) --no-print-directory test BUILD=$(BUILD)/tsan \
	    EXTRA='-fsanitize=thread -fno-omit-frame-pointer'

# They are built with clang, which has libFuzzer and the sanitizers.
FUZZ := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_CC ?= clang
FUZZ_EXTRA := -fsanitize=address,undefined -fno-sanitize-recover=all \
              -fno-omit-frame-pointer
fuzz: export FUZZ_SECONDS ?= 60

.PHONY: fuzz fuzz-run
fuzz:
	@echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
	    $(FUZZ_CC) -fsanitize=fuzzer -x c - -o /dev/null 2>/dev/null || \
	    { echo 'make fuzz needs clang and libclang-rt-dev, or what FUZZ_CC' \
	        'names, with libFuzzer' >&2; exit 1; }
	@+$(MAKE) --no-print-directory fuzz-run BUILD=$(BUILD)/fuzz \
	    CC='$(FUZZ_CC)' EXTRA='-fsanitize=fuzzer-no-link $(FUZZ_EXTRA)'
fuzz-run: $(FUZZ)
	@tests/fuzz/run.sh $(abspath $^)
$(FUZZ): %: %.o $(BUILD)/libevproxy.a
	$(call say,LD)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(ALL_LIBS)

.PHONY: interop
interop: $(BUILD)/evproxy $(BUILD)/bench/netload \
         $(BUILD)/tests/e2e/test_upgrade_versions
	@EVPROXY=$(BUILD)/evproxy NETLOAD=$(BUILD)/bench/netload \
	    tests/interop/run.sh

.PHONY: scale
scale: $(BUILD)/evproxy
	@EVPROXY=$(BUILD)/evproxy SCHEMAS=$(abspath build/schemas) \
	    tests/scale/run.sh

.PHONY: systemd
systemd: $(BUILD)/evproxy
	@rm -rf $(BUILD)/installed
	@+$(MAKE) --no-print-directory -s install PREFIX=/usr/local \
	    DESTDIR=$(BUILD)/installed
	@INSTALLED=$(BUILD)/installed tests/systemd/run.sh

# ---- figures --------------------------------------------------------------
# Quick, in less than 5 minutes; all workloads, five rounds; N connections in a
# virtual machine. BENCH_OUT takes the results and the charts, BENCH_ARGS is for
# bench.py, and see vm/bench-200k.sh for the last one's.

BENCH_OUT ?= $(BUILD)/bench
BENCH_ARGS ?=
BENCH_TOOLS := $(BUILD)/bench/netload $(BUILD)/bench/echo_load \
               $(BUILD)/bench/floor $(BUILD)/bench/check_floor
ifneq ($(TLS),)
BENCH_TOOLS += $(BUILD)/bench/tls_load
endif
ifneq ($(shell command -v go),)
BENCH_TOOLS += $(BUILD)/bench/gostdnet
endif

$(BUILD)/bench/netload: $(call objects-of,tests/bench/netload.c \
                          $(wildcard tests/bench/load*.c))
$(BUILD)/bench/echo_load: $(call objects-of,tests/bench/histogram.c \
                            $(wildcard tests/bench/echo_*.c))
$(BUILD)/bench/echo_load: ALL_LDFLAGS += -static
$(BUILD)/bench/floor: $(call objects-of,tests/bench/floor.c)
$(BUILD)/bench/check_floor: $(call objects-of,tests/bench/check_floor.c)
$(BUILD)/bench/tls_load: $(call objects-of,tests/bench/load.c \
                           $(wildcard tests/bench/tls_*.c))
$(BUILD)/bench/tls_load: LOAD_LIBS = $(ALL_LIBS)
$(BUILD)/bench/netload $(BUILD)/bench/echo_load $(BUILD)/bench/floor \
    $(BUILD)/bench/check_floor $(BUILD)/bench/tls_load:
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LOAD_LIBS)
$(BUILD)/bench/gostdnet: tests/bench/peers/gostdnet/main.go
	@mkdir -p $(@D)
	$(call say,GO)cd $(<D) && CGO_ENABLED=0 go build -buildvcs=false \
	    -o $(abspath $@) .

.PHONY: bench bench-full bench-200k bench-1m ktls
bench bench-full: $(BUILD)/evproxy $(BENCH_TOOLS)
	@BENCH_COMMAND='make $@$(if $(BENCH_ARGS), BENCH_ARGS="$(BENCH_ARGS)")' \
	    tests/bench/bench.py --out $(BENCH_OUT) \
	    --path $(BUILD) --path $(BUILD)/bench \
	    $(if $(filter bench-full,$@),--full -r 5 -s 6 --noise 0.1) \
	    $(BENCH_ARGS)
bench-200k bench-1m: $(BUILD)/evproxy $(BENCH_TOOLS)
	@$(and $(filter %-1m,$@),N=1000000 MEMORY=19000 GAPS='1499 1500' HOLD=1800 \
	    LIMIT=14400) \
	    tests/bench/vm/bench-200k.sh $(BUILD)/evproxy $(BUILD)/bench \
	    $(BENCH_OUT)
ktls: $(BUILD)/evproxy $(BENCH_TOOLS) $(filter %/test_tls %/test_tls_ends,$(E2E))
	@tests/bench/vm/ktls.sh $(BUILD)/evproxy $(BUILD)/bench $(BENCH_OUT) \
	    $(filter %/test_tls %/test_tls_ends,$^)

# ---- checks ---------------------------------------------------------------

HEADERS := $(wildcard include/*/*.h include/*/*/*.h)
OURS := $(wildcard src/*.c src/*/*.c src/*/*/*.c tests/*.c tests/*/*.c \
          tests/*/*/*.c tests/*.h tests/*/*.h) $(HEADERS)

.PHONY: check check-format check-floors check-shape check-headers check-log \
        check-documents check-samples check-unit check-circles check-page \
        check-binary check-same check-tree
check: check-format check-floors check-shape check-headers check-log \
       check-documents check-samples check-unit check-circles check-page \
       check-binary check-same check-tree

check-format:
	$(call say,)clang-format --dry-run -Werror $(OURS)
check-floors:
	$(call say,)tests/check_floors.sh
check-circles:
	$(call say,)tests/check_circles.sh
check-shape:
	$(call say,)tests/check_shape.sh $(OURS)
check-tree:
	$(call say,)tests/check_tree.sh $(BUILD)
check-headers: $(HEADERS:%.h=$(BUILD)/%.alone)
$(BUILD)/%.alone: %.h $(HEADERS)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -Werror \
	    -fsyntax-only -x c $<
	@touch $@
check-log:
	$(call say,)tests/check_log.sh
	@tests/check_causes.sh
	@tests/check_metrics.sh
check-samples: $(BUILD)/evproxy
	$(call say,)tests/check_samples.sh $(BUILD)/evproxy
check-documents: $(BUILD)/tests/check_docs
	$(call say,)tests/check_manuals.sh
	@tests/check_links.sh
	@tests/check_migrate.sh
	@$< conf/evproxy.ini conf/evproxy.ini.5 README.md
$(BUILD)/tests/check_docs: %: %.o $(BUILD)/libevproxy.a
	$(call say,LD)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)
check-unit:
	$(call say,)tests/check_service.sh
check-page:
	$(call say,)tests/check_page.sh
check-binary: $(BUILD)/evproxy
	$(call say,)$(if $(filter 0,$(HARDEN)),:,\
	    tests/check_binary.sh $< $(OBJECTS))
check-same: $(BUILD)/evproxy
	+$(call say,)MAKE='$(MAKE)' tests/check_same.sh $<

.PHONY: toolchains
toolchains:
	@+MAKE='$(MAKE) --no-print-directory' tests/toolchains.sh $(BUILD)/toolchains

# ---- to try it, to install it ---------------------------------------------

.PHONY: run
run: $(BUILD)/evproxy $(BUILD)/tests/demo/upstream
	@tests/demo/run.sh $^

$(BUILD)/tests/demo/upstream: $(BUILD)/tests/demo/upstream.o
	$(call say,LD)$(CC) $(ALL_LDFLAGS) -o $@ $^

include conf/make/install.mk

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(patsubst %.c,$(BUILD)/%.d,$(filter %.c,$(OURS)))
.SECONDARY:
