# SPDX-License-Identifier: MIT
# tests.mk: the Makefile's rules for what the shim costs.

.PHONY: bench
BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*.c))
$(B)/bench/%: tests/bench/%.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) $(CFLAGS) -pthread -o $@ $<

bench: all $(BENCH_PROGRAMS) ## what it costs beside sidecars and the servers' own support; BENCH=redis/short, BENCH=curves
	$(Q)scripts/need bench
	$(Q)PYTHONDONTWRITEBYTECODE=1 LIBPPSHIM=$(abspath $(B))/libppshim.so BENCH_PROGRAMS=$(abspath $(B))/bench \
		/usr/bin/python3 tests/bench/bench.py $(BENCH)
