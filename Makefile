# slm: `make` builds build/slm and the libraries; `make help` tells the rest.
# BUILD=dir builds elsewhere, CC=clang another compiler, SAN=1 with ASan and UBSan, DEBUG=1 with
# debug asserts, TSAN=1 with ThreadSanitizer.
BUILD   ?= build
CC      ?= gcc
AR      ?= ar
PREFIX  ?= /usr/local
VERSION := 0.1.0
ARCH    := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))

ROOMS := base kernels format text template graph model generate
SRC   := $(foreach r,$(ROOMS),$(wildcard src/$(r)/*.c))
CLI   := $(wildcard cli/*.c)

# A kernel file's suffix is its instruction set: its flags, and whether this machine builds it.
CPU_avx2       := -mavx2 -mfma -mf16c
CPU_avxvnni    := $(CPU_avx2) -mavxvnni
CPU_avx512     := $(CPU_avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq
CPU_avx512vnni := $(CPU_avx512) -mavx512vnni
CPU_avx512bf16 := $(CPU_avx512vnni) -mavx512bf16
CPU_amx        := $(CPU_avx512bf16) -mamx-tile -mamx-int8 -mamx-bf16
CPU_dotprod    := -march=armv8.2-a+dotprod
CPU_i8mm       := -march=armv8.6-a+i8mm
X86_ISA := avx2 avxvnni avx512 avx512vnni avx512bf16 amx
ARM_ISA := neon dotprod i8mm
OTHER_ISA := $(if $(filter x86_64 amd64,$(ARCH)),$(ARM_ISA),$(if $(filter aarch64 arm64,$(ARCH)),$(X86_ISA),$(X86_ISA) $(ARM_ISA)))
SRC := $(filter-out $(foreach i,$(OTHER_ISA),%_$(i).c),$(SRC))

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wdouble-promotion \
        -Wmissing-prototypes -Wstrict-prototypes -Wundef -Wvla -Wwrite-strings \
        -Wframe-larger-than=8192 $(if $(WERROR),-Werror)
PKGS := jansson libpcre2-8 libutf8proc
DEPS_CFLAGS ?= $(shell pkg-config --cflags $(PKGS))
DEPS_LIBS   ?= $(shell pkg-config --libs $(PKGS))
OPT    ?= -O2 -g
SANFLAGS := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined) \
            $(if $(TSAN),-fsanitize=thread) $(if $(FUZZ),-fsanitize=fuzzer-no-link$(comma)address$(comma)undefined)
comma := ,
CFLAGS  += -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -fPIC -fvisibility=hidden -pthread \
           $(OPT) $(WARN) $(SANFLAGS) $(if $(DEBUG),-DSLM_DEBUG)
LDFLAGS += -pthread $(SANFLAGS)
LIBS    := $(DEPS_LIBS) -lm
LIB_INC := -Iinclude -Isrc $(DEPS_CFLAGS)

LIB_OBJ := $(SRC:%.c=$(BUILD)/%.o)
CLI_OBJ := $(CLI:%.c=$(BUILD)/%.o)

all: $(BUILD)/slm $(BUILD)/libslm.so

$(BUILD)/slm: $(CLI_OBJ) $(BUILD)/libslm.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) -ledit

$(BUILD)/libslm.a: $(LIB_OBJ)
	rm -f $@; $(AR) rcs $@ $^

$(BUILD)/libslm.so: $(LIB_OBJ)
	$(CC) -shared $(LDFLAGS) -Wl,-soname,libslm.so.0 -o $@ $^ $(LIBS)

$(BUILD)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LIB_INC) $(CPU_$(lastword $(subst _, ,$*))) -MMD -MP -c $< -o $@

# The command line sees the public headers only: the compiler keeps the law.
$(BUILD)/cli/%.o: cli/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Iinclude -DSLM_SHARE='"$(PREFIX)/share/slm"' -MMD -MP -c $< -o $@

include tests/tests.mk

clean:
	rm -rf $(BUILD)

-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
.PHONY: all clean
