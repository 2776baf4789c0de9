# Couplet. `make help` lists the targets; each is described by the comment that starts with two signs before it.

VERSION = 0.1.0

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL = /bin/sh

# Targets that may run before anything is installed or configured.
UNCONFIGURED = help run test lint docs fuzz clean format
GOALS = $(or $(MAKECMDGOALS),all)
ifneq ($(filter-out $(UNCONFIGURED),$(GOALS)),)
include build/config.mk
endif

build/config.mk: configure
	@eval ./configure $(CONFIGURE_ARGS)

# ---- what is compiled ----

SOURCES := $(filter-out $(wildcard core/*/fuzz_*.c core/lua/so_*.c core/lua/test*.c core/store/sqlite*.c) core/net/dns.c \
	core/net/fetch.c core/net/address.c core/net/websocket.c core/net/websocket_frame.c,\
	$(wildcard core/*/*.c))
TEST_SOURCES := $(filter-out core/main/main.c,$(SOURCES)) $(wildcard core/lua/test*.c)
FUZZERS := $(patsubst core/%.c,build/fuzz/%,$(filter-out $(if $(filter yes,$(WSLAY)),,%/fuzz_websocket.c),\
	$(wildcard core/*/fuzz_*.c)))
# An optional shared object NAME.so is core/lua/so_NAME.c and what it binds. Lua finds it by package.cpath.
SHARED_OBJECTS := $(if $(filter yes,$(SQLITE)),sqlite3) $(if $(filter yes,$(UNBOUND)),unbound) \
	$(if $(filter yes,$(CURL)),curl) $(if $(filter yes,$(DBUS)),dbus) $(if $(filter yes,$(WSLAY)),websocket)
# It brings its own copy of the base it needs: under the plain interpreter (specs) there is no program to take it from.
shared_base = $(addprefix core/base/,error.c hash.c mem.c random.c utf8.c)
sqlite3_SOURCES = core/store/sqlite.c core/store/sqlite_log.c core/lua/so_sqlite.c core/base/clock.c $(shared_base)
sqlite3_LIBS = $(SQLITE_LIBS)
unbound_SOURCES = core/net/dns.c core/lua/so_unbound.c $(shared_base)
unbound_LIBS = $(UNBOUND_LIBS)
curl_SOURCES = core/net/fetch.c core/net/address.c core/lua/so_curl.c core/base/buf.c $(shared_base)
curl_LIBS = $(CURL_LIBS)
dbus_SOURCES = core/lua/so_dbus.c $(shared_base)
dbus_LIBS = $(DBUS_LIBS)
websocket_SOURCES = core/net/websocket.c core/net/websocket_frame.c core/lua/so_websocket.c core/base/buf.c $(shared_base)
websocket_LIBS = $(WSLAY_LIBS)

WARNINGS = -Wall -Wextra -Wconversion -Wshadow -Wformat=2 -Wstrict-prototypes -Werror=format-security \
	-Werror=implicit-function-declaration
ifneq ($(filter true 1,$(CI) $(WERROR)),)
WARNINGS += -Werror
endif

FLAGS = -std=gnu11 -D_GNU_SOURCE= -Icore $(LIB_CFLAGS) $(SQLITE_CFLAGS) $(UNBOUND_CFLAGS) $(CURL_CFLAGS) $(DBUS_CFLAGS) \
	$(WSLAY_CFLAGS) $(WARNINGS) -MMD -MP
PATHS = -DCOUPLET_VERSION='"$(VERSION)"' -DCOUPLET_PREFIX='"$(PREFIX)"' -DCOUPLET_LIBDIR='"$(PREFIX)/lib/couplet"' \
	-DCOUPLET_SYSCONFDIR='"$(SYSCONFDIR)/couplet"' -DCOUPLET_DATADIR='"$(LOCALSTATEDIR)/lib/couplet"'
# Lua's own C modules take the interpreter's symbols from the program, hence -E.
PROGRAM_LINK = -pie -Wl,-E $(LINK_HARDENING) $(LDFLAGS)

ifeq ($(V),)
say = @printf '  %-5s %s\n' $(1) $(2);
endif

## build build/couplet, build/coupletctl and the optional parts (the default)
all: build/couplet build/coupletctl $(SHARED_OBJECTS:%=build/lib/couplet/%.so)

OBJECTS = $(SOURCES:core/%.c=build/obj/%.o)
build/couplet: $(OBJECTS)
	$(call say,LINK,$@) $(CC) $(PROGRAM_LINK) -o $@ $(OBJECTS) $(PROGRAM_LIBEV) $(LIBS) $(LUA_LIBS)

build/coupletctl: build/couplet
	@ln -sf couplet $@

build/obj/%.o: core/%.c build/config.mk
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(FLAGS) $(OPTIMIZE) $(HARDENING) -fPIE $(PATHS) $(CFLAGS) -c -o $@ $<

build/obj/pic/%.o: core/%.c build/config.mk
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(FLAGS) $(OPTIMIZE) $(HARDENING) -fPIC $(CFLAGS) -c -o $@ $<

.SECONDEXPANSION:
$(SHARED_OBJECTS:%=build/lib/couplet/%.so): build/lib/couplet/%.so: $$(patsubst core/$$(percent).c,build/obj/pic/$$(percent).o,$$($$*_SOURCES))
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(CC) -shared $(LINK_HARDENING) $(LDFLAGS) -o $@ $^ $($*_LIBS)
percent = %

# ---- builds for tests: the same sources in other dress ----

# variant_part NAME,PART,LINK: the optional shared object PART of that variant.
define variant_part
build/$(1)/lib/couplet/$(2).so: $$($(2)_SOURCES:core/%.c=build/$(1)/obj/%.o)
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@) $$(CC) -shared $(3) -o $$@ $$^ $$($(2)_LIBS)
endef

# variant NAME,FLAGS,LINK: build/NAME/couplet, build/NAME/couplet_core.so (all of core for the plain interpreter, with T)
# and the optional shared objects.
define variant
build/$(1)/obj/%.o: core/%.c build/config.mk
	@mkdir -p $$(@D)
	$$(call say,CC,"$$< ($(1))") $$(CC) $$(FLAGS) $(2) -fPIC -DCOUPLET_TEST $$(PATHS) $$(CFLAGS) -c -o $$@ $$<

build/$(1)/couplet_core.so: $$(TEST_SOURCES:core/%.c=build/$(1)/obj/%.o)
	$$(call say,LINK,$$@) $$(CC) -shared $(3) -Wl,-z,lazy -o $$@ $$^ $$(LIBEV) $$(LIBS)

build/$(1)/couplet: $$(SOURCES:core/%.c=build/$(1)/obj/%.o)
	$$(call say,LINK,$$@) $$(CC) $(3) -Wl,-E -o $$@ $$^ $$(PROGRAM_LIBEV) $$(LIBS) $$(LUA_LIBS)
	@ln -sf couplet build/$(1)/coupletctl
	@ln -sfn ../modules build/modules # where the program looks, as seen from build/$(1)

$$(foreach so,$$(SHARED_OBJECTS),$$(eval $$(call variant_part,$(1),$$(so),$(3))))

build/$(1)/process.so: spec/support/process.c build/config.mk
	@mkdir -p $$(@D)
	$$(call say,CC,$$<) $$(CC) $$(FLAGS) -O1 -g -fPIC -shared -o $$@ $$<

$(1)_parts = build/$(1)/couplet_core.so build/$(1)/process.so $$(SHARED_OBJECTS:%=build/$(1)/lib/couplet/%.so)
endef
$(eval $(call variant,test,-O1 -g,$(LDFLAGS)))
$(eval $(call variant,asan,$(SANITIZE),-fsanitize=address -fsanitize=undefined))
$(eval $(call variant,cover,-O0 -g --coverage,--coverage))

# ---- what a developer runs ----

## install what is missing, build, and serve localhost in the foreground (a newcomer's first command)
run:
	@tools/need build
	@$(MAKE) --no-print-directory all
	@tools/run

## install the test tools, then run every spec, every e2e scenario (straight and trickled) and every interop script
test:
	@tools/need build test dns interop
	@$(MAKE) --no-print-directory all test-parts npm conversejs
	@tools/spec unit e2e trickled interop

test-parts: $(test_parts)
.PHONY: test-parts

## only the specs of core, util and modules (make unit SPEC=spec/core/xml for a part)
unit: all $(test_parts)
	@tools/spec $(or $(SPEC),unit)

## only the server as a process with our own clients, straight and trickled
e2e: all $(test_parts)
	@tools/spec $(or $(SPEC),e2e trickled)

## only the outside clients: slixmpp, aioxmpp, profanity, go-sendxmpp, @xmpp/client, a browser
interop: all $(test_parts)
	@tools/need dns interop
	@$(MAKE) --no-print-directory npm conversejs
	@tools/spec interop

# Other people's JavaScript, for spec/interop, at the versions of the lock file. Once, before the specs run side by side.
npm: build/npm/.installed
build/npm/.installed: spec/interop/package.json spec/interop/package-lock.json
	@mkdir -p $(@D)
	@cp $^ $(@D)
	@echo "Installing from npm: what spec/interop/package.json names"
	@cd $(@D) && "$(CURDIR)/tools/again" npm ci --no-audit --no-fund --loglevel=error
	@touch $@

## fetch Converse.js, the web client that mod_conversejs serves, from npm (make install installs it then)
conversejs: build/conversejs/VERSION
build/conversejs/VERSION: tools/conversejs
	@tools/conversejs $(@D)
	@touch $@

## all specs and scenarios with the address and undefined-behaviour sanitizers
asan: build/asan/couplet $(asan_parts)
	@COUPLET_BUILD=build/asan tools/spec unit e2e trickled

## fuzz each core/*/fuzz_*.c for FUZZ_SECONDS (60), starting from spec/fuzz/NAME/
fuzz:
	@tools/need build fuzz
	@$(MAKE) --no-print-directory fuzz-configured

fuzz-configured: $(FUZZERS)
	@tools/fuzz $(FUZZERS)
.PHONY: fuzz-configured

## benchmarks; one over its budget fails
bench: all $(test_parts)
	@tools/need bench
	@tools/bench $(BENCH)

## check the rooms, headers, banned functions, Lua style and module headers; the ten longest files
lint:
	@tools/need build lua test
	@$(MAKE) --no-print-directory lint-configured

lint-configured: export LINT_FLAGS = $(filter-out -MMD -MP,$(FLAGS)) $(PATHS)
lint-configured:
	@CC="$(CC)" tools/lint
.PHONY: lint-configured

## format the lines of C that you changed since the last commit (the rest is laid out by hand in places)
format:
	@tools/need format
	@git clang-format --force HEAD -- core spec/support spec/bench

## lines of core that specs and scenarios reach, per file
cover: build/cover/couplet $(cover_parts)
	@find build/cover -name '*.gcda' -delete
	@COUPLET_BUILD=build/cover tools/spec unit e2e
	@tools/cover

## write docs/modules/*.md from the module headers; fails when an option read in the code is not documented
docs:
	@tools/need test
	@lua5.4 tools/docs.lua docs/modules

## install below PREFIX (honours DESTDIR)
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/couplet $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -d $(DESTDIR)$(SYSCONFDIR)/couplet/certs
	install -d -m 0700 $(DESTDIR)$(LOCALSTATEDIR)/lib/couplet
	install -m 0755 build/couplet $(DESTDIR)$(PREFIX)/bin/couplet
	ln -sf couplet $(DESTDIR)$(PREFIX)/bin/coupletctl
	rm -rf $(DESTDIR)$(PREFIX)/lib/couplet/modules
	cp -R modules $(DESTDIR)$(PREFIX)/lib/couplet/modules
	if [ -d build/conversejs ]; then \
		rm -rf $(DESTDIR)$(PREFIX)/lib/couplet/conversejs; \
		cp -R build/conversejs $(DESTDIR)$(PREFIX)/lib/couplet/conversejs; \
	fi
	for so in $(SHARED_OBJECTS); do install -m 0644 build/lib/couplet/$$so.so $(DESTDIR)$(PREFIX)/lib/couplet/; done
	sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' tools/couplet.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/couplet.service
	install -d $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/share/doc
	echo 'u couplet - "Couplet, an XMPP server" $(LOCALSTATEDIR)/lib/couplet' \
		>$(DESTDIR)$(PREFIX)/lib/sysusers.d/couplet.conf
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/couplet
	cp -R docs $(DESTDIR)$(PREFIX)/share/doc/couplet
	sed -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' -e 's|@LOCALSTATEDIR@|$(LOCALSTATEDIR)|g' tools/couplet.cfg.lua \
		>$(DESTDIR)$(SYSCONFDIR)/couplet/couplet.cfg.lua.example
	[ -e $(DESTDIR)$(SYSCONFDIR)/couplet/couplet.cfg.lua ] || \
		cp $(DESTDIR)$(SYSCONFDIR)/couplet/couplet.cfg.lua.example $(DESTDIR)$(SYSCONFDIR)/couplet/couplet.cfg.lua

## remove build/ (data/ stays)
clean:
	rm -rf build

## this text
help:
	@echo "make TARGET, where TARGET is one of"
	@awk '/^## / { text = substr($$0, 4); next } \
		text != "" && /^[a-z0-9-]+:/ { split($$1, t, ":"); printf "  %-10s %s\n", t[1], text } { text = "" }' Makefile
	@echo "V=1 shows the commands, WERROR=1 makes warnings errors."

.PHONY: all run test unit e2e interop npm conversejs asan fuzz bench lint format cover docs install clean help

# ---- fuzzing: all of core as an archive, so that a target links only what it touches ----

FUZZ_FLAGS = -std=gnu11 -D_GNU_SOURCE= -Icore $(LIB_CFLAGS) $(PATHS) -DCOUPLET_TEST -O1 -g -fno-omit-frame-pointer -MMD -MP
build/fuzz/obj/%.o: core/%.c build/config.mk
	@mkdir -p $(@D)
	$(call say,CC,"$< (fuzz)") clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

FUZZ_OBJECTS = $(patsubst core/%.c,build/fuzz/obj/%.o,$(filter-out core/main/main.c,$(SOURCES)))
build/fuzz/core.a: $(FUZZ_OBJECTS)
	@rm -f $@
	$(call say,AR,$@) ar rcs $@ $^

build/fuzz/%: build/fuzz/obj/%.o build/fuzz/core.a
	@mkdir -p $(@D)
	$(call say,LINK,$@) clang -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $(filter %.o,$^) \
		build/fuzz/core.a $(LIBEV) $(LIBS) $(LUA_LIBS) $(FUZZ_LIBS)

build/fuzz/net/fuzz_websocket: build/fuzz/obj/net/websocket.o build/fuzz/obj/net/websocket_frame.o
build/fuzz/net/fuzz_websocket: FUZZ_LIBS = $(WSLAY_LIBS)

.SECONDARY:
-include $(shell find build -name '*.d' 2>/dev/null)
