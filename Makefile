# SPDX-License-Identifier: MIT
# `make` builds, `make check` runs the tests, `make demo` shows what it is for. `make help` lists the rest.

MAKEFLAGS += --no-builtin-rules
VERSION = 0.2.0
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib$(if $(filter /usr,$(PREFIX)),$(addprefix /,$(shell $(CC) -print-multiarch)))
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/libppshim
SYSCONFDIR ?= /etc
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR ?= $(PREFIX)/share/zsh/site-functions
FISHCOMPDIR ?= $(PREFIX)/share/fish/vendor_completions.d
UNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=
CFLAGS ?= -O2 -g
B := build
O := $(B)
NAME := libppshim
MUSL_CC ?= musl-gcc
# Those of the compiler's own target: make CC=aarch64-linux-gnu-gcc builds for another machine.
program = $(shell $(CC) -print-prog-name=$(1))
ifeq ($(origin OBJCOPY),undefined)
OBJCOPY := $(call program,objcopy)
endif
ifeq ($(origin AR),default)
AR := $(call program,ar)
endif
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wpointer-arith
# The prefix map keeps the directory it was built in out of what is built: the same source, the same bytes.
BASE := -std=gnu11 -D_GNU_SOURCE -Iinclude -DPPS_VERSION='"$(VERSION)"' -ffile-prefix-map=$(CURDIR)=.
# Where a word has 32 bits, times and files' sizes have 64 all the same (include/ppshim/real.h).
BASE += $(shell printf '\043if __SIZEOF_LONG__ == 4\n-D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64\n\043endif\n' | $(CC) -E -P -)
# Where Go programs are served.
GO_ARCH := $(findstring x86_64,$(shell $(CC) -dumpmachine))
# What checks at run time what was not proven when it was optimised has nothing to go by where it is not.
OPTIMISED := $(filter-out -O0,$(lastword $(filter -O%,$(CFLAGS))))
HARDEN := -fstack-protector-strong -fstack-clash-protection -fno-strict-aliasing \
	-U_FORTIFY_SOURCE $(if $(OPTIMISED),-D_FORTIFY_SOURCE=2) \
	$(if $(GO_ARCH),-fcf-protection)
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
# That is done to one object of all, which has code even where the compiler is told to leave that to the linker (-flto).
RELOCATABLE := -r -nostdlib $(if $(findstring -flto,$(CFLAGS)),$(if $(findstring clang,$(shell $(CC) --version)),, \
	-flinker-output=nolto-rel))
# These run there: without what is weak.
UNCHECKED := $(addprefix $(O)/shim/,preload/libc.o log/line.o log/log.o log/sink.o log/journald.o preload/start.o preload/state.o)
LIBC_NAME := $(if $(findstring musl,$(INTERP)),$(O)/libc-name.so)
SHIM_LIBS := -Wl,-z,defs -ldl -pthread
ifneq ($(LIBC_NAME),)
SHIM_LIBS := -nodefaultlibs -Wl,-z,undefs -Wl,--no-as-needed $(LIBC_NAME) -lgcc
endif

# The library is every folder but the tool and the client's preload.
CORE := sys protocol policy log conn preload
SRC := $(sort $(wildcard $(CORE:%=shim/%/*.c)))
OBJ := $(SRC:%.c=$(O)/%.o)
TOOL_SRC := $(sort $(wildcard shim/tool/*.c)) shim/go/site.c shim/go/forbid.c
TOOL_OBJ = $(filter-out $(if $(MNL),,$(MNL_FILES)) $(NO_GO_FILES),$(TOOL_SRC:%.c=$(O)/%.o)) $(GO_IMAGE)

# What runs in a Go program's system calls, on amd64: the same core, compiled once more for a place without a libc, with
# the few functions it calls there (shim/sys/bare). One object that needs nothing and shows but its entry, so that the
# library holds both; the same one in the library for musl.
GO_IMAGE := $(if $(GO_ARCH),$(O)/go_image.o)
NO_GO_FILES := $(addprefix $(O)/shim/tool/,$(if $(GO_ARCH),no_inject.o,run_inject.o go_image.o))
GO_SRC := $(sort $(wildcard $(addsuffix /*.c,$(addprefix shim/,protocol policy log conn sys/bare go)))) \
	$(addprefix shim/preload/,client_table.c fd_table.c fdinfo.c open_fds.c)
GO_LINKED := constructor.o refuse.o watch.o forbid.o # to libc, with the preload: what is no part of that
GO_SRC := $(filter-out shim/go/elsewhere.c $(GO_LINKED:%.o=shim/go/%.c),$(GO_SRC))
GO_OBJ := $(GO_SRC:%.c=$(B)/bare/%.o) $(B)/bare/shim/go/gate.o
BARE_CC := $(if $(findstring musl,$(CC)),cc,$(CC)) # musl-gcc has no headers of the kernel's, and no libc is linked
# No loop becomes a call of memset, as one in memset itself would. A clang that is told -ffreestanding has no PATH_MAX.
BARE_ALONE := $(if $(findstring clang,$(shell $(BARE_CC) --version)),-fno-builtin,-ffreestanding \
	-fno-tree-loop-distribute-patterns)
BARE_CFLAGS := $(BASE) $(WARN) -O2 -g -fPIC $(BARE_ALONE) -fvisibility=hidden -fno-strict-aliasing \
	-fno-stack-protector -U_FORTIFY_SOURCE -mgeneral-regs-only -fcf-protection=none -D_Thread_local=
# The preload of `ppshim connect` shares the header's code, and nothing else, with the library.
CONNECT_OBJ := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard shim/connect/*.c)))
HEADER_OBJ := $(patsubst %,$(O)/shim/protocol/%.o,addr crc32c header header_build header_v1 header_v1_fields header_v2)

.PHONY: all completions musl help demo lint format install uninstall dist deb rpm clean
all: $(B)/libppshim.so $(B)/libppconnect.so $(B)/ppshim completions ## build everything: the same as make alone
help: ## this list
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/make \1\t\2/p' Makefile tests/tests.mk | expand -t 22

# On other processors the library knows a Go program when it is in one, and says so.
ELSEWHERE_OBJ := elsewhere.o site.o $(GO_LINKED)
GO := $(if $(GO_ARCH),$(B)/go.o) $(addprefix $(O)/shim/go/,$(if $(GO_ARCH),$(GO_LINKED),$(ELSEWHERE_OBJ)))
$(B)/$(NAME).so: $(O)/$(NAME).o $(LIBC_NAME) shim/libppshim.map
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(SHIM_LDFLAGS) -o $@ $< $(SHIM_LIBS)
$(O)/$(NAME).o: $(OBJ) $(GO)
$(B)/libppconnect.o: $(CONNECT_OBJ) $(HEADER_OBJ)
$(sort $(O)/$(NAME).o $(B)/libppconnect.o):
	$(Q)$(CC) $(CFLAGS) $(RELOCATABLE) -o $@ $^
	$(Q)$(OBJCOPY) $(WEAKEN) $@

$(B)/bare/shim/%.o: shim/%.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $< (bare)"
	$(Q)$(BARE_CC) $(BARE_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/bare/shim/%.o: shim/%.S Makefile
	@mkdir -p $(@D)
	$(Q)$(BARE_CC) $(BARE_CFLAGS) -MMD -MP -c -o $@ $<
# The same objects as a program of their own, which can be put anywhere into a static Go program; the tool holds it.
$(O)/go-image: $(B)/bare/shim/go/image/head.o $(B)/bare/shim/go/image/image.o $(GO_OBJ)
	@echo "  LD    $@"
	$(Q)$(LD) -pie --no-dynamic-linker -z text -z norelro -z noexecstack -z max-page-size=4096 --build-id=none \
		-e pps_go_image -o $@ $^
	$(Q)! readelf -rW $@ | grep R_X86_64 | grep -v R_X86_64_RELATIVE
	$(Q)$(OBJCOPY) --strip-all $@ $@.bare
$(O)/go_image.o: shim/tool/go_image.S $(O)/go-image
	$(Q)$(CC) $(CFLAGS) -DPPS_GO_IMAGE='"$(O)/go-image.bare"' -c -o $@ $<
$(B)/go.o: $(GO_OBJ)
	@echo "  LD    $@"
	$(Q)$(LD) -r -o $@.whole $(GO_OBJ)
	$(Q)! nm -u $@.whole | grep -v ' _GLOBAL_OFFSET_TABLE_$$' || { echo "go.o: calls what is not there without a libc" && exit 1; }
	$(Q)$(OBJCOPY) --keep-global-symbol=pps_go_start --keep-global-symbol=pps_go_is --keep-global-symbol=_.stapsdt.base \
		$@.whole $@

$(O)/shim/%.o: shim/%.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(SHIM_CFLAGS) $(CFLAGS) $(if $(filter $@,$(UNCHECKED)),-U_FORTIFY_SOURCE) -MMD -MP -c -o $@ $<

$(O)/libc-name.so: Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -nostdlib -Wl,-soname,libc.so.6 -o $@ -x c /dev/null

musl: $(if $(GO_ARCH),$(B)/go.o) ## build/libppshim-musl.so, for programs of musl, with musl-gcc
	$(Q)$(MAKE) --no-print-directory CC="$(MUSL_CC)" O=$(B)/musl NAME=libppshim-musl $(B)/libppshim-musl.so

# The objects that know where things are installed are made again when that changes: make, then make install PREFIX=/usr.
$(B)/libdir: FORCE
	@mkdir -p $(@D)
	@echo '$(LIBDIR) $(BINDIR)' | cmp -s - $@ || echo '$(LIBDIR) $(BINDIR)' >$@
$(O)/shim/go/constructor.o: SHIM_CFLAGS += -DPPS_TOOL='"$(BINDIR)/ppshim"'
$(O)/shim/go/constructor.o: $(B)/libdir
$(B)/shim/tool/preload.o: SHIM_CFLAGS += -DPPS_LIBDIR='"$(LIBDIR)"'
$(B)/shim/tool/preload.o: $(B)/libdir
FORCE:

# What some of these went into is not what is built without (tests/tests.mk begins another build with that).
FLAGS_OF := $(filter-out default file undefined,$(foreach name,CC CFLAGS LDFLAGS HARDEN WARN,$(origin $(name))))

# Whether the compiler finds a header that the build can do without. What was built without it is built anew when it is
# there: make check installs them behind the first build.
finds = $(shell printf '\043include <$(1)>\n' | $(CC) $(2) -E - >/dev/null 2>&1 && echo yes)
# And whether there is the library of it, for this compiler's machine and libc.
links = $(shell printf 'int main(void) { return 0; }\n' | $(CC) -x c - -o /dev/null $(1) 2>/dev/null && echo yes)
$(sort $(B)/optional $(O)/optional): FORCE
	@mkdir -p $(@D)
	@$(if $(and $(FLAGS_OF),$(filter $(B),$(O))),touch $(B)/flagged)
	@echo 'libmnl $(MNL) sdt $(call finds,sys/sdt.h)' | cmp -s - $@ || echo 'libmnl $(MNL) sdt $(call finds,sys/sdt.h)' >$@
$(O)/shim/tool/journal.o $(O)/shim/conn/trace.o: $(O)/optional
$(B)/bare/shim/conn/trace.o: $(B)/optional

# Of the tool alone: what the journal asks the kernel. Without it the tool is built without that verb, and says so.
MNL_LIBS := $(or $(shell pkg-config --libs libmnl 2>/dev/null),-lmnl)
MNL := $(and $(call finds,libmnl/libmnl.h,$$(pkg-config --cflags libmnl 2>/dev/null)),$(call links,$(MNL_LIBS)))
MNL_FILES := $(addprefix $(B)/shim/tool/,journal_ear.o journal_book.o sock_diag.o)
TOOL_LIBS := -ldl -pthread $(if $(MNL),$(MNL_LIBS))
$(B)/shim/tool/%.o: SHIM_CFLAGS += $(if $(MNL),-DPPS_HAS_MNL $(shell pkg-config --cflags libmnl 2>/dev/null))

$(B)/libppconnect.so: $(B)/libppconnect.o shim/connect/libppconnect.map
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(PRELOAD_LDFLAGS) -Wl,-soname,libppconnect.so \
		-Wl,--version-script=shim/connect/libppconnect.map -o $@ -Wl,-z,defs $< -ldl

# What the tool shares with the library: everything but its hooks and its constructor.
$(B)/libpps.a: $(filter-out $(B)/shim/preload/hooks.o $(B)/shim/preload/start.o,$(OBJ))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/ppshim: $(TOOL_OBJ) $(B)/libpps.a
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -Wl,-z,relro,-z,now,-z,noexecstack -o $@ $^ $(TOOL_LIBS)

# What ppshim's own --help says, for shells: the files have the names that they are installed by.
COMPLETIONS := $(addprefix $(B)/completion/,bash/ppshim zsh/_ppshim fish/ppshim.fish)
$(COMPLETIONS): $(B)/ppshim scripts/completion
	@mkdir -p $(@D)
	$(Q)scripts/completion $(notdir $(@D)) $(B)/ppshim >$@.new && mv -f $@.new $@
completions: $(COMPLETIONS) ## what bash, zsh and fish complete, in build/completion

-include $(GO_OBJ:.o=.d) $(OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(CONNECT_OBJ:.o=.d)

demo: all ## a server without the shim and with it; SERVER=postgres, mariadb, redis or sshd
	$(Q)scripts/need demo$(addprefix -,$(filter-out http,$(SERVER)))
	$(Q)scripts/demo $(SERVER)

include tests/tests.mk

lint: all ## layout, static analysis, and that nothing calls what we interpose
	$(Q)scripts/lint
format: ## lay out all C as .clang-format says
	$(Q)clang-format -i $$(find shim include tests -name '*.[ch]')

# What is installed; musl's library where `make musl` built it.
LIBS = $(B)/libppshim.so $(B)/libppconnect.so $(wildcard $(B)/libppshim-musl.so)
DOCS = README.md CHANGELOG.md LICENSE
EXAMPLES = $(wildcard scripts/examples/*)
# Where the tool has that verb.
UNITS = $(if $(MNL),scripts/journal/ppshim-journal.service scripts/journal/ppshim-journal.socket)
LOGROTATE = $(if $(MNL),scripts/journal/ppshim-journal)
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
	$(call put,644,$(BASHCOMPDIR),$(filter %bash/ppshim,$(COMPLETIONS)))
	$(call put,644,$(ZSHCOMPDIR),$(filter %/_ppshim,$(COMPLETIONS)))
	$(call put,644,$(FISHCOMPDIR),$(filter %.fish,$(COMPLETIONS)))
	$(call put,644,$(DOCDIR),$(DOCS))
	$(call put,644,$(DOCDIR)/examples,$(EXAMPLES))
	$(call put,644,$(UNITDIR),$(UNITS))
	$(call put,644,$(SYSCONFDIR)/logrotate.d,$(LOGROTATE))
	$(Q)$(if $(UNITS),sed -i 's|@BINDIR@|$(BINDIR)|' "$(DESTDIR)$(UNITDIR)/ppshim-journal.service")
	$(Q)sed -i 's|@BINDIR@|$(BINDIR)|' "$(DESTDIR)$(DOCDIR)/examples/ppshim-metrics@.service"
	$(Q)$(if $(filter README.md,$(DOCS)),sed -i 's|scripts/examples|examples|g' "$(DESTDIR)$(DOCDIR)/README.md")
	$(Q)install -d "$(DESTDIR)$(SYSCONFDIR)/ppshim" # for list files
	$(renew_linker_cache)
	@$(if $(filter /usr/local/%,$(LIBDIR)),echo "$(NOTE)")
uninstall: ## what install put there
	$(call take,$(LIBDIR),libppshim.so libppshim-musl.so libppconnect.so)
	$(call take,$(BINDIR),ppshim)
	$(call take,$(UNITDIR),ppshim-journal.service ppshim-journal.socket)
	$(call take,$(SYSCONFDIR)/logrotate.d,ppshim-journal)
	$(call take,$(MANDIR),man8/libppshim.8 man1/ppshim.1)
	$(call take,$(BASHCOMPDIR),ppshim)
	$(call take,$(ZSHCOMPDIR),_ppshim)
	$(call take,$(FISHCOMPDIR),ppshim.fish)
	$(call take,$(DOCDIR),$(DOCS) $(EXAMPLES:scripts/%=%))
	$(Q)rmdir "$(DESTDIR)$(DOCDIR)/examples" "$(DESTDIR)$(DOCDIR)" "$(DESTDIR)$(SYSCONFDIR)/ppshim" 2>/dev/null || :
	$(renew_linker_cache)

dist: ## the release of this commit, build/libppshim-VERSION.tar.gz, the same bytes whenever it is made
	$(Q)scripts/dist
deb: ## Debian packages in build/deb
	$(Q)scripts/deb
rpm: ## packages for Fedora and its like in build/rpm, from what make dist made
	$(Q)scripts/rpm

clean: ## remove build/
	rm -rf $(B)
