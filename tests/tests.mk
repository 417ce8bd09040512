# Tests. Every tests/<kind>/test_*.c is a cmocka program of its own, linked with the static library;
# every tests/fuzz/fuzz_*.c is linked with a main that replays its corpus. tests/run.sh runs them all.
TEST_SRC := $(wildcard tests/unit/test_*.c tests/kern/test_*.c tests/grad/test_*.c tests/golden/test_*.c)
TEST_BIN := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
REPLAY   := $(FUZZ_SRC:tests/fuzz/fuzz_%.c=$(BUILD)/tests/fuzz/replay_%)
FUZZ_BIN := $(FUZZ_SRC:tests/%.c=$(BUILD)/%)
TEST_INC := $(LIB_INC) -Itests -Wno-frame-larger-than

# A room with programs of another shape adds them here: TEST_EXTRA += $(BUILD)/tests/... . Each ends
# with cmocka's closing lines or with "N passed, N failed".
TEST_EXTRA :=
-include tests/kern/kern.mk

$(BUILD)/tests/fuzz/replay.o: tests/fuzz/replay.c
	@mkdir -p $(@D)
	$(CC) $(STD) -MMD -MP -c $< -o $@

$(BUILD)/tests/fuzz/replay_%: tests/fuzz/fuzz_%.c $(BUILD)/tests/fuzz/replay.o $(BUILD)/libslm.a
	$(CC) $(STD) -Wno-missing-prototypes $(TEST_INC) -MMD -MP -MF $@.d $< -o $@ \
	    $(BUILD)/tests/fuzz/replay.o $(SAN_FLAGS) $(LDFLAGS) $(BUILD)/libslm.a $(LIBS)

$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/libslm.a
	@mkdir -p $(@D)
	$(CC) $(STD) -Wno-missing-prototypes -fsanitize=fuzzer $(TEST_INC) $< -o $@ $(BUILD)/libslm.a $(LIBS)

$(BUILD)/tests/%: tests/%.c $(BUILD)/libslm.a
	@mkdir -p $(@D)
	$(CC) $(STD) $(TEST_INC) -MMD -MP -MF $@.d $< -o $@ $(SAN_FLAGS) $(LDFLAGS) $(BUILD)/libslm.a $(LIBS) -lcmocka

tests: $(TEST_BIN) $(TEST_EXTRA) $(REPLAY)

test: all tests ## builds all and runs every test; ends with "N passed, N failed"
	@CC='$(CC)' tests/run.sh $(BUILD) $(TEST_BIN) $(TEST_EXTRA)

lint: all ## the rules of the house alone
	@CC='$(CC)' tests/run.sh --lint $(BUILD)

check: ## make test under gcc, clang, ASan+UBSan, TSan, CPU levels x threads, qemu (long)
	@tests/check.sh

# `make fuzz` builds the fuzzers with clang and lets each run FUZZ_SECONDS.
FUZZ_SECONDS ?= 60
fuzz: ## builds the libFuzzer targets in build-fuzz and runs each for FUZZ_SECONDS (60)
	$(MAKE) BUILD=build-fuzz CC=clang FUZZ=1 OPT='-O1 -g' fuzz-bins
	tests/fuzz/run.sh build-fuzz $(FUZZ_SECONDS)
fuzz-bins: $(FUZZ_BIN)

-include $(TEST_BIN:=.d) $(REPLAY:=.d) $(BUILD)/tests/fuzz/replay.d
.PHONY: tests test lint check fuzz fuzz-bins
