# What makes the binary harder to attack, as far as the compiler knows it.
# HARDEN=0 takes all of it away, and so do sanitizers, which check more.
# tests/check_binary.sh reads the result.

HARDEN ?= $(if $(findstring -fsanitize,$(EXTRA) $(CFLAGS)),0,1)

# accepts FLAG...: them, if the compiler takes them together without a warning
accepts = $(if $(shell $(CC) $(1) -Werror -include stdio.h -S -x c \
            -o /dev/null /dev/null 2>&1 || echo no),,$(1))
each-accepted = $(foreach flag,$(1),$(call accepts,$(flag)))

ifneq ($(HARDEN),0)
# Level 3 also checks sizes that are known at run time only. Both levels need an
# optimising compiler.
FORTIFY := $(call accepts,$(CFLAGS) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
FORTIFY := $(or $(FORTIFY),\
  $(call accepts,$(CFLAGS) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))

HARDEN_CFLAGS := $(filter %_FORTIFY_SOURCE %_FORTIFY_SOURCE=3 \
                   %_FORTIFY_SOURCE=2,$(FORTIFY)) -fPIE \
  $(call each-accepted,-fstack-protector-strong -fstack-clash-protection \
    -fcf-protection=full -mbranch-protection=standard \
    -fstrict-flex-arrays=3)
HARDEN_LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack
endif
