# SPDX-License-Identifier: MIT
# `make` builds, `make check` passes every test, `make demo` shows what it is for. `make help` lists the rest.

VERSION = 0.1.0
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib$(if $(filter /usr,$(PREFIX)),$(addprefix /,$(shell $(CC) -print-multiarch)))
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/libppshim
DESTDIR ?=
CFLAGS ?= -O2 -g
B := build
O := $(B)
NAME := libppshim
MUSL_CC ?= musl-gcc
OBJCOPY ?= objcopy
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wpointer-arith
# The prefix map keeps the directory it was built in out of what is built: the same source, the same bytes.
BASE := -std=gnu11 -D_GNU_SOURCE -Iinclude -DPPS_VERSION='"$(VERSION)"' -ffile-prefix-map=$(CURDIR)=.
HARDEN := -fstack-protector-strong -fstack-clash-protection -fno-strict-aliasing \
	-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 $(if $(findstring x86_64,$(shell $(CC) -dumpmachine)),-fcf-protection)
# The program interpreter of this compiler's libc: lets `./libppshim.so` print its version.
INTERP := $(shell $(CC) -\#\#\# -x c /dev/null 2>&1 | sed -n 's/.*-dynamic-linker"\? "\?\([^ "]*\).*/\1/p')
SHIM_CFLAGS := $(BASE) $(WARN) $(HARDEN) -fPIC -fvisibility=hidden -ftls-model=initial-exec \
	-DPPS_INTERP='"$(INTERP)"'
PRELOAD_LDFLAGS := -shared -Wl,-z,relro,-z,now -Wl,-z,nodelete,-z,noexecstack -Wl,--build-id -Wl,--as-needed
SHIM_LDFLAGS := $(PRELOAD_LDFLAGS) -Wl,-soname,$(NAME).so -Wl,--version-script=shim/libppshim.map \
	-Wl,-e,pps_print_version
# So that the library loads in a program of the other libc too and can say what is wrong there (libc.h): as weak symbols
# what one of them lacks, and for musl the other's file name, which musl's linker takes for itself like any libc.*.
WEAKEN := --wildcard $(addprefix --weaken-symbol=,__*_chk __pthread_*_cancel _pthread_cleanup_*)
# These run there: without what is weak.
UNCHECKED := $(addprefix $(O)/shim/,preload/libc.o log/line.o log/log.o log/sink.o preload/start.o preload/state.o)
LIBC_NAME := $(if $(findstring musl,$(INTERP)),$(O)/libc-name.so)
SHIM_LIBS := -Wl,-z,defs -ldl
ifneq ($(LIBC_NAME),)
SHIM_LIBS := -nodefaultlibs -Wl,-z,undefs -Wl,--no-as-needed $(LIBC_NAME) -lgcc
endif

# The library is every folder but the tool and the client's preload.
CORE := sys protocol policy log conn preload
SRC := $(sort $(wildcard $(CORE:%=shim/%/*.c)))
OBJ := $(SRC:%.c=$(O)/%.o)
TOOL_OBJ := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard shim/tool/*.c)))
CONNECT_OBJ := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard shim/connect/*.c)))

.PHONY: all musl help check check-quick check-build check-unit check-core check-behaviour check-servers check-tool
.PHONY: check-docs check-install check-deb check-recipes check-systemd demo fuzz lint format install uninstall deb clean
all: $(B)/libppshim.so $(B)/libppconnect.so $(B)/ppshim ## build everything: the same as make alone
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile tests/tests.mk | expand -t 22

$(B)/$(NAME).so: $(OBJ) $(LIBC_NAME) shim/libppshim.map
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(SHIM_LDFLAGS) -o $@ $(OBJ) $(SHIM_LIBS)

$(O)/shim/%.o: shim/%.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(SHIM_CFLAGS) $(CFLAGS) $(if $(filter $@,$(UNCHECKED)),-U_FORTIFY_SOURCE) -MMD -MP -c -o $@ $<
	$(Q)$(OBJCOPY) $(WEAKEN) $@

$(O)/libc-name.so: Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -nostdlib -Wl,-soname,libc.so.6 -o $@ -x c /dev/null

musl: ## build/libppshim-musl.so, for programs of musl, with musl-gcc
	$(Q)$(MAKE) --no-print-directory CC="$(MUSL_CC)" O=$(B)/musl NAME=libppshim-musl $(B)/libppshim-musl.so

# The one object that knows where things are installed is made again when that changes: make, then make install PREFIX=/usr.
$(B)/libdir: FORCE
	@mkdir -p $(@D)
	@echo '$(LIBDIR)' | cmp -s - $@ || echo '$(LIBDIR)' >$@
$(B)/shim/tool/preload.o: SHIM_CFLAGS += -DPPS_LIBDIR='"$(LIBDIR)"'
$(B)/shim/tool/preload.o: $(B)/libdir
FORCE:

# The preload of `ppshim connect` shares the header's code, and nothing else, with the library.
HEADER_OBJ := $(patsubst %,$(B)/shim/protocol/%.o,addr crc32c header header_build header_v1 header_v1_fields header_v2)
$(B)/libppconnect.so: $(CONNECT_OBJ) $(HEADER_OBJ) shim/connect/libppconnect.map
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(PRELOAD_LDFLAGS) -Wl,-soname,libppconnect.so \
		-Wl,--version-script=shim/connect/libppconnect.map -o $@ -Wl,-z,defs $(CONNECT_OBJ) $(HEADER_OBJ) -ldl

# What the tool shares with the library: everything but its hooks and its constructor.
$(B)/libpps.a: $(filter-out $(B)/shim/preload/hooks.o $(B)/shim/preload/start.o,$(OBJ))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/ppshim: $(TOOL_OBJ) $(B)/libpps.a
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -Wl,-z,relro,-z,now,-z,noexecstack -o $@ $^ -ldl

# Unit tests: everything but the exported symbols, under AddressSanitizer and UndefinedBehaviorSanitizer.
UNIT_SRC := $(wildcard tests/unit/*.c) $(filter-out shim/preload/hooks.c,$(SRC))
UNIT_OBJ := $(UNIT_SRC:%.c=$(B)/asan/%.o)
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
$(B)/asan/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $< (asan)"
	$(Q)$(CC) $(BASE) $(WARN) -Itests -O1 -g $(ASAN) -DPPS_INTERP='"$(INTERP)"' -MMD -MP -c -o $@ $<
$(B)/unit-tests: $(UNIT_OBJ)
	$(Q)$(CC) $(ASAN) -o $@ $(UNIT_OBJ) $$(pkg-config --libs check) -ldl

# The library's sources and the program in one image: its hooks are found before libtsan's, and theirs next.
TSAN_OBJ := $(SRC:%.c=$(B)/tsan/%.o) $(B)/tsan/tests/behaviour/many_threads.o
TSAN := -fsanitize=thread -pthread
$(B)/tsan/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $< (tsan)"
	$(Q)gcc $(BASE) -O1 -g $(TSAN) -DPPS_INTERP='"/none"' -MMD -MP -c -o $@ $<
$(B)/tests/many_threads_tsan: $(TSAN_OBJ) # the test tells of a gcc without libtsan
	@mkdir -p $(@D)
	$(Q)gcc $(TSAN) -o $@ $(TSAN_OBJ) -ldl 2>$(B)/tsan/log || { cat $(B)/tsan/log; grep -q 'cannot find.*tsan' $(B)/tsan/log; }

# A build without anybody's flags, for the tests that look at one, or build on it, and musl's library.
$(B)/check/libppshim.so: FORCE
	$(Q)env -u MAKEFLAGS -u MFLAGS -u CC -u CFLAGS -u LDFLAGS make --no-print-directory -j2 B=$(B)/check all \
		$(if $(shell command -v musl-gcc),musl) >/dev/null

-include $(TSAN_OBJ:.o=.d) $(OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(CONNECT_OBJ:.o=.d) $(UNIT_OBJ:.o=.d)

# Test servers and other helpers of the behaviour tests: plain programs that know nothing of the shim.
HELPERS := $(patsubst tests/behaviour/%.c,$(B)/tests/%,$(wildcard $(addprefix tests/behaviour/,*.c cases/*.c libc/*.c)))
$(B)/tests/%: tests/behaviour/%.c $(wildcard tests/behaviour/*.h) Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) -Itests/behaviour $(CFLAGS) -pthread -o $@ $<

TOOL_HELPERS := $(patsubst tests/tool/%.c,$(B)/tests/tool/%,$(wildcard tests/tool/*.c))
$(B)/tests/tool/%: tests/tool/%.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) -Itests $(CFLAGS) -pthread -o $@ $(filter %.c %.o,$^)
$(B)/tests/tool/vectors: tests/unit/vectors.c $(B)/shim/protocol/reason.o

# Several at a time, where Debian's pytest-xdist is: most of them wait. Those of a file share their servers, or do not.
BESIDE := $(if $(shell /usr/bin/python3 -c 'import xdist' 2>&1),,-n $(shell expr $$(nproc) + 2))
PYTEST := PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest -q -p no:cacheprovider
SHARING := $(PYTEST) $(if $(BESIDE),$(BESIDE) --dist loadfile)
SEVERAL := $(PYTEST) $(if $(BESIDE),$(BESIDE) --dist load)

BUILT = $(HELPERS) $(B)/bench/ungoverned $(B)/tests/many_threads_tsan $(B)/check/libppshim.so
CORE_TESTS := $(addprefix tests/behaviour/test_,$(addsuffix .py,contract readiness pending settings libc exports split))
check: all ## every test; what it needs is installed first; the last line counts
	$(Q)scripts/check
check-quick: all ## the unit tests, the documentation and the core of behaviour, in less than a minute
	$(Q)scripts/check quick
check-build: all $(B)/unit-tests $(BUILT) $(TOOL_HELPERS) ## what the tests need built
check-unit: $(B)/unit-tests ## the tests of single modules, under sanitizers
	$(Q)CK_FORK=no $(B)/unit-tests
check-behaviour: all $(BUILT) ## small servers of our own that accept in every way there is
	$(Q)$(SEVERAL) tests/behaviour
check-core: all $(HELPERS) ## the core of check-behaviour: the contract, readiness, settings
	$(Q)$(SEVERAL) $(CORE_TESTS)
check-servers: all ## real servers behind a real HAProxy
	$(Q)$(SHARING) tests/servers
check-tool: all $(TOOL_HELPERS) $(B)/check/libppshim.so ## ppshim(1), and unmodified clients that open with a header
	$(Q)$(SHARING) tests/tool
check-systemd: all ## Debian's own services under a real systemd, in a container; needs root and a mirror, as check-deb
	$(Q)scripts/need systemd
	$(Q)$(PYTEST) tests/systemd
check-docs: all ## whether README.md, the manual pages and make help say what the source says
	$(Q)$(PYTEST) tests/docs
check-install: $(B)/check/libppshim.so ## make install and uninstall, and that a build is the same bytes everywhere
	$(Q)$(PYTEST) tests/install
check-recipes: all ## what README.md tells operators to do, with real servers under load
	$(Q)$(SHARING) tests/recipes
check-deb: ## make deb twice, and in a fresh Debian; needs root and a mirror, and is no part of make check
	$(Q)scripts/need deb check-deb
	$(Q)$(PYTEST) tests/deb

demo: all ## a server without the shim and with it; SERVER=postgres, mariadb, redis or sshd
	$(Q)scripts/need demo$(addprefix -,$(filter-out http,$(SERVER)))
	$(Q)scripts/demo $(SERVER)

include tests/tests.mk

# Fuzzers: tests/fuzz/fuzz_*.c, each with everything but the exported symbols. What they learn stays in $(B)/fuzz/corpus.
FUZZ_SECONDS ?= 60
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_CC := clang $(BASE) -Itests -O1 -g -DPPS_INTERP='"$(INTERP)"' -fno-sanitize-recover=all -fsanitize=address,undefined
$(B)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(filter-out shim/preload/hooks.c,$(SRC)) $(wildcard include/ppshim/*.h)
	@mkdir -p $(@D)
	$(Q)scripts/need fuzz
	$(Q)$(FUZZ_CC),fuzzer -o $@ $(filter %.c,$^) -ldl
$(B)/fuzz/seeds: tests/fuzz/seeds.c tests/unit/vectors.c tests/unit/vectors.h $(filter-out shim/preload/hooks.c,$(SRC))
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) -o $@ $(filter %.c,$^) -ldl
fuzz: $(FUZZERS) $(B)/fuzz/seeds ## arbitrary bytes for the parsers, FUZZ_SECONDS (60) each
	$(Q)mkdir -p $(B)/fuzz/corpus $(B)/fuzz/vectors && $(B)/fuzz/seeds $(B)/fuzz/vectors
	$(Q)set -e; for fuzzer in $(FUZZERS); do \
		$$fuzzer -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(B)/fuzz/ $(B)/fuzz/corpus $(B)/fuzz/vectors; done

lint: all ## layout, static analysis, and that nothing calls what we interpose
	$(Q)scripts/lint
format: ## lay out all C as .clang-format says
	$(Q)clang-format -i $$(find shim include tests -name '*.[ch]')

# What is installed; musl's library where `make musl` built it.
LIBS = $(B)/libppshim.so $(B)/libppconnect.so $(wildcard $(B)/libppshim-musl.so)
DOCS = README.md CHANGELOG.md LICENSE
EXAMPLES = scripts/examples/ppshim.conf scripts/examples/kubernetes.yaml
# By rename: servers that run have the old library mapped, and must keep it whole. $(call put,MODE,DIRECTORY,FILES)
put = $(Q)$(if $(3),install -d "$(DESTDIR)$(2)" && for file in $(3); do to="$(DESTDIR)$(2)/$$(basename $$file)"; \
	echo "  INSTALL $$to"; install -m $(1) "$$file" "$$to.new" && mv -f "$$to.new" "$$to" || exit; done)
take = $(Q)rm -f $(foreach file,$(2),"$(DESTDIR)$(1)/$(file)") # $(call take,DIRECTORY,FILES)
renew_linker_cache = $(Q)$(if $(DESTDIR),,if [ "$$(id -u)" -eq 0 ] && command -v ldconfig >/dev/null; then ldconfig; fi)
NOTE := note: the sandboxes of some services, like Debian's redis-server, cannot map what is in /usr/local: for them, \
	make install PREFIX=/usr

install: all $(if $(wildcard $(B)/libppshim-musl.so),musl) ## into PREFIX (/usr/local) and, for packagers, below DESTDIR
	$(call put,755,$(LIBDIR),$(LIBS))
	$(call put,755,$(BINDIR),$(B)/ppshim)
	$(call put,644,$(MANDIR)/man8,shim/libppshim.8)
	$(call put,644,$(MANDIR)/man1,shim/tool/ppshim.1)
	$(call put,644,$(DOCDIR),$(DOCS))
	$(call put,644,$(DOCDIR)/examples,$(EXAMPLES))
	$(Q)sed -i 's|@LIBDIR@|$(LIBDIR)|' "$(DESTDIR)$(DOCDIR)/examples/ppshim.conf"
	$(renew_linker_cache)
	@$(if $(filter /usr/local/%,$(LIBDIR)),echo "$(NOTE)")
uninstall: ## what install put there
	$(call take,$(LIBDIR),libppshim.so libppshim-musl.so libppconnect.so)
	$(call take,$(BINDIR),ppshim)
	$(call take,$(MANDIR),man8/libppshim.8 man1/ppshim.1)
	$(call take,$(DOCDIR),$(DOCS) $(EXAMPLES:scripts/%=%))
	$(Q)rmdir "$(DESTDIR)$(DOCDIR)/examples" "$(DESTDIR)$(DOCDIR)" 2>/dev/null || :
	$(renew_linker_cache)

deb: ## Debian packages in build/deb
	$(Q)scripts/deb

clean: ## remove build/
	rm -rf $(B)
