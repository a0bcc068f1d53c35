# SPDX-License-Identifier: MIT
# `make` builds, `make check` passes every test, `make demo` shows what it is for. `make help` lists the rest.

VERSION = 0.1.0
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
DESTDIR ?=
CFLAGS ?= -O2 -g
B := build
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wpointer-arith
BASE := -std=gnu11 -D_GNU_SOURCE -Iinclude -DPPS_VERSION='"$(VERSION)"'
HARDEN := -fstack-protector-strong -fstack-clash-protection -fno-strict-aliasing \
	-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 $(if $(findstring x86_64,$(shell $(CC) -dumpmachine)),-fcf-protection)
# The program interpreter of this compiler's libc: lets `./libppshim.so` print its version.
INTERP := $(shell $(CC) -\#\#\# -x c /dev/null 2>&1 | sed -n 's/.*-dynamic-linker"\? "\?\([^ "]*\).*/\1/p')
SHIM_CFLAGS := $(BASE) $(WARN) $(HARDEN) -fPIC -fvisibility=hidden -ftls-model=initial-exec \
	-DPPS_INTERP='"$(INTERP)"'
SHIM_LDFLAGS := -shared -Wl,-soname,libppshim.so -Wl,--version-script=shim/libppshim.map -Wl,-z,relro,-z,now,-z,defs \
	-Wl,-z,nodelete,-z,noexecstack -Wl,--build-id -Wl,--as-needed -Wl,-e,pps_print_version

SRC := $(wildcard shim/*.c)
OBJ := $(SRC:%.c=$(B)/%.o)

.PHONY: all check check-unit check-behaviour check-servers demo clean
all: $(B)/libppshim.so

$(B)/libppshim.so: $(OBJ) shim/libppshim.map
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(SHIM_LDFLAGS) -o $@ $(OBJ) -ldl

$(B)/shim/%.o: shim/%.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(SHIM_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Unit tests: everything but the exported symbols, under AddressSanitizer and UndefinedBehaviorSanitizer.
UNIT_SRC := $(wildcard tests/unit/*.c) $(filter-out shim/hooks.c,$(SRC))
UNIT_OBJ := $(UNIT_SRC:%.c=$(B)/asan/%.o)
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
$(B)/asan/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $< (asan)"
	$(Q)$(CC) $(BASE) $(WARN) -Itests -O1 -g $(ASAN) -DPPS_INTERP='"$(INTERP)"' -MMD -MP -c -o $@ $<
$(B)/unit-tests: $(UNIT_OBJ)
	$(Q)$(CC) $(ASAN) -o $@ $(UNIT_OBJ) $$(pkg-config --libs check) -ldl

-include $(OBJ:.o=.d) $(UNIT_OBJ:.o=.d)

# Test servers and other helpers of the behaviour tests: plain programs that know nothing of the shim.
HELPERS := $(patsubst tests/behaviour/%.c,$(B)/tests/%,$(wildcard tests/behaviour/*.c))
$(B)/tests/%: tests/behaviour/%.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) $(CFLAGS) -pthread -o $@ $<

check: all
	$(Q)scripts/check
check-unit: $(B)/unit-tests
	$(Q)CK_FORK=no $(B)/unit-tests
check-behaviour: all $(HELPERS)
	$(Q)/usr/bin/python3 -m pytest -q -p no:cacheprovider tests/behaviour
check-servers: all
	$(Q)/usr/bin/python3 -m pytest -q -p no:cacheprovider tests/servers

demo: all
	$(Q)scripts/demo $(SERVER)

clean:
	rm -rf $(B)
