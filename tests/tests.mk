# SPDX-License-Identifier: MIT
# tests.mk: the Makefile's rules for the tests, the fuzzers and what the shim costs. tests/README.md: where what is.

# --- what is built ---

# Unit tests: everything but the exported symbols, under AddressSanitizer and UndefinedBehaviorSanitizer.
UNIT_SRC := $(wildcard tests/unit/*.c) $(filter-out shim/preload/hooks.c,$(SRC))
UNIT_OBJ := $(UNIT_SRC:%.c=$(B)/asan/%.o)
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
$(B)/asan/%.o: %.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	@echo "  CC    $< (asan)"
	$(Q)$(CC) $(BASE) $(WARN) -Itests -O1 -g $(ASAN) -DPPS_INTERP='"$(INTERP)"' -MMD -MP -c -o $@ $<
$(B)/unit-tests: $(UNIT_OBJ)
	$(Q)$(CC) $(ASAN) -o $@ $(UNIT_OBJ) $$(pkg-config --libs check) -ldl

# Handlers of theirs would have accept believe that the server has some that do not restart it.
NO_HANDLERS := handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0
# The library under the same two, for servers that are not, and come first in the link order.
ASAN_OPTIONS := verify_asan_link_order=0:detect_leaks=0:$(NO_HANDLERS)
ASAN_LIBRARY := $(B)/asan-library/libppshim.so
$(ASAN_LIBRARY): FORCE
	$(Q)$(MAKE) --no-print-directory B=$(B)/asan-library CFLAGS="-O1 -g $(ASAN)" HARDEN=-fno-strict-aliasing $@

# The library's sources and a program in one image: its hooks are found before libtsan's, and theirs next. And the unit
# tests once more.
TSAN := -fsanitize=thread -pthread
# Cases end with threads in accept, and handlers fork: that is what they are about.
TSAN_OPTIONS := suppressions=$(abspath tests/behaviour/tsan.suppressions):report_thread_leaks=0:report_signal_unsafe=0:$(NO_HANDLERS)
TSAN_LIBRARY := $(SRC:%.c=$(B)/tsan/%.o)
TSAN_UNIT := $(UNIT_SRC:%.c=$(B)/tsan/%.o)
TSAN_PROGRAMS := $(patsubst tests/behaviour/%.c,$(B)/tests/tsan/%,$(wildcard tests/behaviour/cases/*.c))
$(B)/tsan/%.o: %.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	@echo "  CC    $< (tsan)"
	$(Q)gcc $(BASE) -Itests -Itests/behaviour -O1 -g $(TSAN) -DPPS_INTERP='"/none"' -MMD -MP -c -o $@ $<
.PRECIOUS: $(B)/tsan/%.o
# The tests tell of a gcc without libtsan.
link_tsan = $(Q)mkdir -p $(@D) && { gcc $(TSAN) -o $@ $^ $(1) -ldl 2>$@.log || { cat $@.log; grep -q 'cannot find.*tsan' $@.log; }; }
$(B)/tests/tsan/unit-tests: $(TSAN_UNIT)
	$(call link_tsan,$$(pkg-config --libs check))
$(B)/tests/tsan/%: $(B)/tsan/tests/behaviour/%.o $(TSAN_LIBRARY)
	$(call link_tsan)

# A build without anybody's flags, for the tests that look at one, or build on it, and musl's library. It begins with what
# was built, where that was without any.
BEGUN := shim bare go.o go.o.whole go-image go-image.bare go_image.o libpps.a libppconnect.o libppconnect.so libppshim.o \
	libppshim.so ppshim completion libdir optional
$(B)/check/libppshim.so: FORCE | $(if $(FLAGS_OF),,all)
ifeq ($(FLAGS_OF),)
	$(Q)test -e $(@D) || test -e $(B)/flagged || { rm -rf $(@D).new && mkdir $(@D).new \
		&& cp -a $(wildcard $(BEGUN:%=$(B)/%)) $(@D).new \
		&& find $(@D).new -name '*.d' -exec sed -i 's|^$(B)/|$(@D)/|' {} + && mv $(@D).new $(@D); }
endif
	$(Q)env -u MAKEFLAGS -u MFLAGS -u CC -u CFLAGS -u LDFLAGS make --no-print-directory -j2 B=$(B)/check all \
		$(if $(shell command -v musl-gcc),musl) >/dev/null

# Test servers and other helpers of the behaviour tests: plain programs that know nothing of the shim.
HELPERS := $(patsubst tests/behaviour/%.c,$(B)/tests/%,$(wildcard $(addprefix tests/behaviour/,*.c cases/*.c libc/*.c)))
$(B)/tests/%: tests/behaviour/%.c $(wildcard tests/behaviour/*.h) Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) -Itests/behaviour $(CFLAGS) -pthread -o $@ $<

$(B)/tests/model/model: tests/model/model.c tests/behaviour/testing.h Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) -Itests $(CFLAGS) -pthread -o $@ $<

# Behind the library (tests/faults/faults.c).
$(B)/tests/faults.so: tests/faults/faults.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) $(CFLAGS) -U_FORTIFY_SOURCE -fPIC -shared -o $@ $<

# The library as it is on other processors than amd64, without a gate for Go programs.
ELSEWHERE := $(B)/tests/elsewhere/libppshim.so
$(ELSEWHERE): $(OBJ) $(addprefix $(O)/shim/go/,$(ELSEWHERE_OBJ)) $(LIBC_NAME) shim/libppshim.map Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(SHIM_LDFLAGS) -o $@ $(filter %.o,$^) $(SHIM_LIBS)

SERVER_HELPERS := $(if $(GO_ARCH),$(patsubst tests/servers/%.c,$(B)/tests/servers/%,$(wildcard tests/servers/*.c)))
TOOL_HELPERS := $(patsubst tests/tool/%.c,$(B)/tests/tool/%,$(wildcard tests/tool/*.c))
$(B)/tests/tool/%: tests/tool/%.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) -Itests $(CFLAGS) -pthread -o $@ $(filter %.c %.o,$^)
$(B)/tests/servers/%: tests/servers/%.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) $(CFLAGS) -o $@ $<
$(B)/tests/tool/vectors: tests/unit/vectors.c $(B)/shim/protocol/reason.o
$(B)/tests/tool/verdicts: $(HEADER_OBJ) $(B)/shim/protocol/reason.o

NETWORK := $(patsubst tests/network/%.c,$(B)/tests/network/%,$(wildcard tests/network/*.c))
$(B)/tests/network/%: tests/network/%.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) $(CFLAGS) -pthread -o $@ $<

-include $(UNIT_OBJ:.o=.d) $(TSAN_LIBRARY:.o=.d) $(TSAN_UNIT:.o=.d) $(wildcard $(B)/tsan/tests/behaviour/*.d $(B)/tsan/tests/behaviour/cases/*.d)

# --- what is run ---

.PHONY: check check-quick check-build check-unit check-core check-behaviour check-asan check-faults check-servers check-tool
.PHONY: check-docs check-install check-packages check-recipes check-systemd check-helpers check-debian13

# Several at a time, where Debian's pytest-xdist is: most of them wait. Those of a file share their servers, or do not.
BESIDE = $(shell { /usr/bin/python3 -c 'import xdist' && echo "-n $$(($$(nproc) + 2))"; } 2>/dev/null)
PYTEST := PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest -q -p no:cacheprovider
SHARING = $(PYTEST) $(if $(BESIDE),$(BESIDE) --dist loadfile)
SEVERAL = $(PYTEST) $(if $(BESIDE),$(BESIDE) --dist load)

BUILT = $(ELSEWHERE) $(HELPERS) $(B)/bench/ungoverned $(B)/check/libppshim.so
CORE_TESTS := $(addprefix tests/behaviour/test_,$(addsuffix .py,contract readiness pending settings libc exports split))
check: ## the tests; what they need is installed first; the last line counts
	$(Q)scripts/check
check-quick: ## the unit tests, the documentation and the core of behaviour, in less than a minute
	$(Q)scripts/check quick
check-build: all $(B)/unit-tests $(BUILT) $(TOOL_HELPERS) $(NETWORK) $(SERVER_HELPERS) ## what the tests need built
check-unit: $(B)/unit-tests ## the tests of single modules, under sanitizers
	$(Q)CK_FORK=no $(B)/unit-tests
check-behaviour: all $(BUILT) ## small servers of our own that accept in every way there is
	$(Q)$(SEVERAL) --ignore=tests/behaviour/test_tsan.py tests/behaviour
check-core: all $(HELPERS) ## the core of check-behaviour: the contract, readiness, settings
	$(Q)$(SEVERAL) $(CORE_TESTS)
check-asan: $(ASAN_LIBRARY) $(BUILT) ## check-behaviour with the library under AddressSanitizer and UndefinedBehaviorSanitizer
	$(Q)LIBPPSHIM=$(abspath $(ASAN_LIBRARY)) ASAN_OPTIONS=$(ASAN_OPTIONS) $(SEVERAL) \
		$(addprefix tests/behaviour/test_,$(addsuffix .py,cases libc contract readiness pending optional store unix threads))
check-faults: all $(HELPERS) $(B)/tests/faults.so ## the library's own system calls fail, each in each way
	$(Q)$(SEVERAL) tests/faults
.PHONY: check-tsan check-network check-soak spoof check-model soak
check-tsan: $(TSAN_PROGRAMS) $(B)/tests/tsan/many_threads $(B)/tests/tsan/unit-tests ## the cases of check-behaviour, and the unit tests with threads, under ThreadSanitizer
	$(Q)SANITIZER=thread TSAN_OPTIONS=$(TSAN_OPTIONS) $(SEVERAL) tests/behaviour/test_cases.py \
		tests/behaviour/test_tsan.py
	$(Q)CK_FORK=no CK_RUN_CASE=threads TSAN_OPTIONS=$(TSAN_OPTIONS) $(B)/tests/tsan/unit-tests
check-network: all $(B)/tests/server $(NETWORK) ## hosts with addresses of their own, cables that lose, and nobody untrusted is believed
	$(Q)$(SHARING) tests/network/test_network.py tests/network/test_spoofing.py
spoof: all $(B)/tests/server $(NETWORK) ## SPOOF_ATTEMPTS (100,000) to be taken for somebody else
	$(Q)SPOOF_ATTEMPTS=$${SPOOF_ATTEMPTS:-100000} $(PYTEST) -rP tests/network/test_spoofing.py
check-soak: all $(B)/tests/server $(B)/tests/identity $(NETWORK) ## SOAK_CONNECTIONS (100,000) of every kind leave nothing behind, in the journal neither, and mix nobody up
	$(Q)$(PYTEST) -rP tests/network/test_soak.py
	$(Q)JOURNAL_CONNECTIONS=20000 $(PYTEST) tests/behaviour/test_journal.py -k each_that_starts
	$(Q)IDENTITY_CONNECTIONS=100000 $(PYTEST) tests/behaviour/test_identity.py -k thousands_of_connections
check-model: all $(B)/tests/model/model ## clients and listeners in any order, MODEL_SECONDS (10) for each of two stores
	$(Q)$(PYTEST) tests/model
soak: ## check-model for an hour, from a seed of today's, and check-soak with 5,000,000
	$(Q)MODEL_SECONDS=$${MODEL_SECONDS:-1800} MODEL_SEED=$$(date +%s) $(MAKE) --no-print-directory check-model
	$(Q)SOAK_CONNECTIONS=$${SOAK_CONNECTIONS:-5000000} $(MAKE) --no-print-directory check-soak
# The contract again, for a Go server of each other protocol; all of them under pressure; and what of the others is asked of
# a program that is linked in the third way, or is pressure.
GO_TESTS := $(wildcard $(foreach kind,net tls grpc,$(addprefix tests/servers/test_go_$(kind),.py _static.py))) \
	tests/servers/test_go_pressure.py
ONLY_GO := [pie or -pie] or RawPie or three_thousand_clients or signals_strike
check-servers: all $(TOOL_HELPERS) $(SERVER_HELPERS) $(ELSEWHERE) ## real servers behind a real HAProxy
	$(Q)$(SHARING) $(GO_TESTS:%=--ignore=%) -k 'not ($(ONLY_GO))' tests/servers
.PHONY: check-go
check-go: all $(SERVER_HELPERS) $(ELSEWHERE) ## check-servers for Go servers of plain TCP, TLS and gRPC, linked in each way, and under pressure
	$(Q)$(SHARING) $(GO_TESTS)
	$(Q)$(SHARING) $(GO_TESTS:%=--ignore=%) -k '$(ONLY_GO)' tests/servers tests/tool/test_check_go.py
.PHONY: check-world servers-table
# Debian's packages that would push out others.
UNPACKED := $(addprefix $(B)/world/,vsftpd exim4-daemon-light)
$(UNPACKED):
	$(Q)mkdir -p $(@D)/new && cd $(@D)/new && apt-get download -qq $(@F) && dpkg-deb -x $(@F)_*.deb $(@F) && mv $(@F) ..
check-world: all $(UNPACKED) ## some fifty servers, each asked the same: tests/servers/README.md; needs root
	$(Q)scripts/need world
	$(Q)$(PYTEST) $(if $(BESIDE),$(BESIDE) --dist loadscope) tests/world $(if $(K),-k '$(K)')
servers-table: ## tests/servers/README.md written anew, from what they answer now
	$(Q)WORLD_TABLE=write $(MAKE) --no-print-directory check-world
.PHONY: soak-go
soak-go: all ## GO_CONNECTIONS (100,000), each with an address of its own, to each kind of Go server under GC and SIGPROF
	$(Q)GO_CONNECTIONS=$${GO_CONNECTIONS:-100000} $(PYTEST) tests/servers/test_go_pressure.py -k $${GO_KIND:-memory}
check-tool: all $(TOOL_HELPERS) $(B)/check/libppshim.so ## ppshim(1), and unmodified clients that open with a header
	$(Q)$(SHARING) -k 'not ($(ONLY_GO))' tests/tool
check-systemd: all ## Debian's own services under a real systemd, in a container; needs root and a mirror, as check-packages
	$(Q)scripts/need systemd
	$(Q)$(PYTEST) tests/systemd
check-docs: all ## whether README.md, the manual pages and make help say what the source says
	$(Q)$(PYTEST) tests/docs
check-install: $(B)/check/libppshim.so ## make install and uninstall
	$(Q)$(PYTEST) tests/install
check-recipes: all ## what README.md and scripts/examples tell operators to do, with real servers under load
	$(Q)$(SHARING) tests/recipes
check-helpers: all $(HELPERS) $(TOOL_HELPERS) ## what the tests of small and of real servers need built
# What is new there: sshd-session, PostgreSQL's epoll, Redis 8, Dovecot 2.4, HAProxy 3.0, and its libc. With the library that
# was built here: whether it serves there, by what a server has of its own and by a first peer that does it wrong.
DEBIAN13_TESTS ?= $(CORE_TESTS) $(addprefix tests/servers/test_,$(addsuffix .py,sshd postgresql mariadb redis dovecot verdicts))
DEBIAN13_SERVES := -k "not Contract or first_ever" \
	$(addprefix tests/servers/test_,$(addsuffix .py,sshd postgresql mariadb redis memcached nginx dovecot))
check-debian13: all ## the core and real servers in a Debian 13, built there and here; needs root and a mirror, as check-packages
	$(Q)scripts/need check-debian13
	$(Q)scripts/check-debian13 $(B)/libppshim.so '$(DEBIAN13_TESTS)' '$(DEBIAN13_SERVES)'
check-packages: ## make deb twice, and in a fresh Debian, an rpm and an apk; needs root and a mirror, and is no part of make check
	$(Q)scripts/need deb rpm check-packages
	$(Q)$(PYTEST) tests/packages

# --- other compilers, other machines ---

.PHONY: check-compilers check-cross

# gcc-O0 to clang-lto: the compiler, and what it is told; each in a directory of its own. COMPILED: those to build,
# TRIED: those of them to run the tests with.
COMPILED ?= $(foreach compiler,gcc clang,$(addprefix $(compiler)-,O0 O1 O2 O3 lto))
TRIED ?= $(COMPILED)
.PHONY: $(COMPILED:%=compiled-%) $(TRIED:%=tried-%)
compilers-tools: FORCE
	$(Q)scripts/need compilers
$(COMPILED:%=compiled-%): compiled-%: compilers-tools
	@echo "--- $*"
	$(Q)$(MAKE) --no-print-directory B=$(B)/compilers/$* CC=$(firstword $(subst -, ,$*)) \
		CFLAGS="-g $(patsubst -lto,-O2 -flto,-$(lastword $(subst -, ,$*)))" all $(B)/compilers/$*/tests/unit-tests
$(TRIED:%=tried-%): tried-%: compiled-% $(HELPERS)
	$(Q)CK_FORK=no $(B)/compilers/$*/tests/unit-tests
	$(Q)LIBPPSHIM=$(abspath $(B))/compilers/$*/libppshim.so $(SEVERAL) $(CORE_TESTS) tests/behaviour/test_cases.py
check-compilers: $(COMPILED:%=compiled-%) $(TRIED:%=tried-%) ## the core built by gcc and clang, -O0 to -O3 and -flto; TRIED="gcc-O0 clang-lto"

# For each of these machines: what is built for it, and what is run under qemu-user 7.2, which knows neither SO_COOKIE nor
# TCP_FASTOPEN_KEY of 32 bytes (the library keeps clients in its table there) and no seccomp filter; of contract, what
# starts programs of this machine is left out.
MACHINES ?= aarch64-linux-gnu arm-linux-gnueabihf
CROSS_SUITES := acquire addr cidr config facts header_build header_tlv late leader limit line own_fds pending slot stats \
	trust_files trust_listeners trust_names trust_reload trust_text trust_threads usage
CROSS_TESTS := tests/behaviour/test_contract.py -k "not socat and not python and not left_out"
QEMU_aarch64-linux-gnu := qemu-aarch64-static
QEMU_arm-linux-gnueabihf := qemu-arm-static
.PHONY: $(MACHINES:%=cross-%)
$(MACHINES:%=cross-%): cross-%:
	$(Q)scripts/need cross
	$(Q)$(MAKE) --no-print-directory B=$(B)/cross/$* CC=$*-gcc QEMU=$(QEMU_$*) cross
check-cross: $(MACHINES:%=cross-%) ## for arm64 and armhf: built by Debian's cross compilers, run under qemu-user
	$(Q)MACHINES="$(MACHINES)" $(SEVERAL) tests/cross
	$(Q)set -e; for machine in $(MACHINES); do at=$(abspath $(B))/cross/$$machine; echo "--- $$machine, under qemu-user"; \
		for suite in $(CROSS_SUITES); do CK_RUN_SUITE=$$suite $$at/launch/unit-tests; done; \
		LIBPPSHIM=$$at/libppshim.so PPSHIM_HELPERS=$$at/launch $(SEVERAL) $(CROSS_TESTS); done

# The unit tests of the library's own objects: without sanitizers, which qemu-user does not run.
PLAIN_UNIT := $(patsubst %.c,$(B)/unit/%.o,$(wildcard tests/unit/*.c))
$(B)/unit/%.o: %.c Makefile tests/tests.mk tests/cross/check.h
	@mkdir -p $(@D)
	@echo "  CC    $< (unit)"
	$(Q)$(CC) $(BASE) $(WARN) -Itests $(if $(QEMU),-Itests/cross) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/tests/unit-tests: $(PLAIN_UNIT) $(filter-out %/hooks.o,$(OBJ))
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(if $(QEMU),,$$(pkg-config --libs check)) -ldl -pthread
-include $(PLAIN_UNIT:.o=.d)

# Of one machine: CC compiles for it, QEMU runs it.
LAUNCHERS := $(HELPERS:$(B)/tests/%=$(B)/launch/%) $(B)/launch/unit-tests
cross: $(B)/libppshim.so $(B)/libppconnect.so $(B)/ppshim $(HELPERS) $(B)/tests/unit-tests $(LAUNCHERS) FORCE
$(B)/launch/%: tests/cross/launch.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(Q)cc $(WARN) -O2 -static -DQEMU='"$(QEMU)"' -DSYSROOT='"/usr/$(patsubst %-gcc,%,$(CC))"' -o $@ $<

# --- what it costs ---

.PHONY: bench
BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*.c))
$(B)/bench/%: tests/bench/%.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) $(CFLAGS) -pthread -o $@ $<

bench: all $(BENCH_PROGRAMS) ## what it costs beside sidecars and servers' own support; BENCH=redis/short or curves
	$(Q)scripts/need bench
	$(Q)$(COUNT) /usr/bin/python3 tests/bench/bench.py $(BENCH)

.PHONY: check-budgets budgets
COUNT := PYTHONDONTWRITEBYTECODE=1 LIBPPSHIM=$(abspath $(B))/libppshim.so BENCH_PROGRAMS=$(abspath $(B))/bench
check-budgets: all $(BENCH_PROGRAMS) ## what it costs, counted: tests/bench/budgets.md
	$(Q)$(COUNT) $(PYTEST) tests/bench
budgets: all $(BENCH_PROGRAMS) ## tests/bench/budgets.md written anew, from what is counted now
	$(Q)$(COUNT) /usr/bin/python3 tests/bench/budgets.py

# --- fuzzers ---

.PHONY: fuzz
.PRECIOUS: $(B)/fuzz/%.o
# Fuzzers: tests/fuzz/fuzz_*.c, each with everything but the exported symbols. What they learn stays in
# $(B)/fuzz/corpus; the vectors are what those of headers begin with.
FUZZ_SECONDS ?= 30
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
.PHONY: fuzz-tools $(FUZZERS:%=fuzz-%)
FUZZ_CC = clang $(BASE) -Itests -Ishim -O1 -g -DPPS_INTERP='"$(INTERP)"' -DPPS_LIBDIR='"/none"' \
	-fno-sanitize-recover=all -fsanitize=address,undefined
FUZZ_OBJ := $(patsubst %.c,$(B)/fuzz/%.o,$(filter-out shim/preload/hooks.c,$(SRC)) \
	$(filter-out $(MNL_FILES:$(B)/%.o=%.c) $(NO_GO_FILES:$(O)/%.o=%.c),$(TOOL_SRC)))
$(B)/fuzz/shim/tool/main.o: BASE += -Dmain=tool_main
$(B)/fuzz/%.o: %.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	@echo "  CC    $< (fuzz)"
	$(Q)$(FUZZ_CC),fuzzer-no-link -MMD -MP -c -o $@ $<
$(FUZZ_OBJ): | fuzz-tools
fuzz-tools: FORCE
	$(Q)scripts/need fuzz
$(B)/fuzz/fuzz_%: $(B)/fuzz/tests/fuzz/fuzz_%.o $(FUZZ_OBJ) $(GO_IMAGE)
	$(Q)$(FUZZ_CC),fuzzer -o $@ $^ -ldl
$(B)/fuzz/seeds: $(addprefix $(B)/fuzz/tests/,fuzz/seeds.o unit/vectors.o) $(FUZZ_OBJ) $(GO_IMAGE)
	$(Q)$(FUZZ_CC) -o $@ $^ -ldl
-include $(FUZZ_OBJ:.o=.d) $(FUZZERS:%=$(B)/fuzz/tests/fuzz/fuzz_%.d)
fuzz: $(FUZZERS:%=fuzz-%) ## arbitrary bytes for every parser, FUZZ_SECONDS (30) each
$(FUZZERS:%=fuzz-%): fuzz-%: $(B)/fuzz/fuzz_% $(B)/fuzz/seeds $(B)/libppconnect.so FORCE
	$(Q)mkdir -p $(B)/fuzz/corpus/$* $(B)/fuzz/seed/$*
	$(Q)$(if $(filter header decode build log,$*),$(B)/fuzz/seeds $(B)/fuzz/seed/$*,$(B)/fuzz/seeds $(B)/fuzz/seed/$* $*)
	$(Q)$(if $(filter elf,$*),$(OBJCOPY) --strip-all $(B)/libppconnect.so $(B)/fuzz/seed/$*/library)
	$(Q)$(B)/fuzz/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 -print_final_stats=0 -verbosity=0 \
		-artifact_prefix=$(B)/fuzz/$*- $(B)/fuzz/corpus/$* $(B)/fuzz/seed/$* && echo "fuzz $*: nothing found"
