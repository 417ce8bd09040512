# Tests: every tests/<kind>/test_*.c is a program of its own, linked with the static library.
TEST_SRC := $(wildcard tests/unit/test_*.c tests/kern/test_*.c tests/grad/test_*.c tests/golden/test_*.c)
TEST_BIN := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)

$(BUILD)/tests/%: tests/%.c $(BUILD)/libslm.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LIB_INC) -Itests -MMD -MP -MF $@.d $< -o $@ $(LDFLAGS) $(BUILD)/libslm.a $(LIBS) -lcmocka

tests: $(TEST_BIN)
-include $(TEST_BIN:=.d)
.PHONY: tests
