# make install, uninstall, deb and static.

# What is installed: mode, file, place under PREFIX.
INSTALLED := 755,$(BUILD)/evproxy,sbin/evproxy \
  644,conf/evproxy.8,share/man/man8/evproxy.8 \
  644,conf/evproxy.ini.5,share/man/man5/evproxy.ini.5 \
  644,conf/evproxy-metrics.7,share/man/man7/evproxy-metrics.7 \
  644,conf/evproxy-migrate.7,share/man/man7/evproxy-migrate.7 \
  644,conf/evproxy-scale.7,share/man/man7/evproxy-scale.7 \
  644,conf/prometheus-alerts.yml,share/evproxy/prometheus-alerts.yml \
  644,conf/grafana-dashboard.json,share/evproxy/grafana-dashboard.json \
  644,conf/evproxy.bash,share/bash-completion/completions/evproxy \
  644,conf/evproxy.vim,share/vim/vimfiles/syntax/evproxy.vim \
  644,conf/evproxy-detect.vim,share/vim/vimfiles/ftdetect/evproxy.vim \
  $(foreach file,$(wildcard conf/example-*.ini) conf/evproxy.socket,\
    644,$(file),share/doc/evproxy/examples/$(notdir $(file))) \
  $(foreach file,$(wildcard conf/scale-out/*/*),\
    $(if $(filter %.sh %.nft,$(file)),755,644),$(file),$(file:conf/%=share/doc/evproxy/examples/%)) \
  $(foreach file,$(wildcard conf/examples/migrations/*),\
    644,$(file),share/doc/evproxy/examples/migrations/$(notdir $(file)))
UNIT_FILE := $(DESTDIR)$(PREFIX)/lib/systemd/system/evproxy.service
# The configuration that is installed where there is none.
INITIAL ?= conf/evproxy.ini

comma := ,
fields = $(subst $(comma), ,$(1))
place = $(DESTDIR)$(PREFIX)/$(word 3,$(call fields,$(1)))
define install-one
install -D -m $(word 1,$(call fields,$(1))) $(word 2,$(call fields,$(1))) $(place)

endef

.PHONY: install uninstall deb package-test chroot-test static
install: $(BUILD)/evproxy
	$(foreach one,$(INSTALLED),$(call install-one,$(one)))
	install -d $(dir $(UNIT_FILE))
	sed 's|/usr/local/|$(PREFIX)/|' conf/evproxy.service >$(UNIT_FILE)
	test -e $(DESTDIR)/etc/evproxy/evproxy.ini || install -D -m 644 \
	    $(INITIAL) $(DESTDIR)/etc/evproxy/evproxy.ini

# The configuration stays.
uninstall:
	rm -f $(foreach one,$(INSTALLED),$(call place,$(one))) $(UNIT_FILE)
	rm -rf $(DESTDIR)$(PREFIX)/share/evproxy \
	    $(DESTDIR)$(PREFIX)/share/doc/evproxy

# One package, with TLS: its only further need, libssl3, is on every Debian.
deb:
	@+$(MAKE) --no-print-directory TLS=1 BUILD=$(BUILD)/deb/build \
	    PREFIX=/usr DESTDIR= $(BUILD)/deb/build/evproxy
	@+MAKE='$(MAKE) --no-print-directory' conf/debian/build.sh \
	    $(VERSION) $(BUILD)/deb
package-test: deb static
	@tests/package/run.sh $(BUILD)/deb $(BUILD)/static/evproxy

# What a reader does first, on fresh roots of these, and on a machine that has
# booted one.
SUITES ?= bookworm trixie
chroot-test:
	@tests/package/chroot.sh $(SUITES)

# Without a library, for a container or a chroot. With musl, whose lookup of
# names needs no plug-ins, so that names work; without TLS, as Debian has no
# OpenSSL for musl. It is not position-independent, which musl-gcc cannot join with
# -static.
STATIC_CC ?= musl-gcc
static:
	@+$(MAKE) --no-print-directory TLS= CC=$(STATIC_CC) BUILD=$(BUILD)/static \
	    LDFLAGS='-static -no-pie' $(BUILD)/static/evproxy
