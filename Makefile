# slm: `make` builds build/slm and the libraries; `make help` tells the rest.
# BUILD=dir builds elsewhere, CC=clang another compiler, SAN=1 with ASan and UBSan, TSAN=1 with
# ThreadSanitizer, DEBUG=1 with debug asserts, WERROR=1 with warnings as errors. One build folder
# holds one choice of these: the folder does not notice when they change.
BUILD   ?= build
PREFIX  ?= /usr/local
VERSION := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
AR      ?= ar
LIBDIR  ?= $(PREFIX)/lib
SHARE   := $(PREFIX)/share
ARCH    := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
comma   := ,

ROOMS := base kernels format text pyval eval runs vocab template graph model data corpus lexicon adapter generate train compress
SRC   := $(foreach r,$(ROOMS),$(wildcard src/$(r)/*.c))
CLI   := $(wildcard cli/*.c)
MODEL := models/storyteller.gguf

# A kernel file's suffix is its instruction set: its flags, and whether this machine builds it.
CPU_avx2       := -mavx2 -mfma -mf16c
CPU_avxvnni    := $(CPU_avx2) -mavxvnni
CPU_avx512     := $(CPU_avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq
CPU_avx512vnni := $(CPU_avx512) -mavx512vnni
CPU_avx512vbmi := $(CPU_avx512vnni) -mavx512vbmi -mgfni
CPU_avx512bf16 := $(CPU_avx512vnni) -mavx512bf16
CPU_amx        := $(CPU_avx512bf16) -mamx-tile -mamx-int8 -mamx-bf16
CPU_dotprod    := -march=armv8.2-a+dotprod
CPU_i8mm       := -march=armv8.6-a+i8mm
X86_ISA := avx2 avxvnni avx512 avx512vnni avx512vbmi avx512bf16 amx
ARM_ISA := neon dotprod i8mm
ISA_x86_64  := $(X86_ISA)
ISA_amd64   := $(X86_ISA)
ISA_aarch64 := $(ARM_ISA)
ISA_arm64   := $(ARM_ISA)
OTHER_ISA   := $(filter-out $(ISA_$(ARCH)),$(X86_ISA) $(ARM_ISA))
SRC := $(filter-out $(foreach i,$(OTHER_ISA),%_$(i).c),$(SRC))

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wdouble-promotion \
        -Wmissing-prototypes -Wstrict-prototypes -Wundef -Wvla -Wwrite-strings \
        $(if $(SAN)$(TSAN)$(FUZZ),,-Wframe-larger-than=8192) $(if $(WERROR),-Werror)
PKGS := jansson libpcre2-8 libutf8proc sqlite3
DEPS_CFLAGS ?= $(shell pkg-config --cflags $(PKGS))
DEPS_LIBS   ?= $(shell pkg-config --libs $(PKGS))
# Training on several machines: Open MPI's types at build, its library only where mpirun starts us.
MPI_FLAGS := $(shell pkg-config --exists ompi-c 2> /dev/null && \
             echo -DSLM_MPI $$(pkg-config --cflags-only-I ompi-c | sed 's/-I */-isystem /g'))
OPT    ?= -O2 -g
SAN_FLAGS := $(if $(SAN)$(FUZZ),-fsanitize=address$(comma)undefined -fno-omit-frame-pointer \
             -fno-sanitize-recover=undefined) \
             $(if $(TSAN),-fsanitize=thread) $(if $(FUZZ),-fsanitize=fuzzer-no-link)
# Unrolled kernels grow tenfold when every access is checked; checkkern holds them by guard bytes.
ISA_SAN := $(if $(FUZZ)$(SAN),-fno-sanitize=all)
# What every build has, whatever CFLAGS the caller brings.
STD := -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -fPIC -fvisibility=hidden -pthread \
       $(OPT) $(WARN) $(SAN_FLAGS) $(if $(DEBUG),-DSLM_DEBUG) $(CFLAGS)
LINK := $(CC) -pthread $(SAN_FLAGS) $(LDFLAGS)
LIBS := $(DEPS_LIBS) -lm
LIB_INC := -Iinclude -Isrc $(DEPS_CFLAGS)

LIB_OBJ := $(SRC:%.c=$(BUILD)/%.o)
CLI_OBJ := $(CLI:%.c=$(BUILD)/%.o)

all: $(BUILD)/slm $(BUILD)/libslm.so ## build/slm, build/libslm.a, build/libslm.so (the default)

$(BUILD)/slm: $(CLI_OBJ) $(BUILD)/libslm.a
	$(LINK) -o $@ $^ $(LIBS) -ledit

$(BUILD)/libslm.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/libslm.so: $(LIB_OBJ)
	$(LINK) -shared -Wl,-soname,libslm.so.0 $(if $(SAN_FLAGS),,-Wl$(comma)-z$(comma)defs) -o $@ $^ $(LIBS)

$(BUILD)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(STD) $(LIB_INC) $(if $(findstring ranks_mpi,$*),$(MPI_FLAGS)) $(CPU_$(lastword $(subst _, ,$*))) \
	    $(if $(CPU_$(lastword $(subst _, ,$*))),$(ISA_SAN)) -MMD -MP -c $< -o $@

# The command line sees the public headers only: the compiler keeps the law.
$(BUILD)/cli/%.o: cli/%.c
	@mkdir -p $(@D)
	$(CC) $(STD) -Iinclude -DSLM_SHARE='"$(SHARE)/slm"' -MMD -MP -c $< -o $@

include tests/tests.mk

install: all ## copies program, libraries, headers, pages and model to $(DESTDIR)$(PREFIX)
	install -d $(addprefix $(DESTDIR),$(PREFIX)/bin $(LIBDIR)/pkgconfig $(PREFIX)/include/slm $(SHARE)/slm \
	    $(SHARE)/man/man1 $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions \
	    $(SHARE)/fish/vendor_completions.d)
	install -m 755 $(BUILD)/slm $(DESTDIR)$(PREFIX)/bin/slm
	install -m 644 $(BUILD)/libslm.a $(DESTDIR)$(LIBDIR)/libslm.a
	install -m 755 $(BUILD)/libslm.so $(DESTDIR)$(LIBDIR)/libslm.so.$(VERSION)
	ln -sf libslm.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libslm.so.0
	ln -sf libslm.so.0 $(DESTDIR)$(LIBDIR)/libslm.so
	install -m 644 include/slm/*.h $(DESTDIR)$(PREFIX)/include/slm/
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@REQUIRES@|$(PKGS)|' slm.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/slm.pc
	$(BUILD)/slm man --dir $(DESTDIR)$(SHARE)/man/man1
	$(BUILD)/slm completion bash > $(DESTDIR)$(SHARE)/bash-completion/completions/slm
	$(BUILD)/slm completion zsh > $(DESTDIR)$(SHARE)/zsh/site-functions/_slm
	$(BUILD)/slm completion fish > $(DESTDIR)$(SHARE)/fish/vendor_completions.d/slm.fish
	install -m 644 $(MODEL) models/README.md $(DESTDIR)$(SHARE)/slm/

bench: all ## speed of the bundled model on this machine
	$(BUILD)/slm bench $(MODEL)

golden: ## rewrites tests/golden from the reference programs (the only target that needs Python)
	tools/ref/golden.sh

clean: ## removes $(BUILD)
	rm -rf $(BUILD)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@sed -n '2,4s/^# //p' Makefile

-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
.PHONY: all install bench golden clean help
