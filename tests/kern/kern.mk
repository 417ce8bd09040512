# checkkern for another machine: the kernel room and the few files of base it stands on, compiled by
# the cross compiler and run under an emulator. No library is needed for it.
ARM_CC  ?= aarch64-linux-gnu-gcc
ARM_RUN ?= qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu
ARM_OUT := $(BUILD)/arm
ARM_SRC := $(filter-out $(foreach i,$(X86_ISA),%_$(i).c) src/kernels/runtime.c src/kernels/settle.c src/kernels/probe%,$(wildcard src/kernels/*.c)) \
           src/base/cpu.c src/base/dtype.c src/base/rng.c
ARM_OBJ := $(ARM_SRC:%.c=$(ARM_OUT)/%.o)

$(ARM_OUT)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(ARM_CC) $(STD) -Iinclude -Isrc $(CPU_$(lastword $(subst _, ,$*))) -MMD -MP -c $< -o $@

$(ARM_OUT)/checkkern: tests/kern/test_checkkern.c $(ARM_OBJ)
	$(ARM_CC) $(STD) -DCHECKKERN_ONLY -Iinclude -Isrc -Itests -MMD -MP -MF $@.d $< $(ARM_OBJ) -o $@ -lm

arm-check: $(ARM_OUT)/checkkern ## the aarch64 kernels, cross-compiled, under qemu-user
	$(ARM_RUN) $(ARM_OUT)/checkkern

-include $(ARM_OBJ:.o=.d) $(ARM_OUT)/checkkern.d
.PHONY: arm-check
