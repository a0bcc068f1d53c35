# SPDX-License-Identifier: MIT
# tests.mk: the Makefile's rules for what the shim costs.

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
